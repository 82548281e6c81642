"""What is cut from every container is decoded and compared with its source, frame by frame."""

from itertools import product

import av
import pytest

from made_videos import number_in, write_video
from mvadapter.video.cut import cut_segment
from mvadapter.video.decode import VideoReader

# For each container a codec that is copied, one that is encoded again, and one for the sound.
CODECS = {
    "mp4": ("libx264", "mpeg4", "aac"),
    "mov": ("libx264", "mpeg4", "aac"),
    "mkv": ("libx264", "mpeg4", "aac"),
    "webm": ("libvpx-vp9", "libvpx", "libopus"),
    "ts": ("libx264", "mpeg2video", "aac"),
    "m2ts": ("libx264", "mpeg2video", "ac3"),
    "avi": ("libx264", "mpeg4", "libmp3lame"),
    "flv": ("libx264", "flv", "aac"),
    "mpg": (None, "mpeg2video", "mp2"),
}
LATE = 45  # Frames of which none is there: the video begins at 1.5 s.
NUM_FRAMES = 100
# Groups that refer to the one before, and pictures that are refreshed little by little.
OPEN_GROUPS = {"x264-params": "open-gop=1", "preset": "medium"}
GRADUAL_REFRESH = {"x264-params": "intra-refresh=1", "preset": "medium"}


ALL = [
    (container, codec, num_b_frames, keyframe_every, late)
    for container, (*codecs, _) in CODECS.items()
    for codec, num_b_frames, keyframe_every, late in product(
        codecs, (0, 2), (1, 7, 30, 250), (0, LATE)
    )
    if codec and not (num_b_frames and (codec.startswith("libvpx") or codec == "flv"))
]


def check(tmp_path, made, options=None):
    container, codec, num_b_frames, keyframe_every, late = made
    source = write_video(
        tmp_path / f"source.{container}",
        range(late, late + NUM_FRAMES),
        codec=codec,
        keyframe_every=keyframe_every,
        num_b_frames=num_b_frames,
        options=options,
        sound=CODECS[container][2],
    )
    with VideoReader(source) as reader:
        begin = reader.info.start_seconds
        shown = [(frame.seconds[0], number_in(frame.images[0])) for frame in reader.frames()]
    assert [number for _, number in shown] == list(range(NUM_FRAMES))

    cut = cut_segment(source, begin + 1.6, begin + 2.4, tmp_path / "cut.mp4")

    with av.open(str(cut.path)) as file:
        assert next(file.demux(video=0)).is_keyframe
        assert len(file.streams.audio) == 1
    with av.open(str(cut.path)) as file:
        written = [
            (frame.pts * float(frame.time_base), number_in(frame.to_ndarray(format="rgb24")))
            for frame in file.decode(video=0)
        ]
    expected = [
        (seconds - cut.start_seconds, number)
        for seconds, number in shown
        if cut.start_seconds - 1e-6 <= seconds < cut.end_seconds - 1e-3
    ]
    assert [number for _, number in written] == [number for _, number in expected]
    # Matroska and FLV count milliseconds.
    assert [time for time, _ in written] == pytest.approx([time for time, _ in expected], abs=1e-3)
    asked = {n for s, n in shown if begin + 1.6 - 1e-6 <= s < begin + 2.4 - 1e-6}
    assert asked <= {number for _, number in written}
    if codec == CODECS[container][1]:
        assert len(written) <= len(asked) + 1


# Every container and codec, and among them every number of B-frames, length of group and start.
@pytest.mark.parametrize(
    "made", [one for place, one in enumerate(ALL) if place % 7 == 0], ids=lambda made: f"{made}"
)
def test_a_cut_shows_the_frames_of_its_source(tmp_path, made):
    check(tmp_path, made)


@pytest.mark.slow
@pytest.mark.parametrize("made", ALL, ids=lambda made: f"{made}")
def test_a_cut_shows_the_frames_of_its_source_in_every_case(tmp_path, made):
    check(tmp_path, made)


def test_the_quick_cases_have_every_codec_of_every_container():
    quick = {made[:2] for made in ALL[::7]}

    assert quick == {made[:2] for made in ALL}


@pytest.mark.parametrize("container", ["mp4", "mkv", "ts"])
@pytest.mark.parametrize("options", [OPEN_GROUPS, GRADUAL_REFRESH], ids=["open", "gradual"])
def test_groups_that_need_the_one_before_are_cut_as_well(tmp_path, container, options):
    check(tmp_path, (container, "libx264", 2, 7, LATE), options)


@pytest.mark.parametrize("container", ["mp4", "mkv", "ts"])
def test_hevc_is_cut_where_its_groups_begin(tmp_path, container):
    check(tmp_path, (container, "libx265", 2, 30, LATE))


@pytest.mark.parametrize("container", ["mp4", "mkv", "webm"])
def test_av1_is_cut_where_its_groups_begin(tmp_path, container):
    check(tmp_path, (container, "libsvtav1", 0, 30, 0))
