"""How the times in a file become times that only go forward."""

from bisect import bisect_right
from dataclasses import dataclass, field


@dataclass(slots=True, kw_only=True)
class Clock:
    """How the times that a file holds become times that only go forward.

    A new one changes nothing; `scan_packets` fills it.
    """

    part_places: list[int] = field(default_factory=list)
    """Byte at which each part begins whose clock does not continue the one before, ascending."""
    part_shifts: list[int] = field(default_factory=list)
    """What to add to the times in each, in ticks."""
    keyframe_places: dict[int, int] = field(default_factory=dict)
    """When a keyframe begins, in ticks -> the byte at which its packet does."""
    sound: set[int] = field(default_factory=set)
    """Bytes at which packets begin that FFmpeg takes for damaged although nothing is missing: where
    the counters of a stream begin again."""
    frame_ticks: int | None = None
    """How long each frame lasts in a file without times, whose frames are counted; else None."""
    remark: str | None = None
    """What is unusual about the clock, in one line."""

    def shift_at(self, place: int) -> int:
        """What to add to the times in a packet that begins at a byte."""
        part = bisect_right(self.part_places, place) - 1
        return self.part_shifts[part] if part >= 0 else 0
