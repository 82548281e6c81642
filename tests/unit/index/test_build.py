import struct
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from threading import Event

import pytest

from made_videos import write_video
from mvadapter.errors import VideoError
from mvadapter.index.build import _decoding, embed_files
from mvadapter.index.find import FileState
from mvadapter.video.decode import VideoReader


def state_of(path):
    status = path.stat()
    return FileState(path=str(path), size_bytes=status.st_size, mtime_ns=status.st_mtime_ns)


def embed(encoder, *paths):
    files = [state_of(path) for path in paths]
    batches = embed_files(files, encoder, max_segment_seconds=0.5)
    return {video.file.path: video for batch in batches for video in batch}


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
    assert video.problem.startswith("breaks off at 1.000 s, but should go on to 71582788.233 s;")


def test_a_video_of_more_segments_than_memory_holds_is_skipped(far, encoder):
    video = embed(encoder, far)[str(far)]

    assert video.spans == ()
    assert video.problem.startswith("its frames span 31536000 s, expected 1 to 100000 segments;")


def test_reading_stops_at_once_where_no_segment_can_be_read(videos, encoder, monkeypatch):
    reads, is_left = SimpleQueue(), Event()
    shutdown = ThreadPoolExecutor.shutdown

    def fail(*_, **__):
        reads.put(None)
        is_left.wait()
        raise VideoError("no frames")

    def leave(*arguments, **settings):
        is_left.set()
        return shutdown(*arguments, **settings)

    monkeypatch.setattr(VideoReader, "read", fail)
    monkeypatch.setattr(ThreadPoolExecutor, "shutdown", leave)

    # Leaving waits for the thread, which has 1999 more segments to read.
    with _decoding([state_of(videos / "3.mp4")], encoder, 0.001):
        reads.get()

    assert reads.empty()


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
    assert (failed.spans, failed.vectors, failed.problem) == ((), (), reason)


def test_a_mistake_of_ours_is_not_taken_for_a_bad_file(videos, encoder, monkeypatch):
    def fail(*_, **__):
        raise KeyError("mistake")

    monkeypatch.setattr(VideoReader, "read", fail)

    with pytest.raises(KeyError, match="mistake"):
        embed(encoder, videos / "1.mp4")
