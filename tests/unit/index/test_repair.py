"""Repairs: what is damaged is embedded again, and nothing else is touched."""

import numpy as np
import pytest
from lancedb.db import LanceDBConnection

from damaged_index import cut_short, held, largest
from mvadapter.errors import IndexFolderError
from mvadapter.index.damage import DamagedTableError
from mvadapter.index.lance_errors import reading
from mvadapter.index.segment_table import SegmentTable


def test_only_the_videos_of_damaged_rows_are_embedded_again(filled, videos):
    rows = SegmentTable(filled.folder / "vectors", "frozen").read().rows
    vectors = rows["vector"].combine_chunks().flatten().to_numpy().copy()
    vectors.view(np.uint32)[5] ^= 1
    place = rows.schema.get_field_index("vector")
    flipped = rows["vector"].combine_chunks().from_arrays(vectors, filled.backbone.dim)
    harmed = rows["path"][0].as_py()
    database = LanceDBConnection(filled.folder / "vectors")
    database.create_table(
        "frozen", rows.set_column(place, rows.schema.field("vector"), flipped), mode="overwrite"
    )

    with pytest.raises(IndexFolderError, match=f"the vectors of '{harmed}' are damaged"):
        held(filled)
    (problem,) = filled.verify().damaged
    report = filled.add()

    assert str(problem.path) == harmed
    assert (report.num_added, report.num_unchanged) == (1, 3)
    assert f"the vectors of '{harmed}' are damaged" in report.repaired
    assert len(held(filled)[0]) == 4


class PanicException(BaseException):
    """What a panic of Rust code is in Python."""


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError("too little"), MemoryError),
        (RuntimeError("cannot be read by this version of Lance, please upgrade"), IndexFolderError),
        (RuntimeError("Permission denied (os error 13)"), IndexFolderError),
        (
            RuntimeError("failed to spawn thread: Os { code: 11, kind: WouldBlock }"),
            IndexFolderError,
        ),
        (OSError("too much at once"), IndexFolderError),
        (PanicException("called `Option::unwrap()` on a `None` value"), IndexFolderError),
        (KeyboardInterrupt(), KeyboardInterrupt),
    ],
)
def test_what_is_no_damage_removes_nothing(filled, monkeypatch, error, expected):
    before = held(filled)

    def fail(_self):
        with reading(filled.folder / "vectors", "frozen"):
            raise error

    with monkeypatch.context() as patch:
        patch.setattr(SegmentTable, "read", fail)
        with pytest.raises(expected) as caught:
            filled.add()

    assert not isinstance(caught.value, DamagedTableError)
    assert held(filled)[0] == before[0]


@pytest.mark.parametrize("place", ["gone", "empty"])
def test_a_repair_forgets_no_folder_that_is_not_mounted(index, videos, tmp_path, place):
    (tmp_path / "nas").mkdir()
    for number in (2, 3):
        (videos / f"{number}.mp4").rename(tmp_path / f"nas/{number}.mp4")
    index.add([videos, tmp_path / "nas"])
    (tmp_path / "nas").rename(tmp_path / "away")
    if place == "empty":
        (tmp_path / "nas").mkdir()
    for manifest in index.folder.rglob("_versions/*.manifest"):
        cut_short(manifest)

    report = index.add(videos)
    later = index.add()

    assert report.repaired is not None
    assert (report.num_added, report.num_videos) == (2, 2)
    if place == "gone":
        assert "'mvadapter remove' drops it" in later.skipped[0].reason
    else:
        (tmp_path / "nas").rmdir()
    (tmp_path / "away").rename(tmp_path / "nas")
    assert index.add().num_added == 2
    assert len(held(index)[0]) == 4


def add_in_files_of_their_own(index, videos, monkeypatch):
    """Add videos so that the rows of each stay in a file of their own."""
    with monkeypatch.context() as patch:
        patch.setattr(SegmentTable, "_optimise", lambda _self: None)
        for path in sorted(videos.iterdir()):
            index.add(path)


def test_a_repair_keeps_the_videos_that_can_be_read(index, videos, monkeypatch):
    add_in_files_of_their_own(index, videos, monkeypatch)
    before = held(index)
    largest(index, "data/*.lance").unlink()

    report = index.add()

    assert report.num_added + report.num_unchanged == 4
    assert report.num_added < 4
    assert held(index)[0] == before[0]
    assert index.verify().is_sound
    assert not list(index.folder.glob("vectors/*.damaged"))


def test_an_interrupted_repair_is_continued_and_keeps_the_damaged_table(filled, monkeypatch):
    largest(filled, "data/*.lance").unlink()

    def stop(*_arguments):
        raise KeyboardInterrupt

    for method in ("create", "replace"):
        with monkeypatch.context() as patch:
            patch.setattr(SegmentTable, method, stop)
            with pytest.raises(KeyboardInterrupt):
                filled.add()
    assert list(filled.folder.glob("vectors/*.damaged"))

    report = filled.add()

    assert "its last repair was interrupted" in report.repaired
    assert (report.num_added, len(held(filled)[0])) == (4, 4)
    assert not list(filled.folder.glob("vectors/*.damaged"))
    assert filled.add().repaired is None


def test_a_repair_that_was_stopped_between_two_tables_is_done_again(filled):
    largest(filled, "data/*.lance").unlink()
    table = filled.folder / "vectors/frozen.lance"
    table.rename(table.with_name("frozen.lance.damaged"))

    assert filled.add().num_added == 4
    assert len(held(filled)[0]) == 4


def test_a_repair_whose_new_table_was_never_written_is_done_again(index, videos, monkeypatch):
    add_in_files_of_their_own(index, videos, monkeypatch)
    largest(index, "data/*.lance").unlink()
    table = index.folder / "vectors/frozen.lance"
    table.rename(table.with_name("frozen.lance.damaged"))
    (table / "data").mkdir(parents=True)

    report = index.add()

    assert report.num_added < 4
    assert len(held(index)[0]) == 4
