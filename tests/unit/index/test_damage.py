"""Damaged indexes: one line that names the file, and `add` repairs what can be repaired."""

import os
import shutil
from dataclasses import replace

import numpy as np
import pytest

from damaged_index import cut_short, held, largest, lose_rows, make_early
from mvadapter.embedding.inputs import Inputs
from mvadapter.encoder.checkpoint import save_adapter
from mvadapter.encoder.encode import Encoder
from mvadapter.errors import ConfigError, IndexFolderError
from mvadapter.index import totals
from mvadapter.index.damage import DamagedTableError
from mvadapter.index.lance_errors import reading
from mvadapter.index.rows import check_rows
from mvadapter.index.segment_table import SegmentTable
from mvadapter.index.video_index import VideoIndex
from mvadapter.index.writer import write_lock


def remove(path):
    path.unlink()


def empty(path):
    path.write_bytes(b"")


@pytest.mark.parametrize("harm", [remove, cut_short, empty])
@pytest.mark.parametrize("pattern", ["data/*.lance", "_versions/*.manifest"])
def test_a_damaged_file_is_named_and_adding_again_repairs_it(filled, harm, pattern):
    before = held(filled)
    for path in filled.folder.rglob(pattern):
        harm(path)

    with pytest.raises(IndexFolderError, match=r"frozen\.lance.*run 'mvadapter index'") as caught:
        held(filled)
    assert "\n" not in str(caught.value)
    assert not filled.verify().is_sound
    report = filled.add()

    assert report.repaired is not None
    assert report.num_added == len(before[0])
    paths, vectors = held(filled)
    assert paths == before[0]
    np.testing.assert_allclose(vectors, before[1], atol=1e-6)
    assert filled.verify().is_sound


def test_lost_rows_are_noticed(filled, videos):
    lose_rows(filled, videos / "1.mp4")

    with pytest.raises(IndexFolderError, match="some of its vectors were lost"):
        held(filled)
    assert "some of its vectors were lost" in filled.verify().damaged[0].reason

    assert filled.add().num_added == 1
    assert filled.verify().is_sound


def test_an_older_version_of_the_table_is_noticed(filled):
    for path in sorted(filled.folder.rglob("_versions/*.manifest"))[:1]:
        path.unlink()

    with pytest.raises(IndexFolderError):
        held(filled)


def test_a_table_of_an_earlier_version_is_read_and_gets_digests(filled):
    before = held(filled)
    make_early(filled)

    paths, vectors = held(filled)
    report = filled.verify()
    assert paths == before[0]
    assert np.array_equal(vectors, before[1])
    assert report.is_sound
    assert len(report.unverified) == 3

    added = filled.add()

    assert (added.num_unchanged, added.num_added, added.repaired) == (4, 0, None)
    assert not [p for p in filled.verify().unverified if p.path.suffix == ".lance"]
    assert np.array_equal(held(filled)[1], before[1])


def test_vectors_that_are_no_unit_vectors_are_damaged(filled):
    rows = SegmentTable(filled.folder / "vectors", "frozen").read().rows
    place = rows.schema.get_field_index("vector")
    for wrong in (np.nan, 0.0, 3.0, 1e38):
        vectors = rows["vector"].combine_chunks().flatten().to_numpy().copy()
        vectors[: filled.backbone.dim] = wrong
        flipped = rows["vector"].combine_chunks().from_arrays(vectors, filled.backbone.dim)
        changed = rows.set_column(place, rows.schema.field("vector"), flipped)

        assert check_rows(changed.drop_columns(["digest", "num_segments"])).damaged


def test_an_index_that_is_removed_while_it_is_written_is_one_line(index, videos, monkeypatch):
    write = SegmentTable.replace

    def removed_first(self, *arguments):
        shutil.rmtree(index.folder)
        write(self, *arguments)

    monkeypatch.setattr(SegmentTable, "replace", removed_first)

    with pytest.raises(IndexFolderError, match="was removed meanwhile"):
        index.add(videos)
    assert not index.folder.exists()


def test_a_second_writer_hears_of_the_first_and_not_of_an_index(index, encoder):
    with (
        write_lock(index.folder),
        pytest.raises(IndexFolderError, match="another process is writing"),
    ):
        VideoIndex.create(index.folder, encoder)


def test_settings_of_a_view_that_were_exchanged_are_named(index, encoder, random_clip):
    other = Encoder(encoder.backbone, encoder.adapter, inputs=Inputs(num_frames=5, max_tokens=16))
    save_adapter(other, index.folder / "adapters/frozen")

    with pytest.raises(IndexFolderError, match=r"inputs\.num_frames 2, not 5"):
        VideoIndex.open(index.folder, backbone=random_clip).view()


def test_another_tokenizer_is_named(index, random_clip):
    captions = replace(random_clip.captions, tokenizer_sha256="0")
    other = replace(random_clip, captions=captions)

    with pytest.raises(IndexFolderError, match="what differs: tokenizer"):
        VideoIndex.open(index.folder, backbone=other)


@pytest.mark.parametrize("seconds", [-1.0, 0.0, float("inf")])
def test_segments_of_an_impossible_length_are_refused(encoder, tmp_path, seconds):
    with pytest.raises(ConfigError):
        VideoIndex.create(tmp_path / "index", encoder, max_segment_seconds=seconds)
    assert not (tmp_path / "index").exists()


def test_data_that_lance_cannot_read_is_damaged_where_its_bytes_have_changed(filled):
    data = largest(filled, "data/*.lance")
    data.write_bytes(data.read_bytes()[:-1000] + bytes(900) + data.read_bytes()[-100:])

    with (
        pytest.raises(DamagedTableError, match=data.name),
        reading(filled.folder / "vectors", "frozen"),
    ):
        raise RuntimeError("invalid page")


def test_a_list_that_a_writer_removes_while_it_is_compared_is_no_damage(filled, monkeypatch):
    def fail(path):
        raise FileNotFoundError(2, "No such file or directory", str(path))

    before = held(filled)
    monkeypatch.setattr(totals, "hash_file", fail)

    assert held(filled)[0] == before[0]


def test_verify_counts_what_it_compares(filled):
    (filled.folder / "vectors/frozen.lance/notes.txt").write_text("mine")

    report = filled.verify()

    # The record, the adapter's weights and settings, the totals, and the list of the table's files.
    assert (report.num_files, report.num_segments) == (5, len(filled.view().segments.video))


def test_verify_reports_a_repair_that_was_interrupted(filled):
    (filled.folder / "vectors/frozen.lance.damaged").mkdir()

    (problem,) = filled.verify().damaged

    assert "its last repair was interrupted" in problem.reason
    filled.add()
    assert filled.verify().is_sound


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes")
@pytest.mark.parametrize("pattern", ["data/*.lance", "_versions/*.manifest"])
def test_a_pipe_among_the_files_of_a_table_is_refused_and_not_waited_for(filled, pattern):
    path = largest(filled, pattern)
    path.unlink()
    os.mkfifo(path)

    with pytest.raises(IndexFolderError, match="is not an ordinary file; remove it"):
        held(filled)
    with pytest.raises(IndexFolderError, match="is not an ordinary file; remove it"):
        filled.add()
