"""The packets of a recording in, when its frames begin out.

Transport and program streams are often joined, cut or restarted: their clock begins again, jumps or
is missing, and no index says where. As ffmpeg does, each part continues where the one before ends.
"""

from array import array
from fractions import Fraction
from itertools import pairwise

from av.packet import Packet

from mvadapter.video.clock import UNSHOWN, Keyframe
from mvadapter.video.container import VideoFile
from mvadapter.video.part import Part
from mvadapter.video.reordered import lacks_order, lacks_times, starts_decoding
from mvadapter.video.timeline import Stretch
from mvadapter.video.transport import has_gap

# ffmpeg's own bounds: a step back, or a longer pause than this, is a break in the clock.
_MAX_STEP_BACK_SECONDS = Fraction(1, 10)
_MAX_PAUSE_SECONDS = 10
# Without decoding times, frames come in another order than they are shown in.
_MAX_REORDER_SECONDS = Fraction(1)


def scan_packets(file: VideoFile) -> Stretch:
    """Read all packets of a file, note in its clock what they need, and return their frames.

    Args:
        file: The file, at its beginning, with a new clock.
    """
    if lacks_order(file):
        return _count_times(file)
    codec, has_own_times = file.stream.codec_context.codec.canonical_name, not lacks_times(file)
    parts, num_untimed = [Part(codec, has_own_times=has_own_times)], 0
    recent: list[Packet] = []  # type: ignore[type-arg]
    for packet in file.packets():
        if not packet.size or packet.is_discard:
            continue
        begin = packet.pts if has_own_times and packet.pts is not None else packet.dts
        if begin is None:
            num_untimed += 1
            parts[-1].add(None, packet)
            continue
        if recent and has_own_times and _is_break(recent[-1], packet, file.tick):
            parts.append(Part(codec, has_own_times=has_own_times))
        parts[-1].add(begin, packet)
        recent = [*recent[-2:], packet]
        place = recent[0].pos
        if recent[0].is_corrupt and place is not None and _is_complete(file, place, recent):
            file.clock.sound.add(place)
    num_frames = sum(map(len, parts))
    # A single time may be lost with the bytes that held it.
    if num_untimed > num_frames - num_untimed:
        return _count_frames(num_frames, file)
    return _join(parts, file)


def _is_break(previous: Packet, packet: Packet, tick: Fraction) -> bool:  # type: ignore[type-arg]
    if previous.dts is None or packet.dts is None:
        before, after, most = previous.pts, packet.pts, _MAX_REORDER_SECONDS
    else:
        before, after, most = previous.dts, packet.dts, _MAX_STEP_BACK_SECONDS
        # Pieces of a stream overlap by the frames that their encoder held back.
        if packet.is_keyframe and after <= before:
            return True
    if before is None or after is None:
        return False
    return not -most <= (after - before) * tick <= _MAX_PAUSE_SECONDS


def _is_complete(file: VideoFile, place: int, packets: list[Packet]) -> bool:  # type: ignore[type-arg]
    """Whether nothing is missing where FFmpeg says that the counters of a stream have a gap.

    Args:
        file: The file.
        place: The byte at which the first packet begins.
        packets: The one that FFmpeg says it of, and the two after it: what divides a stream into
            frames may be one behind.
    """
    end = packets[-1].pos
    if end is None or has_gap(file.path, place, end):
        return False
    # Between two, complete frames may be missing that the next one is built on. It does not matter
    # where another part begins, for that is shown from its first keyframe on.
    return all(
        after.is_keyframe
        or _is_break(before, after, file.tick)
        or (
            before.dts is not None
            and after.dts is not None
            and 0 < after.dts - before.dts < 2 * file.usual_duration
        )
        for before, after in pairwise(packets)
    )


def _count_frames(num_frames: int, file: VideoFile) -> Stretch:
    clock, duration = file.clock, file.usual_duration
    clock.is_counted = True
    rate = float(1 / (duration * file.tick))
    clock.remark = f"its frames have no times; they were counted at {rate:.6g} frames a second"
    clock.begins = range(0, num_frames * duration, duration)
    stretch = Stretch(duration)
    for begin in clock.begins:
        # None is a keyframe: the place of none is known.
        stretch.add(begin, duration, is_keyframe=False)
    return stretch


def _count_times(file: VideoFile) -> Stretch:
    """Take the times of decoding, in which a file has as many frames as it shows."""
    stretch, clock, begins = Stretch(file.usual_duration), file.clock, array("q")
    for packet in file.packets():
        if not packet.size or packet.is_discard:
            continue
        begin = packet.dts
        if begin is None:
            begin = begins[-1] + file.usual_duration if begins else 0
        is_first = packet.is_keyframe and starts_decoding(packet)
        if is_first and packet.pos is not None:
            clock.keyframes.append(Keyframe(begin, len(begins), packet.pos))
        begins.append(begin)
        stretch.add(begin, packet.duration or 0, is_keyframe=is_first)
    clock.begins, clock.is_counted = begins, True
    return stretch


def _join(parts: list[Part], file: VideoFile) -> Stretch:
    stretch, clock, breaks = Stretch(file.usual_duration), file.clock, []
    clock.begins = begins = array("q")
    for part in parts:
        shown, first = part.shown(), len(begins)
        begins.extend([UNSHOWN] * len(part))
        if not shown:
            continue
        shift, starts = 0, part.starts(shown, file.usual_duration)
        if len(stretch):
            shift = stretch.end - starts[0]
            breaks.append(f"{file.seconds(stretch.end):.3f}")
        # Of several packets in one piece of the file, only the first has a place.
        clock.part_places.append(next((place for place in part.places if place >= 0), 0))
        clock.part_shifts.append(shift)
        for i, start in zip(shown, starts, strict=True):
            begins[first + i] = begin = start + shift
            stretch.add(begin, part.durations[i], is_keyframe=bool(part.is_keyframe[i]))
            if part.is_keyframe[i] and part.places[i] >= 0:
                clock.keyframes.append(Keyframe(begin, first + i, part.places[i]))
    clock.keyframes.sort()
    if breaks:
        listed = ", ".join(breaks[:3]) + (f" and {len(breaks) - 3} more" if breaks[3:] else "")
        clock.remark = f"its clock breaks at {listed} s; each part was taken to follow the last"
    return stretch
