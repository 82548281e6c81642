import random
import subprocess
import sys
from fractions import Fraction
from itertools import pairwise

import av
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import made_videos
from made_videos import duration_of, number_in, numbers_in, painted, turned, video_info, write_video
from mvadapter.errors import ConfigError, VideoError
from mvadapter.video.decode import SegmentFrames, VideoReader, read_segment

NUM_FRAMES = 120
IRREGULAR = random.Random(0)
IRREGULAR_STARTS = [0, *sorted(IRREGULAR.sample(range(1, 6000), NUM_FRAMES - 1))]

# Name -> how to write it; all have frames 0 to 119, and 30 ticks a second unless they say other.
KINDS = {
    "cfr.mp4": {},
    "cfr.mkv": {},
    "cfr.avi": {"codec": "mpeg4", "num_b_frames": 2},
    "b-frames and one long group.mp4": {"num_b_frames": 3, "keyframe_every": 100},
    "b-frames and short groups.mp4": {"num_b_frames": 3, "keyframe_every": 9},
    "open groups.mkv": {
        "num_b_frames": 3,
        "keyframe_every": 15,
        "options": {"x264-params": "open-gop=1:b-adapt=0", "preset": "veryfast"},
    },
    "begins at half a second.mp4": {"starts": range(15, 15 + NUM_FRAMES), "num_b_frames": 2},
    "vfr.mp4": {"starts": IRREGULAR_STARTS, "tick": Fraction(1, 1000), "num_b_frames": 2},
    "vfr.mkv": {"starts": IRREGULAR_STARTS, "tick": Fraction(1, 1000), "num_b_frames": 2},
    "ts.ts": {"num_b_frames": 2},
    "hevc.mp4": {"codec": "libx265"},
    "vp9.webm": {"codec": "libvpx-vp9"},
}


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("videos")
    for name, kind in KINDS.items():
        write_video(folder / name, **{"starts": NUM_FRAMES, **kind})
    return folder


@pytest.mark.parametrize("name", KINDS)
def test_every_frame_is_the_one_its_time_says(videos, name):
    with VideoReader(videos / name) as reader:
        frames = reader.read(NUM_FRAMES)

    assert numbers_in(frames.images) == list(range(NUM_FRAMES))
    assert (np.diff(frames.seconds) > 0).all()


@pytest.mark.parametrize("name", KINDS)
def test_random_times_give_the_frame_on_display(videos, name):
    with VideoReader(videos / name) as reader:
        edges = [*reader.read(NUM_FRAMES).seconds, reader.info.end_seconds]
        for number in random.Random(1).choices(range(NUM_FRAMES), k=25):
            middle = (edges[number] + edges[number + 1]) / 2

            frames = reader.read(1, middle, edges[number + 1])

            assert numbers_in(frames.images) == [number]
            assert frames.seconds.tolist() == [edges[number]]


@pytest.mark.parametrize("name", KINDS)
def test_segments_read_in_order_through_one_reader_equal_fresh_reads(videos, name):
    info = video_info(videos / name)
    edges = np.linspace(info.start_seconds, info.end_seconds, 6)

    with VideoReader(videos / name) as reader:
        together = [reader.read(3, start, end) for start, end in pairwise(edges)]

    for (start, end), frames in zip(pairwise(edges), together, strict=True):
        alone = read_segment(videos / name, 3, start, end)
        np.testing.assert_array_equal(frames.images, alone.images)
        np.testing.assert_array_equal(frames.seconds, alone.seconds)


