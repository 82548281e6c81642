"""AVI files, which hold when frames are decoded but not when they are shown."""

from contextlib import suppress
from fractions import Fraction

import av
import pytest

from made_videos import number_in, numbers_in, video_info, with_hole, write_video
from mvadapter.errors import VideoError
from mvadapter.video.decode import VideoReader, read_segment

OPEN_GROUPS = {"x264-params": "open-gop=1", "preset": "medium"}
# A frame of MPEG-4 without a picture (ISO/IEC 14496-2, 6.2.5).
EMPTY_FRAME = b"\0\0\1\xb6\x50\0\x7f"


def packed(source, path):
    """Put each frame of type B into the packet before it, as DivX and XviD do."""
    with av.open(str(source)) as file, av.open(str(path), "w") as written:
        stream = written.add_stream_from_template(file.streams.video[0])
        packets = [(bytes(packet), packet.is_keyframe) for packet in file.demux(video=0)]
        chunks = []
        for data, is_keyframe in packets:
            if data and data[data.index(b"\0\0\1\xb6") + 4] >> 6 == 2:
                chunks[-1:] = [(chunks[-1][0] + data, chunks[-1][1]), (EMPTY_FRAME, False)]
            elif data:
                chunks.append((data, is_keyframe))
        for number, (data, is_keyframe) in enumerate(chunks):
            packet = av.Packet(data)
            packet.pts = packet.dts = number
            packet.time_base, packet.stream = Fraction(1, 30), stream
            packet.is_keyframe = is_keyframe
            written.mux(packet)
    return path


@pytest.fixture(
    scope="module",
    params=["h264", "open groups", "mpeg4", "packed"],
)
def film(request, tmp_path_factory):
    path = tmp_path_factory.mktemp("film") / "film.avi"
    options = OPEN_GROUPS if request.param == "open groups" else None
    codec = "mpeg4" if request.param in {"mpeg4", "packed"} else "libx264"
    num_b_frames = 1 if request.param == "packed" else 2
    write_video(
        path, 300, codec=codec, keyframe_every=12, num_b_frames=num_b_frames, options=options
    )
    return packed(path, path.with_name("packed.avi")) if request.param == "packed" else path


def test_each_frame_comes_once_and_at_its_time(film):
    frames = read_segment(film, 999)

    assert numbers_in(frames.images) == list(range(300))
    assert frames.seconds.tolist() == pytest.approx([number / 30 for number in range(300)])
    assert video_info(film).end_seconds == pytest.approx(10)


def test_any_part_gives_the_frames_of_its_time(film):
    with VideoReader(film) as reader:
        for first in (250, 12, 11, 131, 132, 133, 290):
            frames = reader.read(9, first / 30, (first + 9) / 30)
            assert numbers_in(frames.images) == list(range(first, first + 9))


def test_a_far_part_decodes_only_what_is_near(tmp_path):
    path = write_video(tmp_path / "far.avi", 600, num_b_frames=2, keyframe_every=30)

    with VideoReader(path) as reader:
        assert numbers_in(reader.read(1, 19.0, 19.03).images) == [570]
        assert reader.num_decoded_frames < 60


def test_what_comes_after_damage_is_never_another_frame(film, tmp_path, request):
    path = with_hole(film, tmp_path / "hole.avi", 4.0, 4.2)
    num_given = 0
    with VideoReader(path) as reader:
        for number in range(300):
            with suppress(VideoError):
                frames = reader.read(1, number / 30 + 0.001, number / 30 + 0.002)
                assert number_in(frames.images[0]) == number
                num_given += 1

    # Where no keyframe begins anew, none knows how many frames were lost.
    assert num_given > (110 if "open" in request.node.name else 250)
