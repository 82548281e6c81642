"""Recordings whose clock begins again, jumps or is missing, and files that hold several videos."""

from contextlib import suppress
from fractions import Fraction
from itertools import pairwise

import av
import numpy as np
import pytest

from made_videos import numbers_in, video_info, write_video
from mvadapter.errors import VideoError
from mvadapter.video import timetable
from mvadapter.video.clock import Clock
from mvadapter.video.decode import VideoReader, read_segment
from mvadapter.video.remembered import RememberedScans, Scan
from mvadapter.video.timeline import Stretch

TV = {"codec": "mpeg2video", "tick": Fraction(1, 25), "num_b_frames": 0}
STREAMS = {
    "h264.ts": {"num_b_frames": 2},
    "mpeg2.ts": TV,
    "mpeg2.mpg": TV,
    "mpeg2.vob": TV,
    "h264.m2ts": {},
    "hevc.ts": {"codec": "libx265"},
}
RATES = {name: 1 / kind.get("tick", Fraction(1, 30)) for name, kind in STREAMS.items()}


def joined(path, *parts):
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    return path


def pieces(folder, name, *lengths, **kind):
    """Write videos whose frames are numbered from 0, each from the same time on."""
    made, suffix = [], name[name.rindex(".") :]
    for place, length in enumerate(lengths):
        path = folder / f"{place}{suffix}"
        made.append(write_video(path, length, **kind))
    return made


@pytest.mark.parametrize("lengths", [(60, 60), (90, 30), (30, 90), (30, 30, 30)])
@pytest.mark.parametrize("name", STREAMS)
def test_parts_whose_clock_begins_again_follow_one_another(tmp_path, name, lengths):
    parts = pieces(tmp_path, name, *lengths, **STREAMS[name])
    path = joined(tmp_path / f"joined-{name}", *parts)

    with VideoReader(path) as reader:
        frames, info = reader.read(999), reader.info
        expected = [number for length in lengths for number in range(length)]
        assert numbers_in(frames.images) == expected
        rate = float(RATES[name])
        np.testing.assert_allclose(np.diff(frames.seconds), 1 / rate, atol=0.001)
        assert info.end_seconds - info.start_seconds == pytest.approx(sum(lengths) / rate, abs=0.01)
        assert "its clock breaks at" in info.remark

    # Any part of it, in any order, by one reader or several.
    edges = np.linspace(info.start_seconds, info.end_seconds, 5)
    for start, end in reversed(list(pairwise(edges))):
        inside = (frames.seconds >= start) & (frames.seconds < end)
        shown = numbers_in(read_segment(path, 999, start, end).images)
        assert shown[-inside.sum() :] == numbers_in(frames.images[inside])


