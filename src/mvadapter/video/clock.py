"""The packets of a recording in, times out that only go forward.

Transport and program streams are often joined, cut or restarted: their clock begins again, jumps or
is missing, and no index says where. As ffmpeg does, each part continues where the one before ends.
"""

from array import array
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field
from fractions import Fraction

from av.packet import Packet

from mvadapter.video.timeline import Stretch

# ffmpeg's own bounds: a step back, or a longer pause than this, is a break in the clock.
_MAX_STEP_BACK_SECONDS = Fraction(1, 10)
_MAX_PAUSE_SECONDS = 10
# Without decoding times, frames come in another order than they are shown in.
_MAX_REORDER_SECONDS = Fraction(1)


@dataclass(slots=True, kw_only=True)
class Clock:
    """How the times that a file holds become times that only go forward.

    A new one changes nothing; `scan` fills it.
    """

    part_places: list[int] = field(default_factory=list)
    """Byte at which each part begins whose clock does not continue the one before, ascending."""
    part_shifts: list[int] = field(default_factory=list)
    """What to add to the times in each, in ticks."""
    keyframe_places: dict[int, int] = field(default_factory=dict)
    """When a keyframe begins, in ticks -> the byte at which its packet does."""
    frame_ticks: int | None = None
    """How long each frame lasts in a file without times, whose frames are counted; else None."""
    remark: str | None = None
    """What is unusual about the clock, in one line."""

    def shift_at(self, place: int) -> int:
        """What to add to the times in a packet that begins at a byte."""
        part = bisect_right(self.part_places, place) - 1
        return self.part_shifts[part] if part >= 0 else 0


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


def scan(
    packets: Iterable[Packet],  # type: ignore[type-arg]
    clock: Clock,
    tick: Fraction,
    usual_duration: int,
) -> Stretch:
    """Read all packets of a file, note in its clock what they need, and return their frames.

    Args:
        packets: All of them, from the beginning.
        clock: A new one, which is filled.
        tick: Seconds per tick.
        usual_duration: How long a frame lasts where nothing better is known, in ticks.
    """
    parts, num_packets, has_times = [_Part()], 0, True
    previous = None
    for packet in packets:
        if not packet.size or packet.is_discard:
            continue
        num_packets += 1
        begin = packet.dts if packet.pts is None else packet.pts
        if begin is None:
            has_times = False
        if not has_times or begin is None:
            continue
        if previous is not None and _is_break(previous, packet, tick):
            parts.append(_Part())
        parts[-1].add(begin, packet)
        previous = packet
    if not has_times:
        return _count(num_packets, clock, tick, usual_duration)
    return _join(parts, clock, tick, usual_duration)


def _is_break(previous: Packet, packet: Packet, tick: Fraction) -> bool:  # type: ignore[type-arg]
    if previous.dts is None or packet.dts is None:
        before, after, most = previous.pts, packet.pts, _MAX_REORDER_SECONDS
    else:
        before, after, most = previous.dts, packet.dts, _MAX_STEP_BACK_SECONDS
    if before is None or after is None:
        return False
    return not -most <= (after - before) * tick <= _MAX_PAUSE_SECONDS


def _count(num_frames: int, clock: Clock, tick: Fraction, duration: int) -> Stretch:
    clock.frame_ticks = duration
    rate = float(1 / (duration * tick))
    clock.remark = f"its frames have no times; they were counted at {rate:.6g} frames a second"
    stretch = Stretch(duration)
    for number in range(num_frames):
        # None is a keyframe: the place of none is known.
        stretch.add(number * duration, duration, is_keyframe=False)
    return stretch


def _join(parts: list[_Part], clock: Clock, tick: Fraction, usual_duration: int) -> Stretch:
    stretch, breaks = Stretch(usual_duration), []
    for part in parts:
        shown = part.shown()
        if not shown:
            continue
        shift = 0
        if len(stretch):
            shift = stretch.end - min(part.begins[i] for i in shown)
            breaks.append(f"{float(stretch.end * tick):.3f}")
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
