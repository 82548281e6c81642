"""A length of time in, the segments to search or to embed out."""

import math
from dataclasses import dataclass

from mvadapter.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A stretch of a video, from its beginning up to but without its end."""

    start_seconds: float
    """When it begins, in the container's presentation time."""
    end_seconds: float
    """When it ends; always after `start_seconds`."""

    def __post_init__(self) -> None:
        if not -math.inf < self.start_seconds < self.end_seconds < math.inf:
            raise ConfigError(
                "end_seconds must be a number after start_seconds, "
                f"got {self.start_seconds} to {self.end_seconds}"
            )


def fixed_windows(start_seconds: float, end_seconds: float, *, max_seconds: float) -> list[Span]:
    """Cut a stretch of a video into as few equal windows as possible.

    Args:
        start_seconds: When the first window begins.
        end_seconds: When the last one ends.
        max_seconds: The most seconds a window may last.

    Returns:
        The windows in order, each beginning where the one before it ends.

    Raises:
        ConfigError: `max_seconds` is not above 0, or the end is not after the start.
    """
    if not 0 < max_seconds < math.inf:
        raise ConfigError(f"max_seconds must be a number above 0, got {max_seconds}")
    span = Span(start_seconds=start_seconds, end_seconds=end_seconds)
    seconds = span.end_seconds - span.start_seconds
    # Less a trifle, so that the rounding of floats (0.3 / 0.1) does not cost a window more.
    num_windows = max(1, math.ceil(seconds / max_seconds - 1e-9))
    edges = [start_seconds + seconds * index / num_windows for index in range(num_windows)]
    return [
        Span(start_seconds=start, end_seconds=end)
        for start, end in zip(edges, [*edges[1:], end_seconds], strict=True)
    ]
