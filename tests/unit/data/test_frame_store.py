import os
import signal
import subprocess
import sys

import pyarrow
import pyarrow.parquet
import pytest
import torch

from made_videos import write_video
from mvadapter.backbone.recipes import Resize
from mvadapter.data import frame_store
from mvadapter.data.frame_reader import FrameReader
from mvadapter.data.frame_store import FrameStore, store_frames, stored_folders
from mvadapter.data.frames import FrameSettings
from mvadapter.data.records import Record
from mvadapter.errors import DataError, VideoError

SETTINGS = FrameSettings(num_frames=4, sampling="uniform", resize=Resize.crop(32))


@pytest.fixture
def records(tmp_path):
    return [
        Record(
            id=f"v{number}",
            video=write_video(tmp_path / f"{number}.mp4", range(number, number + 8)),
            captions=("one",),
            split=split,
        )
        for number in range(5)
        for split in ("train", "test")
    ]


@pytest.fixture
def table(tmp_path):
    return tmp_path / "t.parquet"


def store(table, records, settings=SETTINGS, **options):
    return store_frames(table, records, settings, num_workers=2, **options)


def opened(table, settings=SETTINGS):
    return FrameStore(stored_folders(table)[settings], settings)


def refuse_to_decode(monkeypatch):
    def refuse(_settings, record):
        raise AssertionError(f"{record.id} is decoded")

    monkeypatch.setattr(FrameSettings, "decode", refuse)


def test_stored_frames_look_like_the_decoded_ones(table, records, monkeypatch):
    decoded = [SETTINGS.decode(record) for record in records]
    report = store(table, records)
    refuse_to_decode(monkeypatch)
    cache = opened(table)

    stored = [cache.frames(record) for record in records]

    # A segment that is in two splits is stored once.
    assert (report.num_stored, report.num_new, report.skipped) == (5, 5, {})
    for ours, theirs in zip(stored, decoded, strict=True):
        assert ours.shape == theirs.shape
        assert ours.dtype == torch.uint8
        assert (ours.int() - theirs.int()).abs().float().mean() < 2


def test_a_reader_takes_them(table, records, monkeypatch):
    store(table, records)
    refuse_to_decode(monkeypatch)

    reader = FrameReader(records, SETTINGS, store=opened(table))

    assert [len(frames) for frames in reader.read(range(len(records)))] == [4] * len(records)


def test_what_is_stored_is_not_decoded_again(table, records, monkeypatch):
    store(table, records)
    refuse_to_decode(monkeypatch)

    report = store(table, records)

    assert (report.num_stored, report.num_new) == (5, 0)


def test_an_interrupted_run_goes_on_where_it_was(table, records, monkeypatch):
    def interrupt(done, _total):
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store(table, records, on_progress=interrupt)
    seen = []
    decode = FrameSettings.decode
    monkeypatch.setattr(
        FrameSettings, "decode", lambda self, record: seen.append(record.id) or decode(self, record)
    )

    report = store(table, records)

    assert sorted(seen) == ["v3", "v4"]
    assert (report.num_stored, report.num_new) == (5, 2)


def test_a_killed_run_keeps_what_was_stored(table, records):
    code = """
import os, sys
from pathlib import Path
from mvadapter.data import frame_store
from mvadapter.backbone.recipes import Resize
from mvadapter.data.frames import FrameSettings
from mvadapter.data.records import Record
frame_store._SHARD_BYTES = 1
table, *videos = map(Path, sys.argv[1:])
records = [Record(id=f"v{n}", video=video, captions=("one",)) for n, video in enumerate(videos)]
frame_store.store_frames(
    table, records, FrameSettings(num_frames=4, sampling="uniform", resize=Resize.crop(32)), num_workers=2,
    on_progress=lambda done, total: done == 3 and os.kill(os.getpid(), 9),
)
"""
    videos = dict.fromkeys(str(record.video) for record in records)
    killed = subprocess.run([sys.executable, "-c", code, str(table), *videos], check=False)

    report = store(table, records)

    assert killed.returncode == -signal.SIGKILL
    # The third one is stored before progress is told of it.
    assert (report.num_stored, report.num_new) == (5, 2)


def test_a_shard_that_no_index_names_is_replaced(table, records, monkeypatch):
    monkeypatch.setattr(frame_store, "_SHARD_BYTES", 1)
    store(table, records[:2])
    folder = stored_folders(table)[SETTINGS]
    # As if the process had been killed between a shard and its index.
    (folder / "000001.arrow").write_bytes(b"half")

    store(table, records)

    assert sorted(path.name for path in folder.iterdir()) == [
        *(f"{number:06}.arrow" for number in range(5)), "index.parquet",
    ]  # fmt: skip
    assert all(opened(table).stored(record) is not None for record in records)


def test_a_bad_video_is_skipped_with_its_reason(table, records, tmp_path):
    (tmp_path / "bad.mp4").write_text("no video")
    bad = Record(id="bad", video=tmp_path / "bad.mp4", captions=("one",))

    report = store(table, [bad, *records])

    assert list(report.skipped) == ["bad"]
    assert "cannot be opened as a video" in report.skipped["bad"]
    assert report.num_stored == 5
    assert opened(table).frames(bad) is None
    (found,) = FrameReader([bad], SETTINGS, store=opened(table)).read([0])
    assert isinstance(found, VideoError)