def test_the_start_of_a_file_that_begins_late_is_kept(videos):
    path = videos / "begins at half a second.mp4"

    assert read_segment(path, 1, sampling="head").seconds.tolist() == [0.5]
    assert video_info(path).start_seconds == 0.5
    assert video_info(path).end_seconds == 4.5


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    num_frames=st.integers(1, 130),
    sampling=st.sampled_from(["uniform", "left-edge", "head", "tail"]),
    name=st.sampled_from(["cfr.mp4", "cfr.mkv"]),
)
def test_each_sampling_takes_its_frames_of_a_constant_rate(readers, num_frames, sampling, name):
    expected = {
        "uniform": [(2 * i + 1) * NUM_FRAMES // (2 * num_frames) for i in range(num_frames)],
        "left-edge": [i * NUM_FRAMES // num_frames for i in range(num_frames)],
        "head": list(range(num_frames)),
        "tail": list(range(NUM_FRAMES - num_frames, NUM_FRAMES)),
    }[sampling]
    if num_frames >= NUM_FRAMES:
        expected = list(range(NUM_FRAMES))

    frames = readers[name].read(num_frames, sampling=sampling)

    assert numbers_in(frames.images) == expected


@pytest.fixture(scope="module")
def readers(videos):
    with VideoReader(videos / "cfr.mp4") as mp4, VideoReader(videos / "cfr.mkv") as mkv:
        yield {"cfr.mp4": mp4, "cfr.mkv": mkv}


def test_a_boundary_on_a_frame_belongs_to_what_follows(videos):
    third = 1 / 3

    before = read_segment(videos / "cfr.mp4", 99, 0.0, third)
    after = read_segment(videos / "cfr.mp4", 99, third, 2 * third)

    assert numbers_in(before.images) == list(range(10))
    assert numbers_in(after.images) == list(range(10, 20))


def test_a_segment_shorter_than_a_frame_gives_the_one_on_display(videos):
    assert numbers_in(read_segment(videos / "cfr.mp4", 12, 1.01, 1.02).images) == [30]


def test_times_beyond_both_ends_mean_the_whole(videos):
    frames = read_segment(videos / "cfr.mp4", 3, -5.0, 1e300)

    assert numbers_in(frames.images) == numbers_in(read_segment(videos / "cfr.mp4", 3).images)


def test_frames_gives_every_frame_of_a_segment_one_by_one(videos):
    with VideoReader(videos / "cfr.mp4") as reader:
        numbers = [number_in(frame.images[0]) for frame in reader.frames(1.0, 1.5)]

    assert numbers == list(range(30, 45))


def test_a_distant_segment_is_reached_by_a_seek(videos):
    with VideoReader(videos / "cfr.mp4") as reader:
        reader.read(1, 3.5, 4.0, sampling="head")

        assert reader.num_decoded_frames <= 20


def test_frames_far_apart_are_reached_by_seeks(tmp_path):
    path = write_video(tmp_path / "long.mp4", 600, keyframe_every=20)

    with VideoReader(path) as reader:
        frames = reader.read(4)

        assert numbers_in(frames.images) == [75, 225, 375, 525]
        assert reader.num_decoded_frames <= 4 * 25


def test_neighbouring_segments_are_decoded_in_one_go(videos):
    with VideoReader(videos / "b-frames and one long group.mp4") as reader:
        for start in np.arange(0, 3, 0.5):
            reader.read(4, start, start + 0.5)

        assert reader.num_decoded_frames <= NUM_FRAMES


def test_going_back_gives_the_same_frames(videos):
    with VideoReader(videos / "b-frames and short groups.mp4") as reader:
        late = numbers_in(reader.read(2, 3.0, 3.5).images)
        early = numbers_in(reader.read(2, 0.0, 0.5).images)

        assert (late, early) == ([93, 101], [3, 11])
        assert numbers_in(reader.read(2, 3.0, 3.5).images) == late


def test_several_threads_give_the_same_frames(videos):
    path = videos / "b-frames and short groups.mp4"

    frames = read_segment(path, 5, 1.0, 3.0, num_threads=3)

    np.testing.assert_array_equal(frames.images, read_segment(path, 5, 1.0, 3.0).images)


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_pictures_are_turned_upright(tmp_path, degrees):
    path = turned(write_video(tmp_path / "turned.mp4", 3), degrees)

    frames, info = read_segment(path, 3), video_info(path)

    upright = np.rot90(frames.images, degrees // 90, axes=(1, 2))
    assert numbers_in(upright) == [0, 1, 2]
    assert frames.images.shape[1:3] == (info.height_px, info.width_px)
    assert (info.width_px < info.height_px) == (degrees != 180)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("ten bits.mp4", {"codec": "libx265", "pixels": "yuv420p10le"}),
        ("alpha.webm", {"codec": "libvpx-vp9", "pixels": "yuva420p"}),
        ("av1.mp4", {"codec": "libsvtav1"}),
        ("vp8.webm", {"codec": "libvpx"}),
        ("old.avi", {"codec": "mpeg4"}),
        ("all.gif", {"codec": "gif", "pixels": "rgb8", "tick": Fraction(1, 25)}),
        ("odd.mp4", {"pixels": "yuv444p", "size": (63, 47)}),
        ("flv.flv", {"codec": "flv", "keyframe_every": 5}),
    ],
)
def test_formats_of_all_kinds_are_read(tmp_path, name, kind):
    path = write_video(tmp_path / name, 10, **kind)

    frames = read_segment(path, 10)

    assert numbers_in(frames.images) == list(range(10))
    assert (video_info(path).width_px, video_info(path).height_px) == kind.get("size", (64, 48))


def test_one_frame_is_a_video(tmp_path):
    path = write_video(tmp_path / "one.mp4", 1)

    assert read_segment(path, 12).seconds.tolist() == [0.0]
    assert duration_of(path) == pytest.approx(1 / 30)


def test_colours_are_those_that_pyav_gives(tmp_path):
    path = write_video(tmp_path / "video.mp4", 3)
    with av.open(str(path)) as container:
        expected = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]

    np.testing.assert_array_equal(read_segment(path, 3).images, expected)
    assert np.abs(expected[2].astype(int) - painted(2)).mean() < 8


