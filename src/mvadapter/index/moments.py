"""Scores of segments in, moments out."""

import math
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias, assert_never, get_args

import numpy as np
from jaxtyping import Bool, Float, Int

from mvadapter.errors import ConfigError, UnknownNameError
from mvadapter.index.find import is_in

Group: TypeAlias = Literal["moment", "video"]
"""List every moment, or of each video only its best."""

SegmentScores: TypeAlias = Float[np.ndarray, " segment"]
SegmentMask: TypeAlias = Bool[np.ndarray, " segment"]

# Segments of one video meet exactly, except for the rounding of floats.
_ROUNDING_SECONDS = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """A stretch of one video that answers a query."""

    path: Path
    """The video file, where it was when it was indexed."""
    start_seconds: float
    """When it begins, in the container's presentation time."""
    end_seconds: float
    """When it ends."""
    score: float
    """Cosine of the query and the moment's best segment."""

    def to_dict(self) -> dict[str, str | float]:
        """Return plain values for JSON."""
        return {
            "path": str(self.path),
            "start_seconds": self.start_seconds,
            "end_seconds": self.end_seconds,
            "score": self.score,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Segments:
    """All segments of one view, ordered by path and then by time."""

    paths: tuple[str, ...]
    """The videos, sorted."""
    video: Int[np.ndarray, " segment"]
    """For each segment, the index of its video in `paths`."""
    start_seconds: Float[np.ndarray, " segment"]
    end_seconds: Float[np.ndarray, " segment"]
    vectors: Float[np.ndarray, "segment dim"]
    """The embeddings, of unit length."""

    def __len__(self) -> int:
        return len(self.video)

    def in_places(self, places: Collection[str]) -> SegmentMask:
        """Mark the segments of videos that are one of these files or inside one of these folders.

        Args:
            places: Absolute paths.
        """
        is_in_places = [any(is_in(path, place) for place in places) for path in self.paths]
        return np.array(is_in_places, dtype=np.bool_)[self.video]

    def of_moment(self, moment: Moment) -> SegmentMask:
        """Mark the segments of a moment."""
        return (
            self.in_places([str(moment.path)])
            & (self.start_seconds >= moment.start_seconds - _ROUNDING_SECONDS)
            & (self.end_seconds <= moment.end_seconds + _ROUNDING_SECONDS)
        )


def find_moments(
    segments: Segments,
    scores: SegmentScores,
    *,
    top: int,
    is_candidate: SegmentMask | None = None,
    group: Group = "moment",
    min_score: float | None = None,
) -> list[Moment]:
    """Take the best segments one by one, each with the neighbours that belong to the same moment.

    A moment grows from its best segment, the peak, in both directions, over segments of the same
    video that meet it without a gap, for as long as their scores are at least half-way between the
    peak's and the query's typical score, which is the median over all segments: its full width at
    half maximum. A share of the peak alone would not do, because cosines of CLIP are far from zero
    even for videos unrelated to the query. No segment is in two moments.

    Args:
        segments: What was scored.
        scores: The score of each segment.
        top: How many moments to return at most.
        is_candidate: Which segments may be part of a moment; None is all. The others still count
            for the typical score, so that a moment is the same whatever else is searched.
        group: Whether a video may come more than once.
        min_score: Leave out moments that score less; None leaves out nothing.

    Returns:
        The best first; of equal scores, by path and then by time.

    Raises:
        ConfigError: ``top`` is below 1, or ``min_score`` is NaN.
        UnknownNameError: There is no such group.
    """
    if group not in get_args(Group):
        raise UnknownNameError("group", str(group), get_args(Group))
    if top < 1:
        raise ConfigError(f"top must be at least 1, got {top}")
    if min_score is not None and math.isnan(min_score):
        raise ConfigError("min_score must be a number, got nan")
    if not len(segments):
        return []
    typical = float(np.median(scores))
    is_taken = np.zeros(len(segments), dtype=np.bool_) if is_candidate is None else ~is_candidate
    moments: list[Moment] = []
    # Stable, so that equal scores keep the order of path and time.
    for peak in np.argsort(-scores, kind="stable"):
        if len(moments) == top or (min_score is not None and scores[peak] < min_score):
            break
        if is_taken[peak]:
            continue
        first, last = _extent(segments, scores, is_taken, int(peak), typical)
        moments.append(
            Moment(
                path=Path(segments.paths[segments.video[peak]]),
                start_seconds=float(segments.start_seconds[first]),
                end_seconds=float(segments.end_seconds[last]),
                score=float(scores[peak]),
            )
        )
        match group:
            case "moment":
                is_taken[first : last + 1] = True
            case "video":
                is_taken[segments.video == segments.video[peak]] = True
            case _:
                assert_never(group)
    return moments


def _extent(
    segments: Segments,
    scores: SegmentScores,
    is_taken: SegmentMask,
    peak: int,
    typical: float,
) -> tuple[int, int]:
    """Find the first and the last segment of the moment around a peak."""
    half = (float(scores[peak]) + typical) / 2

    def belongs(earlier: int, candidate: int) -> bool:
        """Whether a segment belongs to the moment of its neighbour."""
        gap = segments.start_seconds[earlier + 1] - segments.end_seconds[earlier]
        is_next = (
            segments.video[earlier] == segments.video[earlier + 1] and gap <= _ROUNDING_SECONDS
        )
        return bool(is_next and scores[candidate] >= half and not is_taken[candidate])

    first = last = peak
    while first > 0 and belongs(first - 1, first - 1):
        first -= 1
    while last + 1 < len(segments) and belongs(last, last + 1):
        last += 1
    return first, last
