"""Digests of rows: what they notice."""

import numpy as np
import pyarrow as pa
import pytest
import torch

from mvadapter.embedding.files import EmbeddedFile
from mvadapter.index.find import FileState
from mvadapter.index.rows import check_rows, to_rows
from mvadapter.video.segment import Span

DIM = 6


@pytest.fixture
def rows():
    draw = torch.Generator().manual_seed(0)
    tables = []
    for name, num in (("/a/ö.mp4", 3), ("/b.mp4", 2)):
        vectors = torch.nn.functional.normalize(torch.randn(num, DIM, generator=draw))
        spans = [Span(start_seconds=float(k), end_seconds=k + 1.0) for k in range(num)]
        file = FileState(path=name, size_bytes=10, mtime_ns=2**60 + 1)
        tables.append(
            to_rows(
                file, EmbeddedFile(path=name, spans=tuple(spans), vectors=vectors, problem=None)
            )
        )
    return pa.concat_tables(tables)


def changed(rows, name, values):
    place = rows.schema.get_field_index(name)
    return rows.set_column(place, rows.schema.field(name), values)


def with_vectors(rows, vectors):
    column = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), DIM)
    return changed(rows, "vector", column)


def vectors_of(rows):
    return rows["vector"].combine_chunks().flatten().to_numpy().reshape(-1, DIM).copy()


def test_rows_as_they_were_written_are_sound_in_any_order(rows):
    for order in (range(5), (4, 1, 3, 0, 2)):
        check = check_rows(rows.take(pa.array(order)))

        assert check.is_sound.all()
        assert check.damaged == ()


def test_every_flipped_bit_of_a_vector_is_noticed(rows):
    for bit in range(32 * DIM):
        vectors = vectors_of(rows)
        vectors.view(np.uint32)[1, bit // 32] ^= np.uint32(1 << bit % 32)

        check = check_rows(with_vectors(rows, vectors))

        assert check.damaged == ("/a/ö.mp4",), bit
        assert check.is_sound.tolist() == [False, False, False, True, True]


@pytest.mark.parametrize("places", [(0, 1), (1, 3), (2, 5)])
def test_two_changed_signs_or_exchanged_numbers_are_noticed(rows, places):
    negated, exchanged = vectors_of(rows), vectors_of(rows)
    negated[3, list(places)] *= -1
    exchanged[3, list(places)] = exchanged[3, list(places[::-1])]

    assert check_rows(with_vectors(rows, negated)).damaged == ("/b.mp4",)
    assert check_rows(with_vectors(rows, exchanged)).damaged == ("/b.mp4",)


@pytest.mark.parametrize(
    "name", ["start_seconds", "end_seconds", "size_bytes", "mtime_ns", "digest"]
)
def test_a_changed_number_is_noticed(rows, name):
    values = rows[name].to_numpy().copy()
    values.view(np.uint64)[4] ^= np.uint64(1)

    assert check_rows(changed(rows, name, pa.array(values))).damaged == ("/b.mp4",)


def test_a_changed_path_is_noticed(rows):
    paths = rows["path"].to_pylist()
    paths[4] = "/c.mp4"

    assert check_rows(changed(rows, "path", pa.array(paths))).damaged == ("/b.mp4", "/c.mp4")


def test_more_rows_than_are_summed_at_once_have_digests_of_their_own():
    num = 2500
    draw = torch.Generator().manual_seed(0)
    vectors = torch.nn.functional.normalize(torch.randn(num, DIM, generator=draw))
    video = EmbeddedFile(
        path="/long.mp4",
        spans=tuple(Span(start_seconds=float(k), end_seconds=k + 1.0) for k in range(num)),
        vectors=vectors,
        problem=None,
    )

    rows = to_rows(FileState(path=video.path, size_bytes=10, mtime_ns=1), video)

    assert check_rows(rows).is_sound.all()
    assert np.unique(rows["digest"].to_numpy()).size == num


def test_a_path_that_is_no_text_any_more_is_damage(rows):
    paths = [path.encode() for path in rows["path"].to_pylist()]
    paths[4] = b"/b\xff.mp4"
    damaged = pa.array(paths, type=pa.binary()).view(pa.string())

    assert check_rows(changed(rows, "path", damaged)).damaged == ("/b.mp4", "/b\ufffd.mp4")
