import json
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock

import av
import pytest

import made_videos
from made_videos import numbers_in, video_info, with_hole, write_tone, write_video
from mvadapter.errors import VideoError
from mvadapter.video import streams
from mvadapter.video.decode import VideoReader, read_segment

REAL = Path(__file__).parents[4] / "shared" / "data" / "broken_and_odd"


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    return write_video(
        tmp_path_factory.mktemp("video") / "video.mp4",
        120,
        keyframe_every=20,
        num_b_frames=2,
        is_index_first=True,
    )


@pytest.fixture(scope="module")
def index_last(tmp_path_factory):
    return write_video(tmp_path_factory.mktemp("index_last") / "video.mp4", 120)


def assert_refused(path, message):
    with pytest.raises(VideoError) as caught:
        read_segment(path)
    told = str(caught.value)
    assert told.startswith(f"{path}: ")
    assert message in told
    assert "; " in told
    assert "\n" not in told


def test_a_missing_file_is_refused(tmp_path):
    assert_refused(tmp_path / "none.mp4", "there is no such file; check the path")


def test_a_folder_is_refused(tmp_path):
    assert_refused(tmp_path, "is a folder; pass the path of a video file")


def test_an_empty_file_is_refused(tmp_path):
    path = tmp_path / "empty.mp4"
    path.touch()

    assert_refused(path, "the file is empty; download or copy it again")


def test_text_with_the_name_of_a_video_is_refused(tmp_path):
    path = tmp_path / "text.mp4"
    path.write_text("not a video\n" * 50)

    assert_refused(path, "cannot be opened as a video")


def test_noise_is_refused(tmp_path):
    path = tmp_path / "noise.mp4"
    path.write_bytes(bytes((i * i * 31 + i) % 251 for i in range(20_000)))

    with pytest.raises(VideoError):
        read_segment(path)


def test_a_device_is_refused():
    assert_refused(Path("/dev/null"), "is not an ordinary file")


def test_sound_alone_is_refused(tmp_path):
    assert_refused(write_tone(tmp_path / "tone.m4a"), "contains no video (but audio)")


def test_a_cover_picture_is_not_a_video(tmp_path):
    path = tmp_path / "song.mp4"
    with av.open(str(path), "w") as written:
        cover = written.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = 64, 48, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic.value
        tone = written.add_stream("aac", rate=48_000, layout="mono")
        frame = av.VideoFrame.from_ndarray(made_videos.painted(1), format="rgb24")
        written.mux(cover.encode(frame))
        written.mux(cover.encode())
        made_videos._write_tone(written, tone, 0.5)

    assert_refused(path, "contains no video (but audio, video)")


def test_a_file_that_lost_its_index_is_refused(tmp_path, index_last):
    path = tmp_path / "cut.mp4"
    path.write_bytes(index_last.read_bytes()[:3000])

    assert_refused(path, "cannot be opened as a video")


