"""Starts of frames in, which of them to take out."""

from bisect import bisect_right
from collections.abc import Sequence
from fractions import Fraction
from typing import Literal, TypeAlias, assert_never, get_args

from mvadapter.errors import UnknownNameError
from mvadapter.settings import MAX_POSITIONS, check_range

Sampling: TypeAlias = Literal["uniform", "head", "tail", "left-edge"]
"""How frames are chosen; `choose_frames` describes each name."""

# Containers such as Matroska round every start to a tick of their own (1 ms). A rounded constant
# rate can be distinguished from a variable one only where a frame lasts many ticks.
_ROUNDING_TICKS = 2
_MIN_TICKS_PER_FRAME = 16


def check_sampling(num_frames: int, sampling: Sampling) -> None:
    """Refuse a number of frames or a name of a sampling that cannot be meant.

    Raises:
        ConfigError: `num_frames` is below 1, or more than any model takes.
        UnknownNameError: `sampling` is none of the four names.
    """
    check_range("num_frames", num_frames, 1, MAX_POSITIONS)
    if sampling not in get_args(Sampling):
        raise UnknownNameError("sampling", sampling, get_args(Sampling))


def frame_edges(starts: Sequence[int], end: int) -> list[Fraction]:
    """Give the times at which frames begin, and after them the time at which the last one ends.

    If all frames last equally long except for the container's rounding, the rounding is undone,
    so that a video of constant rate gives the same frames in every container. Otherwise the times
    are unchanged.

    Args:
        starts: When each frame begins, ascending, in ticks.
        end: When the last of them ends, in ticks.
    """
    times = [Fraction(tick) for tick in (*starts, end)]
    step = (times[-1] - times[0]) / len(starts)
    even = [times[0] + index * step for index in range(len(times))]
    is_even = step >= _MIN_TICKS_PER_FRAME and all(
        abs(time - rounded) <= _ROUNDING_TICKS for time, rounded in zip(even, times, strict=True)
    )
    return even if is_even else times


def choose_frames(
    starts: Sequence[Fraction],
    start: Fraction,
    end: Fraction,
    num_frames: int,
    sampling: Sampling,
) -> list[int]:
    """Choose the frames that represent a segment.

    - `uniform` cuts the segment into equal spans and takes the frame on display in the middle of
      each: frame floor((i + 0.5) * available / num_frames) where all last equally long.
    - `left-edge` takes the frame on display at the beginning of each span, as the authors of
      MV-Adapter do: frame i * available // num_frames.
    - `head` takes the first frames and `tail` the last.

    Args:
        starts: When each frame of the segment begins, ascending and not empty, in any unit of time.
        start: When the segment begins; its first frame may have begun before.
        end: When the segment ends.
        num_frames: How many frames to take. A segment that holds no more gives all of them.
        sampling: The rule.

    Returns:
        Ascending indices into `starts`, none of them twice. They are fewer than `num_frames` where
        a segment holds fewer, or where one frame stays on display for several spans.
    """
    available = len(starts)
    if available <= num_frames:
        return list(range(available))
    match sampling:
        case "head":
            return list(range(num_frames))
        case "tail":
            return list(range(available - num_frames, available))
        case "uniform":
            offset = Fraction(1, 2)
        case "left-edge":
            offset = Fraction(0)
        case _:
            assert_never(sampling)
    span = (end - start) / num_frames
    times = (start + (index + offset) * span for index in range(num_frames))
    # The first frame also represents any time before it begins.
    return sorted({max(0, bisect_right(starts, time) - 1) for time in times})
