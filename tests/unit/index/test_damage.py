"""Damaged indexes: one line that names the file, and `add` repairs what can be repaired."""

import json
import os
import shutil
from dataclasses import replace

import numpy as np
import pytest
from lancedb.db import LanceDBConnection

from mvadapter.embedding.inputs import Inputs
from mvadapter.encoder.checkpoint import save_adapter
from mvadapter.encoder.encode import Encoder
from mvadapter.errors import ConfigError, DataError, IndexFolderError
from mvadapter.index.damage import DamagedTableError
from mvadapter.index.lance_errors import reading
from mvadapter.index.remove import remove_empty_index
from mvadapter.index.rows import check_rows, table_schema
from mvadapter.index.segment_table import SegmentTable
from mvadapter.index.video_index import VideoIndex
from mvadapter.index.writer import write_lock
from mvadapter.seals import sealed_text, unsealed


class PanicException(BaseException):
    """What a panic of Rust code is in Python."""


@pytest.fixture
def filled(index, videos):
    index.add(videos)
    return index


def held(index):
    segments = VideoIndex.open(index.folder, backbone=index.backbone).view().segments
    return segments.paths, segments.vectors.copy()


def newest(index, pattern):
    return max(index.folder.rglob(pattern), key=lambda path: path.stat().st_size)


def remove(path):
    path.unlink()


def cut_short(path):
    os.truncate(path, 100)


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


def lose_rows(index, video):
    """As a list of deletions would that came from elsewhere."""
    table = LanceDBConnection(index.folder / "vectors").open_table("frozen")
    version = table.version
    table.delete(f"path = '{video}'")
    totals = index.folder / "vectors/frozen.totals.json"
    known = unsealed(json.loads(totals.read_text()), "t")
    assert known["version"] == version
    totals.write_text(sealed_text(known | {"version": table.version, "lists_sha256": {}}))


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


def make_early(index):
    """Turn an index into one of an earlier version."""
    rows = SegmentTable(index.folder / "vectors", "frozen").read().rows
    early = table_schema(index.backbone.dim, is_early=True)
    database = LanceDBConnection(index.folder / "vectors")
    database.drop_table("frozen")
    database.create_table("frozen", rows.select(early.names), schema=early)
    (index.folder / "vectors/frozen.totals.json").unlink()
    record = json.loads((index.folder / "index.json").read_text())
    for key in ("sha256", "views", "backbone_parts"):
        del record[key]
    (index.folder / "index.json").write_text(json.dumps(record | {"format": 1}))


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


def test_removed_videos_leave_all_views_and_their_folder_is_forgotten(filled, videos):
    with pytest.raises(DataError, match="nothing of this index is there"):
        filled.remove([videos / "0.mp4", videos / "none.mp4"])

    one = filled.remove(videos / "0.mp4")
    assert (one.removed, one.num_videos) == ({"frozen": 1}, 1)
    assert len(held(filled)[0]) == 3
    # Its file is still there.
    assert filled.add().num_added == 1

    assert filled.remove(videos).num_videos == 4
    assert held(filled)[0] == ()
    assert filled.add().num_added == 0
    assert filled.verify().is_sound


def test_missing_videos_stay_until_they_are_removed(index, videos, tmp_path):
    (videos / "nas").mkdir()
    (videos / "3.mp4").rename(videos / "nas/3.mp4")
    index.add(videos)
    shutil.rmtree(videos / "nas")

    report = index.add()

    assert (report.num_removed, report.num_missing, report.num_videos) == (0, 1, 4)
    (missing,) = report.missing
    assert missing.path == videos / "nas"
    assert "'mvadapter remove'" in missing.reason
    index.remove(videos / "nas")
    assert index.add().num_missing == 0


def test_a_second_writer_hears_of_the_first_and_not_of_an_index(index, encoder):
    with (
        write_lock(index.folder),
        pytest.raises(IndexFolderError, match="another process is writing"),
    ):
        VideoIndex.create(index.folder, encoder)


def test_an_index_with_videos_is_not_taken_for_an_empty_one(filled):
    with pytest.raises(IndexFolderError, match="has videos"):
        remove_empty_index(filled.folder)


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


def test_data_that_lance_cannot_read_is_damaged_where_its_bytes_have_changed(filled):
    data = newest(filled, "data/*.lance")
    data.write_bytes(data.read_bytes()[:-1000] + bytes(900) + data.read_bytes()[-100:])

    with (
        pytest.raises(DamagedTableError, match=data.name),
        reading(filled.folder / "vectors", "frozen"),
    ):
        raise RuntimeError("invalid page")


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


def test_a_repair_keeps_the_videos_that_can_be_read(index, videos, monkeypatch):
    with monkeypatch.context() as patch:
        # So each video stays in a file of its own.
        patch.setattr(SegmentTable, "_optimise", lambda _self: None)
        for path in sorted(videos.iterdir()):
            index.add(path)
    before = held(index)
    newest(index, "data/*.lance").unlink()

    report = index.add()

    assert report.num_added + report.num_unchanged == 4
    assert report.num_added < 4
    assert held(index)[0] == before[0]
    assert index.verify().is_sound
    assert not list(index.folder.glob("vectors/*.damaged"))


def test_an_interrupted_repair_is_continued_and_keeps_the_damaged_table(filled, monkeypatch):
    newest(filled, "data/*.lance").unlink()

    def stop(*_arguments):
        raise KeyboardInterrupt

    for method in ("create_again", "replace"):
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
    newest(filled, "data/*.lance").unlink()
    table = filled.folder / "vectors/frozen.lance"
    table.rename(table.with_name("frozen.lance.damaged"))

    assert filled.add().num_added == 4
    assert len(held(filled)[0]) == 4


def test_nothing_is_removed_from_a_damaged_index(filled, videos):
    newest(filled, "data/*.lance").unlink()

    with pytest.raises(DamagedTableError, match="run 'mvadapter index'"):
        filled.remove(videos / "0.mp4")

    assert filled.add().num_added == 4
    assert filled.remove(videos / "0.mp4").num_videos == 1


def test_nothing_is_removed_where_rows_were_lost(filled, videos):
    lose_rows(filled, videos / "1.mp4")

    with pytest.raises(DamagedTableError, match="some of its vectors were lost"):
        filled.remove(videos / "0.mp4")

    assert not filled.verify().is_sound


def test_videos_are_removed_from_an_index_of_an_earlier_version(filled, videos):
    make_early(filled)

    assert filled.remove(videos / "0.mp4").num_videos == 1

    assert len(held(filled)[0]) == 3
    assert filled.verify().is_sound