@pytest.mark.parametrize("place", [-3000, -1500, 300])
def test_damage_is_noticed_and_the_video_decoded_instead(table, records, place, caplog):
    store(table, records)
    shard = stored_folders(table)[SETTINGS] / "000000.arrow"
    data = bytearray(shard.read_bytes())
    data[place : place + 200] = bytes(200)
    shard.write_bytes(data)
    reader = FrameReader(records, SETTINGS, store=opened(table))

    frames = list(reader.read(range(len(records))))

    assert "are damaged, so its video is decoded" in caplog.text
    for ours, record in zip(frames, records, strict=True):
        difference = ours.int() - SETTINGS.decode(record).int()
        assert difference.abs().float().mean() < 2
    assert store(table, records).num_new > 0
    assert all(opened(table).stored(record) is not None for record in records)


def test_a_lost_shard_is_made_again(table, records, caplog):
    store(table, records)
    (stored_folders(table)[SETTINGS] / "000000.arrow").unlink()

    assert opened(table).stored(records[0]) is None
    assert store(table, records).num_new == 5


def test_a_video_that_changed_is_decoded_again(table, records, tmp_path):
    store(table, records)
    write_video(records[0].video, range(100, 140))

    assert opened(table).stored(records[0]) is None
    assert store(table, records).num_new == 1


def test_the_videos_may_go_once_their_frames_are_stored(table, records):
    store(table, records)
    before = opened(table).frames(records[0])
    records[0].video.unlink()

    assert torch.equal(opened(table).frames(records[0]), before)


def test_frames_for_other_settings_lie_apart(table, records):
    small = FrameSettings(num_frames=2, sampling="left-edge", resize=Resize.crop(16))
    store(table, records)
    store(table, records, small)

    assert stored_folders(table) == {
        SETTINGS: table.with_name("t.parquet.frames") / "4-uniform-32px",
        small: table.with_name("t.parquet.frames") / "2-left-edge-16px",
    }
    assert opened(table, small).frames(records[0]).shape == (2, 3, 16, 16)


def test_segments_of_one_video_are_stored_apart(table, tmp_path):
    video = write_video(tmp_path / "a.mp4", 60)
    early, late = (
        Record(id="a", video=video, captions=("one",), start_seconds=start, end_seconds=start + 1)
        for start in (0.0, 1.0)
    )

    store(table, [early, late])

    cache = opened(table)
    difference = cache.frames(early).int() - cache.frames(late).int()
    assert difference.abs().float().mean() > 5


def test_a_damaged_index_is_refused(table, records):
    store(table, records)
    (stored_folders(table)[SETTINGS] / "index.parquet").write_bytes(b"no")

    with pytest.raises(DataError, match=r"index\.parquet: the index of stored frames cannot be"):
        opened(table)


def without_digest(index):
    return index.replace_schema_metadata(None)


def with_a_row_below_zero(index):
    return pyarrow.Table.from_pylist([row | {"row": -1} for row in index.to_pylist()])


def without_shards(index):
    return index.drop_columns("shard")


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (without_digest, "is damaged (its sha256 is missing or another)"),
        (with_a_row_below_zero, "0: row must be at least 0, got -1"),
        (without_shards, "0.shard: field required"),
    ],
)
def test_an_index_of_other_rows_is_refused_in_one_line(table, records, change, problem):
    store(table, records)
    path = stored_folders(table)[SETTINGS] / "index.parquet"
    pyarrow.parquet.write_table(change(pyarrow.parquet.read_table(path)), path)

    with pytest.raises(DataError) as caught:
        opened(table)

    message = str(caught.value)
    assert message.startswith(f"{path}: {problem}")
    assert message.endswith(
        f"; delete {path.parent} and run 'mvadapter data prepare --frames' again"
    )
    assert "\n" not in message


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_a_pipe_instead_of_frames_is_not_waited_for(table, records):
    store(table, records)
    path = stored_folders(table)[SETTINGS] / "000000.arrow"
    path.unlink()
    os.mkfifo(path)

    assert opened(table).frames(records[0]) is None


def test_a_table_without_stored_frames_has_none(table):
    assert stored_folders(table) == {}


def test_a_second_process_is_kept_from_storing(table, records):
    home = table.parent / f"{table.name}.frames"
    home.mkdir()
    code = "import fcntl, sys; f = open(sys.argv[1], 'a'); fcntl.flock(f, 2); print(1, flush=True); input()"
    other = subprocess.Popen(
        [sys.executable, "-c", code, str(home / "lock")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        other.stdout.readline()
        with pytest.raises(DataError, match="another process is storing frames here"):
            store(table, records)
    finally:
        other.communicate(b"\n")


@pytest.mark.parametrize(
    "how",
    [
        Resize.crop(32),
        Resize(size_px=32, short_side_px=40),
        Resize(size_px=32, short_side_px=32, fit="squash", interpolation="bilinear"),
    ],
)
def test_frames_of_every_resizing_are_found_again(table, records, how):
    settings = FrameSettings(num_frames=2, sampling="head", resize=how)

    report = store(table, records, settings)

    assert stored_folders(table) == {settings: report.folder}
