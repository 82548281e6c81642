import pytest
import torch

from made_videos import write_video
from mvadapter.backbone.recipes import Resize
from mvadapter.data.frame_reader import FrameReader
from mvadapter.data.frames import FrameSettings
from mvadapter.data.records import Record
from mvadapter.errors import DataError, VideoError
from mvadapter.isolation import Isolation, Processes

SETTINGS = FrameSettings(num_frames=4, sampling="uniform", resize=Resize.crop(16))


def record_of(video):
    return Record(id=video.name, video=video, captions=("one",))


@pytest.fixture
def records(tmp_path):
    good = write_video(tmp_path / "good.mp4", 10)
    (tmp_path / "bad.mp4").write_text("no video")
    return [record_of(good), record_of(tmp_path / "bad.mp4")]


def count_decoded(monkeypatch):
    """The ids of records that are decoded from now on."""
    seen = []
    decode = FrameSettings.decode
    monkeypatch.setattr(
        FrameSettings, "decode", lambda self, record: seen.append(record.id) or decode(self, record)
    )
    return seen


def test_frames_are_squares_of_the_models_size(records):
    (frames,) = FrameReader(records, SETTINGS).read([0])

    assert frames.shape == (4, 3, 16, 16)
    assert frames.dtype == torch.uint8


def test_frames_come_in_the_order_that_was_asked_for(records, monkeypatch):
    def draw(_settings, record):
        return torch.full((1, 3, 2, 2), records.index(record), dtype=torch.uint8)

    monkeypatch.setattr(FrameSettings, "decode", draw)
    reader = FrameReader(records, SETTINGS, num_workers=3)

    found = [int(frames[0, 0, 0, 0]) for frames in reader.read([0, 1, 1, 0] * 50)]

    assert found == [0, 1, 1, 0] * 50


def test_a_bad_video_gives_its_error_each_time_and_ends_nothing(records):
    found = list(FrameReader(records, SETTINGS, cache_bytes=10**6).read([1, 0, 1]))

    assert [isinstance(one, VideoError) for one in found] == [True, False, True]
    assert "bad.mp4" in str(found[0])


def test_kept_frames_are_not_decoded_again(records, monkeypatch):
    seen = count_decoded(monkeypatch)
    reader = FrameReader(records, SETTINGS, cache_bytes=10**6)

    (first,), (second,) = reader.read([0]), reader.read([0])

    assert first is second
    assert seen == ["good.mp4"]


def test_what_does_not_fit_into_the_cache_is_decoded_again(records, monkeypatch):
    seen = count_decoded(monkeypatch)
    reader = FrameReader(records, SETTINGS, cache_bytes=10)

    (first,), (second,) = reader.read([0]), reader.read([0])

    assert torch.equal(first, second)
    assert seen == ["good.mp4", "good.mp4"]


def test_only_few_records_are_read_ahead_of_their_use(records, monkeypatch):
    seen = count_decoded(monkeypatch)
    reader = FrameReader(records[:1] * 1000, SETTINGS)

    frames = reader.read(range(1000))
    next(frames)
    frames.close()

    assert len(seen) <= 128 + 1


def test_the_first_readable_records_are_found_behind_bad_ones(records):
    reader = FrameReader([records[1], records[0], records[0], records[0]], SETTINGS)

    found = reader.first_readable(2)

    assert [position for position, _ in found] == [1, 2]
    assert all(len(frames) == 4 for _, frames in found)


def test_where_no_record_can_be_read_the_first_reason_is_reported(records):
    with pytest.raises(DataError, match=r"none of the 1 videos can be read; .*bad\.mp4"):
        FrameReader(records[1:], SETTINGS).first_readable(2)


@pytest.mark.parametrize(
    ("num_frames", "size_px", "expected"),
    # By hand: 2**28 bytes hold 148 times 12 frames of 224 x 224 x 3, and 12 times 64 of 336.
    [(12, 224, 128), (64, 336, 12), (4096, 224, 1)],
)
def test_large_frames_are_read_less_far_ahead(num_frames, size_px, expected):
    settings = FrameSettings(num_frames=num_frames, sampling="uniform", resize=Resize.crop(size_px))

    assert settings.max_waiting(128) == expected


def test_isolated_records_give_the_same_frames_and_reasons(records):
    here = list(FrameReader(records, SETTINGS).read(range(len(records))))
    there = list(FrameReader(records, SETTINGS, isolation=Isolation()).read(range(len(records))))

    for one, other in zip(here, there, strict=True):
        if isinstance(one, VideoError):
            assert str(one) == str(other)
        else:
            assert torch.equal(one, other)


def test_a_record_that_takes_too_long_is_an_error_of_its_video(records, monkeypatch):
    monkeypatch.setattr(
        Processes, "run", lambda _self, item: item.lost("took more than 5 s to decode")
    )
    reader = FrameReader(records, SETTINGS, isolation=Isolation(max_seconds=5.0))

    (found,) = reader.read([0])

    assert str(found) == (
        f"{records[0].video}: took more than 5 s to decode; convert it, or leave it out"
    )