def test_a_part_that_begins_between_keyframes_begins_at_its_first_keyframe(tmp_path):
    first, second = pieces(tmp_path, "x.ts", 30, 30, num_b_frames=2, keyframe_every=10)
    with av.open(str(second)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    tail = second.read_bytes()
    # The tables of a stream, then all from the fourth frame on.
    second.write_bytes(tail[: 3 * 188] + tail[packets[3].pos :])
    path = joined(tmp_path / "joined.ts", first, second)

    assert numbers_in(read_segment(path, 99).images) == [*range(30), *range(10, 30)]


@pytest.mark.parametrize("pause_seconds", [100, 80_000])
def test_a_clock_that_jumps_ahead_makes_no_empty_hours(tmp_path, pause_seconds):
    first = write_video(tmp_path / "a.ts", 30)
    start = pause_seconds * 30
    second = write_video(tmp_path / "b.ts", range(start, start + 30))
    path = joined(tmp_path / "joined.ts", first, second)

    info = video_info(path)

    assert info.end_seconds - info.start_seconds == pytest.approx(2, abs=0.01)
    assert numbers_in(read_segment(path, 99).images) == [*range(30)] * 2


def test_a_short_pause_of_a_stream_is_kept(tmp_path):
    path = write_video(tmp_path / "pause.ts", [*range(30), *range(150, 180)])

    info = video_info(path)

    assert info.end_seconds - info.start_seconds == pytest.approx(6, abs=0.01)
    assert info.remark is None


def test_a_clock_that_overflows_goes_on(tmp_path):
    # A transport stream's clock has 33 bits of 1/90000 s.
    start = 2**33 // 3000 - 30
    path = write_video(tmp_path / "late.ts", range(start, start + 60), num_b_frames=2)

    frames, info = read_segment(path, 99), video_info(path)

    assert numbers_in(frames.images) == list(range(60))
    assert info.end_seconds - info.start_seconds == pytest.approx(2, abs=0.01)


def without_times(path):
    """Make the times in the packets of a program stream unknown (ISO/IEC 13818-1, 2.4.3.7)."""
    data = bytearray(path.read_bytes())
    place = data.find(b"\0\0\1\xe0")
    while place >= 0:
        if data[place + 7] & 0xC0:
            data[place + 7] &= 0x3F
            length = data[place + 8]
            data[place + 9 : place + 9 + length] = b"\xff" * length
        place = data.find(b"\0\0\1\xe0", place + 4)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("name", "kind", "rate"),
    [
        ("a.h264", {"num_b_frames": 2, "tick": Fraction(1, 25)}, 25),
        ("a.hevc", {"codec": "libx265", "tick": Fraction(1, 25)}, 25),
        ("a.vob", {**TV, "keyframe_every": 12}, 25),
    ],
)
def test_frames_without_times_are_counted(tmp_path, name, kind, rate):
    path = write_video(tmp_path / name, 50, **kind)
    if name.endswith("vob"):
        without_times(path)

    with VideoReader(path) as reader:
        frames = reader.read(99)
        late = reader.read(99, 1.0, 1.4)
        early = reader.read(2, 0.2, 0.6)
        remark = reader.info.remark

    assert numbers_in(frames.images) == list(range(50))
    begin = frames.seconds[0]
    np.testing.assert_allclose(frames.seconds - begin, np.arange(50) / rate, atol=1e-6)
    assert numbers_in(late.images) == list(range(25, 35))
    assert numbers_in(early.images) == [7, 12]
    assert remark == "its frames have no times; they were counted at 25 frames a second"


def test_a_far_span_of_a_stream_with_b_frames_decodes_only_what_is_near(tmp_path):
    path = write_video(tmp_path / "far.ts", 900, num_b_frames=3, keyframe_every=30)

    with VideoReader(path) as reader:
        start = reader.info.start_seconds
        frames = reader.read(12, start + 28, start + 29)

        assert numbers_in(frames.images)[0] in {841, 842}
        assert reader.num_decoded_frames <= 90


@pytest.mark.parametrize("name", ["one.mp4", "one.mkv", "one.ts"])
def test_each_packet_is_looked_at_once_for_segments_in_order(tmp_path, name, monkeypatch):
    path = write_video(tmp_path / name, 600, keyframe_every=10_000)
    looked_at = []
    with VideoReader(path) as reader:
        packets = reader._packets.packets
        monkeypatch.setattr(
            reader._packets,
            "packets",
            lambda: (looked_at.append(packet) or packet for packet in packets()),
        )
        start = reader.info.start_seconds
        for second in range(20):
            assert len(reader.timeline(start + second, start + second + 1).starts) in {30, 31}

    assert len(looked_at) <= 1210


def with_counters_from(data, start):
    """Let the packet counters of each stream begin with another number."""
    data = bytearray(data)
    for place in range(0, len(data), 188):
        counter = data[place + 3]
        data[place + 3] = counter & 0xF0 | (counter + start) & 0x0F
    return bytes(data)


@pytest.mark.parametrize("codec", ["libx264", "mpeg2video", "libx265"])
def test_counters_that_begin_again_are_no_damage(tmp_path, codec):
    parts = []
    for place in range(6):
        starts = range(20 * place, 20 * place + 20)
        part = write_video(tmp_path / "part.ts", starts, codec=codec, tick=Fraction(1, 25))
        parts.append(with_counters_from(part.read_bytes(), 5 * place))
    path = tmp_path / "stream.ts"
    path.write_bytes(b"".join(parts))

    assert numbers_in(read_segment(path, 999).images) == [*range(20)] * 6