def test_a_file_that_breaks_off_says_where(tmp_path, video):
    path = tmp_path / "cut.mp4"
    data = video.read_bytes()
    path.write_bytes(data[: len(data) * 2 // 3])

    assert_refused(path, "s, but should end at 4.000 s; download or copy it again")


def test_what_comes_before_the_break_is_read(tmp_path, video):
    path = tmp_path / "cut.mp4"
    data = video.read_bytes()
    path.write_bytes(data[: len(data) * 2 // 3])

    frames = read_segment(path, 3, 0.0, 1.0)

    assert numbers_in(frames.images) == numbers_in(read_segment(video, 3, 0.0, 1.0).images)


def test_a_damaged_frame_is_refused_with_its_second(tmp_path, video):
    path = with_hole(video, tmp_path / "hole.mp4", 1.5, 1.6)

    with pytest.raises(VideoError, match=r"is damaged: the frame at \d\.\d{3} s cannot be decoded"):
        read_segment(path, 120)


def test_damage_elsewhere_does_not_matter(tmp_path, video):
    path = with_hole(video, tmp_path / "hole.mp4", 1.5, 1.6)

    with VideoReader(path) as reader:
        begin, end = reader.read(5, 0.0, 1.0), reader.read(5, 3.0, 4.0)

    assert numbers_in(begin.images) == [3, 9, 15, 21, 27]
    assert numbers_in(end.images) == [93, 99, 105, 111, 117]


def test_no_frame_built_on_damage_is_given(tmp_path, video):
    path = with_hole(video, tmp_path / "hole.mp4", 1.5, 1.6)
    given = {}

    with VideoReader(path) as reader:
        for number in range(120):
            try:
                frames = reader.read(1, number / 30, (number + 1) / 30)
            except VideoError:
                continue
            given[number] = numbers_in(frames.images)[0]

    assert all(number == seen for number, seen in given.items())
    assert 80 <= len(given) < 120


def test_an_encrypted_file_is_refused(tmp_path):
    if not REAL.is_dir():
        pytest.skip("the encrypted example is not at hand")

    assert_refused(REAL / "r074_short-cenc.mp4", "is encrypted; use a copy without protection")


def test_a_video_without_frames_is_refused(tmp_path):
    path = tmp_path / "none.mkv"
    write_video(path, 1)
    data = path.read_bytes()
    path.write_bytes(data[: data.index(b"\x1f\x43\xb6\x75")])  # Matroska's first cluster

    with pytest.raises(VideoError, match=r"has no frames|cannot be opened"):
        read_segment(path)


def test_pictures_beyond_all_bounds_are_refused_before_they_are_decoded(video, monkeypatch):
    monkeypatch.setattr(streams, "MAX_FRAME_PIXELS", 64 * 48 - 1)

    assert_refused(video, "its pictures are too large, 64 x 48 pixels; scale it down")


def test_more_frames_than_memory_holds_are_refused(video, monkeypatch):
    monkeypatch.setattr("mvadapter.video.decode._MAX_SEGMENT_BYTES", 100_000)

    assert_refused(video, "ask for fewer")


def test_a_stream_that_never_gives_a_frame_ends(tmp_path, video, monkeypatch):
    monkeypatch.setattr("mvadapter.video.decoder._MAX_SILENT_PACKETS", 5)
    path = with_hole(video, tmp_path / "hole.mp4", 0.0, 4.0)

    with pytest.raises(VideoError, match="none of its frames can be decoded"):
        video_info(path)


@pytest.mark.parametrize(
    "name", ["-dash.mp4", "http:colon.mp4", "per%20cent #?.mp4", "fünf 五.mp4", "concat:a|b.mp4"]
)
def test_odd_names_are_only_names(tmp_path, video, name):
    path = tmp_path / name
    shutil.copy(video, path)

    assert len(read_segment(path, 2).images) == 2


def test_a_line_break_in_a_name_leaves_the_message_one_line(tmp_path):
    with pytest.raises(VideoError) as caught:
        video_info(tmp_path / "two\nlines.mp4")

    assert "\n" not in str(caught.value)


READ_ALL = """
import json, sys
from mvadapter.errors import VideoError
from mvadapter.video.decode import VideoReader
for path in sys.argv[1:]:
    try:
        with VideoReader(path) as reader:
            seconds = reader.info.end_seconds - reader.info.start_seconds
            result = [len(reader.read(4).images), seconds]
    except VideoError as error:
        result = str(error)
    print(json.dumps(result), flush=True)
"""


@pytest.mark.skipif(not REAL.is_dir(), reason="the broken and odd files are not at hand")
def test_real_broken_and_odd_files_give_frames_or_one_line():
    files = json.loads((REAL / "files.json").read_text())
    paths = [str(REAL / file["file"]) for file in files]

    # In another process, so that a crash or a hang fails this test only.
    done = subprocess.run(
        [sys.executable, "-c", READ_ALL, *paths],
        capture_output=True,
        text=True,
        timeout=1200,
        check=True,
    )

    assert done.stderr == ""
    told = [json.loads(line) for line in done.stdout.splitlines()]
    for file, path, answer in zip(files, paths, told, strict=True):
        is_sound = file.get("decoded", 0) > 0 and "decode_error" not in file
        if is_sound:
            assert answer[0] == min(4, file["decoded"]), (path, answer)
            assert answer[1] > 0
        else:
            assert isinstance(answer, str), (path, answer)
            assert answer.startswith(path) and "\n" not in answer


def test_too_little_memory_is_no_damage(tmp_path, monkeypatch):
    path = write_video(tmp_path / "sound.mp4", 10)
    with VideoReader(path) as reader:
        full = SimpleNamespace(decode=Mock(side_effect=av.error.MemoryError(12, "no memory")))
        monkeypatch.setattr(reader._decoder._file, "stream", SimpleNamespace(codec_context=full))
        monkeypatch.setattr(reader._decoder._file, "packets", reader._packets.packets)
        with pytest.raises(MemoryError):
            reader._decoder.any_frame()
