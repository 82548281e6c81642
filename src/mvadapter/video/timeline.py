"""When the frames of a video begin, as it is read from packets."""

from array import array
from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """When the frames of a stretch of video begin, in ticks of its stream."""

    starts: list[int]
    """When each frame begins, ascending; the first may begin before the stretch."""
    end: int
    """When the last of them ends."""
    keyframes: list[int]
    """When each frame begins that can be decoded without an earlier one, ascending."""

    def keyframe_before(self, tick: Fraction | int) -> int | None:
        """Find the latest keyframe that begins at or before `tick`."""
        place = bisect_right(self.keyframes, tick)
        return self.keyframes[place - 1] if place else None


class Stretch:
    """The frames of consecutive packets, collected while they are read.

    Args:
        usual_duration: How long a lone frame lasts that does not say it, in ticks.
    """

    def __init__(self, usual_duration: int) -> None:
        self._usual_duration = usual_duration
        # Arrays, because a day of video has millions of frames.
        self._starts = array("q")
        self._keyframes = array("q")
        self._last_duration = 0

    def __len__(self) -> int:
        return len(self._starts)

    def add(self, begin: int, duration: int, *, is_keyframe: bool) -> None:
        """Add the frame of a packet; frames come nearly in order, so that this is cheap."""
        if not self._starts or begin >= self._starts[-1]:
            self._last_duration = duration
        for times in (self._starts, self._keyframes) if is_keyframe else (self._starts,):
            place = bisect_left(times, begin)
            if place == len(times) or times[place] != begin:
                times.insert(place, begin)

    @property
    def end(self) -> int:
        """When the last frame ends: it lasts as long as the one before, unless it says it."""
        last = self._starts[-1]
        if self._last_duration:
            return last + self._last_duration
        if len(self._starts) > 1:
            return 2 * last - self._starts[-2]
        return last + self._usual_duration

    def keyframe_before(self, tick: Fraction | int) -> int | None:
        """Find the latest keyframe that begins at or before `tick`."""
        place = bisect_right(self._keyframes, tick)
        return self._keyframes[place - 1] if place else None

    def cut(self, start: Fraction | int | None, end: Fraction | int | None) -> Timeline:
        """Take the frames that are on display from `start` to `end`, at least one.

        Args:
            start: In ticks; None is the first frame.
            end: In ticks; None is the end of the last frame.
        """
        starts = self._starts
        first = 0 if start is None else max(0, bisect_right(starts, start) - 1)
        last = len(starts) if end is None else max(first + 1, bisect_left(starts, end))
        finish = starts[last] if last < len(starts) else self.end
        # From the keyframe before, which the first frame needs.
        origin = max(0, bisect_right(self._keyframes, starts[first]) - 1)
        return Timeline(
            starts=starts[first:last].tolist(),
            end=finish,
            keyframes=self._keyframes[origin : bisect_left(self._keyframes, finish)].tolist(),
        )
