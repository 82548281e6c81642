"""The packets of a recording in, when its frames begin out.

Transport and program streams are often joined, cut or restarted: their clock begins again, jumps or
is missing, and no index says where. As ffmpeg does, each part continues where the one before ends.
"""

from array import array
from fractions import Fraction
from itertools import pairwise

from av.packet import Packet

from mvadapter.video.container import VideoFile
from mvadapter.video.timeline import Stretch
from mvadapter.video.transport import has_gap

# ffmpeg's own bounds: a step back, or a longer pause than this, is a break in the clock.
_MAX_STEP_BACK_SECONDS = Fraction(1, 10)
_MAX_PAUSE_SECONDS = 10
# Without decoding times, frames come in another order than they are shown in.
_MAX_REORDER_SECONDS = Fraction(1)


class _Part:
    """Consecutive packets whose clock runs without a break."""

    def __init__(self) -> None:
        self.begins, self.durations, self.places = array("q"), array("q"), array("q")
        self.is_keyframe = array("b")

    def __len__(self) -> int:
        return len(self.begins)

    def add(self, begin: int, packet: Packet) -> None:  # type: ignore[type-arg]  # no generic at run time
        self.begins.append(begin)
        self.durations.append(packet.duration or 0)
        self.places.append(-1 if packet.pos is None else packet.pos)
        self.is_keyframe.append(packet.is_keyframe)

    def shown(self) -> range | list[int]:
        """Choose the frames that can be decoded: those from the first keyframe on."""
        first = next((i for i, is_keyframe in enumerate(self.is_keyframe) if is_keyframe), None)
        if first is None:
            return range(len(self))
        return [i for i in range(first, len(self)) if self.begins[i] >= self.begins[first]]


def scan_packets(file: VideoFile) -> Stretch:
    """Read all packets of a file, note in its clock what they need, and return their frames.

    Args:
        file: The file, at its beginning, with a new clock.
    """
    parts, num_untimed = [_Part()], 0
    recent: list[Packet] = []  # type: ignore[type-arg]
    for packet in file.packets():
        if not packet.size or packet.is_discard:
            continue
        begin = packet.dts if packet.pts is None else packet.pts
        if begin is None:
            num_untimed += 1
            continue
        if recent and _is_break(recent[-1], packet, file.tick):
            parts.append(_Part())
        parts[-1].add(begin, packet)
        recent = [*recent[-2:], packet]
        place = recent[0].pos
        if recent[0].is_corrupt and place is not None and _is_complete(file, place, recent):
            file.clock.sound.add(place)
    num_timed = sum(map(len, parts))
    # A single time may be lost with the bytes that held it.
    if num_untimed > num_timed:
        return _count(num_untimed + num_timed, file)
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


def _count(num_frames: int, file: VideoFile) -> Stretch:
    duration = file.usual_duration
    file.clock.frame_ticks = duration
    rate = float(1 / (duration * file.tick))
    file.clock.remark = f"its frames have no times; they were counted at {rate:.6g} frames a second"
    stretch = Stretch(duration)
    for number in range(num_frames):
        # None is a keyframe: the place of none is known.
        stretch.add(number * duration, duration, is_keyframe=False)
    return stretch


def _join(parts: list[_Part], file: VideoFile) -> Stretch:
    stretch, clock, breaks = Stretch(file.usual_duration), file.clock, []
    for part in parts:
        shown = part.shown()
        if not shown:
            continue
        shift = 0
        if len(stretch):
            shift = stretch.end - min(part.begins[i] for i in shown)
            breaks.append(f"{file.seconds(stretch.end):.3f}")
        clock.part_places.append(part.places[0])
        clock.part_shifts.append(shift)
        for i in shown:
            begin = part.begins[i] + shift
            stretch.add(begin, part.durations[i], is_keyframe=bool(part.is_keyframe[i]))
            if part.is_keyframe[i] and part.places[i] >= 0:
                clock.keyframe_places[begin] = part.places[i]
    if breaks:
        listed = ", ".join(breaks[:3]) + (f" and {len(breaks) - 3} more" if breaks[3:] else "")
        clock.remark = f"its clock breaks at {listed} s; each part was taken to follow the last"
    return stretch