def test_a_reader_gives_the_size_and_the_times_of_the_video(videos):
    info = video_info(videos / "cfr.mp4")

    assert (info.width_px, info.height_px) == (made_videos.WIDTH, made_videos.HEIGHT)
    assert (info.start_seconds, info.end_seconds) == (0.0, 4.0)
    assert info.path == videos / "cfr.mp4"


@pytest.mark.parametrize("name", ["cfr.mkv", "vp9.webm", "ts.ts", "cfr.avi"])
def test_the_end_is_found_in_every_container(videos, name):
    assert duration_of(videos / name) == pytest.approx(4.0, abs=0.002)


def test_a_stream_written_without_a_duration_has_one(tmp_path):
    path = tmp_path / "live.webm"
    write_video(path, 30, codec="libvpx", options={"cpu-used": "8"})
    # A recording that was never finished: Matroska's element "Duration", made unknown to readers.
    path.write_bytes(path.read_bytes().replace(b"\x44\x89\x88", b"\x44\x8a\x88", 1))
    with av.open(str(path)) as container:
        assert container.duration is None

    assert duration_of(path) == pytest.approx(1.0, abs=0.002)
    assert numbers_in(read_segment(path, 2).images) == [7, 22]


def test_ffmpeg_prints_nothing(tmp_path, videos):
    path = made_videos.with_hole(videos / "cfr.mp4", tmp_path / "hole.mp4", 1.0, 2.0)
    script = (
        "import sys; from mvadapter.video.decode import read_segment\n"
        "try: read_segment(sys.argv[1])\n"
        "except Exception as error: assert 'damaged' in str(error), error"
    )

    done = subprocess.run(
        [sys.executable, "-c", script, path], capture_output=True, text=True, check=True
    )

    assert (done.stdout, done.stderr) == ("", "")


def test_segment_frames_refuse_wrong_shapes():
    with pytest.raises(ConfigError, match="images must be uint8"):
        SegmentFrames(images=np.zeros((1, 2, 2, 4), np.uint8), seconds=np.zeros(1))
    with pytest.raises(ConfigError, match="seconds must be float64"):
        SegmentFrames(images=np.zeros((1, 2, 2, 3), np.uint8), seconds=np.zeros(1, np.float32))


def test_impossible_numbers_are_config_errors(videos):
    with pytest.raises(ConfigError, match="num_frames must be at least 1, got 0"):
        read_segment(videos / "cfr.mp4", 0)
    with pytest.raises(ConfigError, match="num_threads must be at least 1, got 0"):
        read_segment(videos / "cfr.mp4", num_threads=0)


@pytest.mark.parametrize(
    ("start", "end", "message"),
    [
        (2.0, 1.0, "a segment from 2.0 to 1.0 s is empty; use an end after its start"),
        (1.0, 1.0, "a segment from 1.0 to 1.0 s is empty"),
        (float("nan"), None, "a segment from nan to inf s is empty"),
        (4.0, None, r"the segment begins at 4\.000 s, but the video ends at 4\.000 s"),
        (1e9, 2e9, r"the segment begins at 1000000000\.000 s, but the video ends"),
        (-2.0, -1.0, r"the segment ends at -1\.000 s, but the video begins at 0\.000 s"),
    ],
)
def test_segments_outside_the_video_are_refused(videos, start, end, message):
    with pytest.raises(VideoError, match=message):
        read_segment(videos / "cfr.mp4", 3, start, end)
