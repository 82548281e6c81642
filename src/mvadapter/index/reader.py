"""Queries in, moments out: what searches an index."""

import logging
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from jaxtyping import Float

from mvadapter.encoder.encode import AnyImage, Encoder
from mvadapter.errors import ConfigError
from mvadapter.index.find import AnyPath, absolute_paths
from mvadapter.index.moments import Group, Moment, SegmentMask, Segments, find_moments

Query: TypeAlias = str | AnyImage | Moment
"""What to look for: a text, a picture, or a moment of the same index."""
Vector: TypeAlias = Float[np.ndarray, " dim"]

log = logging.getLogger(__name__)

_SHOWN_CHARACTERS = 100
# A vector in float16 or bfloat16 misses unit length by less.
_UNIT_TOLERANCE = 1e-2


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class IndexView:
    """The videos of an index as one adapter embeds them, at one time.

    It never changes, so any number of threads may search it while videos are added to the index;
    `VideoIndex.view` returns a new one that includes them.
    """

    name: str
    """The name of the view."""
    encoder: Encoder
    """Embeds videos and queries."""
    segments: Segments = field(repr=False)
    """All segments and their embeddings, in memory."""

    @property
    def num_videos(self) -> int:
        """The number of videos."""
        return len(self.segments.paths)

    @property
    def num_segments(self) -> int:
        """The number of segments of all videos."""
        return len(self.segments)

    def search(
        self,
        query: Query,
        top: int = 10,
        *,
        where: AnyPath | Iterable[AnyPath] | None = None,
        group: Group = "moment",
        min_score: float | None = None,
    ) -> list[Moment]:
        """Find the moments most similar to a query, comparing it with every segment.

        Args:
            query: A text; a picture, as Pillow image or uint8 array [height width channel]; or a
                moment found before, which is not part of the result.
            top: How many moments to return at most.
            where: Search only in these video files and folders; None searches everywhere.
            group: List every moment, or only the best of each video.
            min_score: Leave out moments that score less; None leaves out nothing.

        Returns:
            The best first; see `find_moments` for where a moment begins and ends.

        Raises:
            ConfigError: The query cannot be used, or ``top`` is below 1.
            BackboneError: The CLIP has no tokenizer.
        """
        own = self.segments.of_moment(query) if isinstance(query, Moment) else None
        vector = self.embed_query(query)
        return self._find(vector, top, where, group, min_score, left_out=own)

    def search_vector(
        self,
        vector: Vector,
        top: int = 10,
        *,
        where: AnyPath | Iterable[AnyPath] | None = None,
        group: Group = "moment",
        min_score: float | None = None,
    ) -> list[Moment]:
        """Find the moments most similar to a vector, as `search` does for a query.

        Args:
            vector: Of unit length, from the space of this view's encoder.
            top: How many moments to return at most.
            where: Search only in these video files and folders; None searches everywhere.
            group: List every moment, or only the best of each video.
            min_score: Leave out moments that score less; None leaves out nothing.

        Raises:
            ConfigError: The vector has another dim or length, or ``top`` is below 1.
        """
        dim = self.encoder.backbone.dim
        if vector.shape != (dim,) or abs(np.linalg.norm(vector) - 1) > _UNIT_TOLERANCE:
            raise ConfigError(
                f"vector must have {dim} numbers and length 1, got shape {list(vector.shape)} and "
                f"length {np.linalg.norm(vector):.3g}; embed the query with this view's encoder"
            )
        return self._find(vector, top, where, group, min_score)

    def embed_query(self, query: Query) -> Vector:
        """Turn a query into the vector of unit length that segments are compared with.

        Raises:
            ConfigError: The text is empty, the picture is not one, or the moment is not indexed.
            BackboneError: The CLIP has no tokenizer.
        """
        match query:
            case str():
                if not query.strip():
                    raise ConfigError("the query is empty; describe the moment in words")
                self._report_cut(query)
                return self.encoder.embed_captions(query)[0].float().cpu().numpy()
            case Moment():
                return self._mean_vector(query)
            case _:
                return self.encoder.embed_images([query])[0].cpu().numpy()

    def _report_cut(self, query: str) -> None:
        max_tokens = self.encoder.inputs.max_tokens
        if left_out := self.encoder.backbone.tokenizer.left_out(query, max_tokens):
            if len(left_out) > 2 * _SHOWN_CHARACTERS:
                left_out = f"{left_out[:_SHOWN_CHARACTERS]} ... {left_out[-_SHOWN_CHARACTERS:]}"
            log.warning(
                "the query is longer than the %d tokens that view %r takes; left out: %r",
                max_tokens,
                self.name,
                left_out,
            )

    def _find(
        self,
        vector: Vector,
        top: int,
        where: AnyPath | Iterable[AnyPath] | None,
        group: Group,
        min_score: float | None,
        left_out: SegmentMask | None = None,
    ) -> list[Moment]:
        is_candidate = np.ones(len(self.segments), dtype=np.bool_)
        if where is not None:
            is_candidate = self.segments.in_places(absolute_paths(where))
        if left_out is not None:
            is_candidate &= ~left_out
        return find_moments(
            self.segments,
            self.segments.vectors @ vector,
            top=top,
            is_candidate=is_candidate,
            group=group,
            min_score=min_score,
        )

    def _mean_vector(self, moment: Moment) -> Vector:
        vectors = self.segments.vectors[self.segments.of_moment(moment)]
        if not len(vectors):
            raise ConfigError(
                f"{moment.path}: no segment between {moment.start_seconds:g} and "
                f"{moment.end_seconds:g} s is in the view {self.name!r}; "
                f"add the video to it, or search with another moment"
            )
        mean = vectors.mean(axis=0)
        return mean / np.linalg.norm(mean)
