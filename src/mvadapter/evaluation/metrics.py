"""Scores in, retrieval metrics out."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Int, Shaped

from mvadapter.evaluation.ranks import QueryRanks, RetrievalRanks, retrieval_ranks
from mvadapter.scoring.blocks import ScoreBlocks
from mvadapter.shapes import CaptionVideo, Scores

RECALLS_AT = (1, 5, 10)


@dataclass(frozen=True, slots=True, kw_only=True)
class RetrievalMetrics:
    """One direction of retrieval, summed up over its queries."""

    recall_at_1: float
    """Share of queries whose correct item is first, in percent."""
    recall_at_5: float
    """Share of queries whose correct item is among the first five, in percent."""
    recall_at_10: float
    """Share of queries whose correct item is among the first ten, in percent."""
    median_rank: float
    """Median 1-based rank of the correct item."""
    mean_rank: float
    """Mean 1-based rank of the correct item."""
    num_queries: int

    @classmethod
    def from_ranks(cls, ranks: QueryRanks) -> "RetrievalMetrics":
        """Sum up the ranks of all queries."""
        return cls(
            recall_at_1=100 * float(ranks.hits(1).mean()),
            recall_at_5=100 * float(ranks.hits(5).mean()),
            recall_at_10=100 * float(ranks.hits(10).mean()),
            median_rank=float(np.median(ranks.ranks)),
            mean_rank=float(ranks.ranks.mean()),
            num_queries=len(ranks.ranks),
        )

    @property
    def recall_sum(self) -> float:
        """R@1 + R@5 + R@10, the papers' "R-Sum"."""
        return self.recall_at_1 + self.recall_at_5 + self.recall_at_10


@dataclass(frozen=True, slots=True, kw_only=True)
class RetrievalReport:
    """Both directions of retrieval over one set of captions and videos."""

    text_to_video: RetrievalMetrics
    """Each caption is a query over all videos."""
    video_to_text: RetrievalMetrics
    """Each video is a query over groups of captions, one group per video; the score of a group is
    that of its best caption (CLIP4Clip's protocol for MSVD). With one caption per video, plain
    video-to-text."""
    video_to_text_all_captions: RetrievalMetrics
    """Each video is a query over all captions; its best own caption counts."""

    @classmethod
    def from_ranks(cls, ranks: RetrievalRanks) -> "RetrievalReport":
        """Sum up the ranks of each direction."""
        return cls(
            text_to_video=RetrievalMetrics.from_ranks(ranks.text_to_video),
            video_to_text=RetrievalMetrics.from_ranks(ranks.video_to_text),
            video_to_text_all_captions=RetrievalMetrics.from_ranks(
                ranks.video_to_text_all_captions
            ),
        )


def retrieval_metrics(
    scores: Scores | Shaped[np.ndarray, "caption video"],
    caption_video: CaptionVideo | Int[np.ndarray, " caption"] | Sequence[int],
) -> RetrievalReport:
    """Measure retrieval in both directions.

    Ties count as their expectation under random tie-breaking: with b items strictly better and t
    *other* items equal to the correct one, its rank is b + 1 + t/2 and its recall at k is
    min(1, max(0, (k - b) / (t + 1))). Constant scores thus give exactly chance. A video's own
    captions never count against each other, and a video without captions is no query but stays
    in the gallery.

    Args:
        scores: How well each caption fits each video; higher is better.
        caption_video: For each caption, the index of its video.

    Raises:
        DataError: The matrix is empty, a score is not finite, or a caption names no video.
    """
    matrix = scores if isinstance(scores, torch.Tensor) else np.asarray(scores)
    return RetrievalReport.from_ranks(retrieval_ranks(ScoreBlocks.of_matrix(matrix), caption_video))