def readable(path, times):
    with VideoReader(path) as reader:
        for seconds in times:
            with suppress(VideoError):
                yield reader.read(1, seconds + 0.001, seconds + 0.002)


@pytest.mark.parametrize("codec", ["libx264", "mpeg2video", "libx265"])
@pytest.mark.parametrize("burst", [1, 3, 8])
def test_frames_whose_packets_were_lost_are_never_given(tmp_path, codec, burst):
    source = write_video(
        tmp_path / "whole.ts", 90, codec=codec, tick=Fraction(1, 25), size=(320, 240)
    )
    sound = read_segment(source, 999)
    expected = dict(zip(sound.seconds.tolist(), sound.images, strict=True))
    data = source.read_bytes()
    num_packets = len(data) // 188
    path, num_given = tmp_path / "lost.ts", 0
    for lost in range(num_packets // 3, num_packets // 3 + 5):
        path.write_bytes(data[: lost * 188] + data[(lost + burst) * 188 :])
        for frames in readable(path, list(expected)):
            image = expected[frames.seconds[0]]
            assert np.abs(image.astype(int) - frames.images[0]).mean() < 1, (lost, frames.seconds)
            num_given += 1
    assert num_given > 5 * 90 * 0.7


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.mkv", {"num_b_frames": 2}),
        ("a.webm", {"codec": "libvpx"}),
        ("a.mp4", {}),
        ("a.mov", {"is_index_first": True}),
        ("a.wmv", {"codec": "wmv2"}),
        ("a.flv", {}),
        ("a.nut", {"num_b_frames": 2}),
        ("a.ivf", {"codec": "libvpx"}),
        ("a.wtv", {}),
        ("a.apng", {"codec": "apng", "pixels": "rgb24"}),
    ],
)
def test_a_file_that_holds_two_videos_says_so(tmp_path, name, kind):
    first, second = pieces(tmp_path, name, 60, 60, **kind)
    path = joined(tmp_path / f"joined-{name}", first, second)

    with pytest.raises(VideoError, match=r"jumps back from|holds several videos"):
        read_segment(path)
    assert numbers_in(read_segment(first, 99).images) == list(range(60))


@pytest.mark.parametrize(
    ("name", "kind"), [("a.avi", {"codec": "mpeg4"}), ("a.gif", {"codec": "gif", "pixels": "rgb8"})]
)
def test_what_comes_after_the_declared_end_is_not_left_out(tmp_path, name, kind):
    kind = {"tick": Fraction(1, 25), **kind}
    path = joined(tmp_path / f"joined-{name}", *pieces(tmp_path, name, 50, 50, **kind))

    with VideoReader(path) as reader:
        assert reader.info.end_seconds == pytest.approx(2)
        assert reader.real_end_seconds == pytest.approx(4)
        assert numbers_in(reader.read(999).images) == [*range(50)] * 2


def test_a_file_is_scanned_once_until_it_changes(tmp_path, monkeypatch):
    scanned = []
    scan = timetable.scan_packets
    monkeypatch.setattr(
        timetable, "scan_packets", lambda file: (scanned.append(file.path), scan(file))[1]
    )
    path = joined(tmp_path / "joined.ts", *pieces(tmp_path, "x.ts", 60, 60, num_b_frames=2))

    first = read_segment(path, 999)
    with VideoReader(path) as reader:
        start = reader.info.start_seconds
        again = numbers_in(reader.read(999, start + 3.0, start + 3.5).images)
        assert reader.info.remark is not None
    assert again == list(range(30, 45))
    assert numbers_in(first.images) == [*range(60)] * 2
    assert scanned == [path]

    write_video(path, 40)
    assert numbers_in(read_segment(path, 999).images) == list(range(40))
    assert scanned == [path, path]


def test_only_so_many_scans_are_remembered(tmp_path):
    paths = [tmp_path / name for name in "abc"]
    remembered, made = RememberedScans(max_frames=25), []
    for path in paths:
        path.touch()
    for path in [*paths, *reversed(paths)]:
        stretch = Stretch(1)
        for begin in range(10):
            stretch.add(begin, 1, is_keyframe=True)
        remembered.get(path, lambda: made.append(0) or Scan(Clock(), stretch))  # noqa: B023 - called at once

    assert len(made) == 4
