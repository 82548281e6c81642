import pickle
import struct
from queue import SimpleQueue

import pytest
import torch

from made_videos import write_video
from mvadapter.backbone.recipes import Resize
from mvadapter.data.frames import FrameSettings
from mvadapter.embedding.batch import stack_videos
from mvadapter.embedding.files import FileSegments, embed_files
from mvadapter.errors import VideoError
from mvadapter.isolation import Isolation
from mvadapter.video.decode import VideoReader
from mvadapter.workers import run_all
from tolerances import EMBEDDING


def embed(encoder, *paths, **settings):
    embedded = embed_files(paths, encoder, max_segment_seconds=0.5, precision="float32", **settings)
    return {video.path: video for video in embedded}


def item_of(path, max_segment_seconds=0.5):
    frames = FrameSettings(num_frames=2, sampling="uniform", resize=Resize.crop(32))
    return FileSegments(path=str(path), max_segment_seconds=max_segment_seconds, frames=frames)


@pytest.fixture
def boastful(tmp_path):
    """A second of AVI whose header declares two years."""
    path = write_video(tmp_path / "boastful.avi", 30, codec="mpeg4")
    data = bytearray(path.read_bytes())
    # AVIMAINHEADER.dwTotalFrames, and AVISTREAMHEADER.dwLength of the first stream.
    for place in (data.index(b"avih") + 8 + 16, data.index(b"strh") + 8 + 32):
        assert struct.unpack_from("<I", data, place) == (30,)
        struct.pack_into("<I", data, place, 0x7FFFFFFF)
    path.write_bytes(data)
    return path


@pytest.fixture
def far(tmp_path):
    """Two frames, the second a year after the first."""
    return write_video(tmp_path / "far.mkv", [0, 30 * 365 * 24 * 60 * 60])


def test_a_file_that_declares_more_than_it_holds_is_read_to_its_real_end(boastful, encoder):
    video = embed(encoder, boastful)[str(boastful)]

    assert [span.end_seconds for span in video.spans] == [0.5, 1.0]
    assert video.problem.startswith("ends at 1.000 s, but should end at 71582788.233 s;")


def test_a_video_of_more_segments_than_memory_holds_is_skipped(far, encoder):
    video = embed(encoder, far)[str(far)]

    assert video.spans == ()
    assert video.problem.startswith("its frames span 31536000 s, expected 1 to 100000 segments;")


def test_reading_stops_at_once_where_no_segment_can_be_read(videos, monkeypatch):
    reads = SimpleQueue()

    def fail(*_, **__):
        reads.put(None)
        raise VideoError("no frames")

    monkeypatch.setattr(VideoReader, "read", fail)

    # Closing waits for the thread, which has 2000 segments to read.
    pieces = run_all([item_of(videos / "3.mp4", 0.001)], num_workers=1, max_waiting=4)
    next(pieces)
    pieces.close()

    # One in our hand, those that wait, and one or two in the hand of the thread.
    assert reads.qsize() <= 1 + 4 + 2


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OSError(5, "Input/output error"), "input/output error"),
        (MemoryError(), "there is too little memory to read it"),
    ],
)
def test_a_file_that_the_system_fails_to_give_is_skipped_as_a_whole(
    videos, encoder, monkeypatch, error, reason
):
    read = VideoReader.read

    def fail_later(reader, num_frames, start_seconds, *arguments, **settings):
        if reader.info.path.name == "3.mp4" and start_seconds > 0:
            raise error
        return read(reader, num_frames, start_seconds, *arguments, **settings)

    monkeypatch.setattr(VideoReader, "read", fail_later)

    embedded = embed(encoder, videos / "1.mp4", videos / "3.mp4")

    sound, failed = embedded[str(videos / "1.mp4")], embedded[str(videos / "3.mp4")]
    assert (len(sound.spans), sound.problem) == (2, None)
    assert (failed.spans, len(failed.vectors), failed.problem) == ((), 0, reason)


def test_a_mistake_of_ours_is_not_taken_for_a_bad_file(videos, encoder, monkeypatch):
    def fail(*_, **__):
        raise KeyError("mistake")

    monkeypatch.setattr(VideoReader, "read", fail)

    with pytest.raises(KeyError, match="mistake"):
        embed(encoder, videos / "1.mp4")


def test_processes_give_what_threads_give(videos, encoder):
    paths = sorted(videos.glob("*.mp4"))
    (videos / "bad.mp4").write_text("no video")

    here = embed(encoder, *paths, videos / "bad.mp4")
    there = embed(encoder, *paths, videos / "bad.mp4", isolation=Isolation())

    assert here.keys() == there.keys()
    for path, one in here.items():
        assert (one.spans, one.problem) == (there[path].spans, there[path].problem)
        torch.testing.assert_close(one.vectors, there[path].vectors, atol=EMBEDDING, rtol=0)


def test_a_work_item_can_be_pickled_and_does_the_same_elsewhere(videos):
    item = item_of(videos / "2.mp4")

    again = pickle.loads(pickle.dumps(item))  # noqa: S301 - our own bytes

    assert again == item
    assert [piece.span for piece in again.run()] == [piece.span for piece in item.run()]


def test_a_picture_of_every_segment_is_that_of_its_frames(videos, encoder):
    video = embed(encoder, videos / "1.mp4")[str(videos / "1.mp4")]

    expected = encoder.embed_videos(
        *stack_videos(
            encoder, [torch.from_numpy(piece.frames) for piece in item_of(videos / "1.mp4").run()]
        )
    )
    torch.testing.assert_close(video.vectors, expected, atol=EMBEDDING, rtol=0)
