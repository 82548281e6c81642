"""How the times in a file become times that only go forward."""

from array import array
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import NamedTuple

UNSHOWN = -(2**62)
"""When a frame begins that is never shown, in ticks."""


class Keyframe(NamedTuple):
    """A frame that decoding can begin with, and where it is found again."""

    begin: int
    """When it begins, in ticks."""
    number: int
    """How many packets of the video come before it."""
    place: int
    """The byte at which its packet begins."""


@dataclass(slots=True, kw_only=True)
class Clock:
    """How the times that a file holds become times that only go forward.

    A new one changes nothing; `scan_packets` fills it.
    """

    begins: Sequence[int] = field(default_factory=lambda: array("q"))
    """When the frame of each packet begins, in ticks, or `UNSHOWN`, in the order of packets: a
    seek makes FFmpeg guess other times than reading on does."""
    is_counted: bool = False
    """Whether the packets do not have the times of their own frames, because those are shown in an
    order that the file does not hold: then the n-th frame shown begins at the n-th time."""
    keyframes: list[Keyframe] = field(default_factory=list)
    """Where a seek can go, ascending."""
    part_places: list[int] = field(default_factory=list)
    """Byte at which each part begins whose clock does not continue the one before, ascending."""
    part_shifts: list[int] = field(default_factory=list)
    """What to add to the times in each, in ticks."""
    sound: set[int] = field(default_factory=set)
    """Bytes at which packets begin that FFmpeg takes for damaged although nothing is missing: where
    the counters of a stream begin again."""
    remark: str | None = None
    """What is unusual about the clock, in one line."""

    def take_over(self, other: "Clock") -> None:
        """Become like another, whose lists are shared and must not be changed any more."""
        for each in fields(other):
            setattr(self, each.name, getattr(other, each.name))

    def begin_of(self, number: int) -> int | None:
        """Look up when the frame of a packet begins, in ticks; None where it is never shown."""
        begin = self.begins[number] if number < len(self.begins) else UNSHOWN
        return None if begin == UNSHOWN else begin

    def keyframes_before(self, tick: int) -> list[Keyframe]:
        """Find the latest keyframe that begins at or before a time, and the one before that."""
        place = bisect_right(self.keyframes, tick, key=lambda keyframe: keyframe.begin)
        return self.keyframes[max(0, place - 2) : place]

    def part_at(self, place: int) -> int:
        """Find the number of the part to which the packet at a byte belongs."""
        return max(0, bisect_right(self.part_places, place) - 1)

    def shifts_near(self, place: int) -> list[int]:
        """What to add to the times in a packet at a byte, or else in the parts beside its own."""
        part = self.part_at(place)
        return [
            self.part_shifts[at]
            for at in (part, part + 1, part - 1)
            if 0 <= at < len(self.part_shifts)
        ]
