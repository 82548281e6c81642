"""Scores in, retrieval metrics out."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mvadapter.errors import DataError
from mvadapter.shapes import CaptionVideo, Scores


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class QueryRanks:
    """Where the right item came for each query."""

    num_better: Int[np.ndarray, " query"]
    """Items that scored strictly better than the right one."""
    num_equal: Int[np.ndarray, " query"]
    """Other items that scored exactly as the right one."""

    @property
    def ranks(self) -> Float[np.ndarray, " query"]:
        """The expected 1-based rank under random tie-breaking."""
        return self.num_better + 1 + self.num_equal / 2

    def hits(self, k: int) -> Float[np.ndarray, " query"]:
        """The chance of each query's right item to be among the first ``k``."""
        return np.clip((k - self.num_better) / (self.num_equal + 1), 0.0, 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class RetrievalMetrics:
    """One direction of retrieval, summed up over its queries."""

    recall_at_1: float
    """Share of queries whose right item came first, in percent."""
    recall_at_5: float
    """Share of queries whose right item came among the first five, in percent."""
    recall_at_10: float
    """Share of queries whose right item came among the first ten, in percent."""
    median_rank: float
    """Median 1-based rank of the right item."""
    mean_rank: float
    """Mean 1-based rank of the right item."""
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
    """Each video is a query over groups of captions, one group a video; a group scores as its best
    caption (CLIP4Clip's protocol for MSVD). With one caption a video, plain video-to-text."""
    video_to_text_all_captions: RetrievalMetrics
    """Each video is a query over all captions; its best own caption counts."""


def retrieval_metrics(
    scores: Scores | Float[np.ndarray, "caption video"],
    caption_video: CaptionVideo | Int[np.ndarray, " caption"] | Sequence[int],
) -> RetrievalReport:
    """Measure retrieval in both directions.

    Ties count as their expectation under random tie-breaking: with b items strictly better and t
    *other* items equal to the right one, its rank is b + 1 + t/2 and its recall at k is
    min(1, max(0, (k - b) / (t + 1))). Constant scores thus earn exactly chance. A video's own
    captions never count against one another, and a video without captions is no query but stays in
    the gallery.

    Args:
        scores: How well each caption fits each video; higher is better.
        caption_video: For each caption, the index of its video.

    Raises:
        DataError: A score is NaN, or a caption names no video.
    """
    matrix, owner = check_scores(scores, caption_video)
    return RetrievalReport(
        text_to_video=RetrievalMetrics.from_ranks(text_to_video_ranks(matrix, owner)),
        video_to_text=RetrievalMetrics.from_ranks(video_to_text_ranks(matrix, owner)),
        video_to_text_all_captions=RetrievalMetrics.from_ranks(
            video_to_text_all_captions_ranks(matrix, owner)
        ),
    )


def check_scores(
    scores: Scores | Float[np.ndarray, "caption video"],
    caption_video: CaptionVideo | Int[np.ndarray, " caption"] | Sequence[int],
) -> tuple[Scores, CaptionVideo]:
    """Turn scores and owners into tensors that can be ranked.

    Raises:
        DataError: A score is NaN, or a caption names no video.
    """
    matrix = torch.as_tensor(scores)
    owner = torch.as_tensor(caption_video, dtype=torch.long, device=matrix.device)
    if not matrix.is_floating_point():
        matrix = matrix.double()
    if matrix.ndim != 2 or matrix.numel() == 0:
        raise DataError(f"scores must be [caption video] and not empty, got {list(matrix.shape)}")
    num_captions, num_videos = matrix.shape
    if owner.shape != (num_captions,):
        raise DataError(
            f"caption_video must name one video for each of the {num_captions} captions, "
            f"got shape {list(owner.shape)}"
        )
    if outside := ((owner < 0) | (owner >= num_videos)).nonzero().flatten().tolist():
        raise DataError(
            f"caption_video[{outside[0]}] is {int(owner[outside[0]])}, but videos are numbered "
            f"0 to {num_videos - 1}"
        )
    if rows := matrix.isnan().any(dim=1).nonzero().flatten().tolist():
        raise DataError(f"scores hold NaN in {len(rows)} rows, row {rows[0]} (caption) first")
    return matrix, owner


def text_to_video_ranks(scores: Scores, caption_video: CaptionVideo) -> QueryRanks:
    """Rank each caption's video among all videos."""
    right = scores.gather(1, caption_video[:, None])
    return _ranks(scores > right, scores == right, is_right=1)


def video_to_text_ranks(scores: Scores, caption_video: CaptionVideo) -> QueryRanks:
    """Rank each video's captions, as one item, among the videos' groups of captions."""
    videos, group = caption_video.unique(return_inverse=True)
    groups = torch.full((len(videos), scores.shape[1]), -torch.inf, dtype=scores.dtype)
    index = group[:, None].expand_as(scores)
    groups = groups.to(scores.device).scatter_reduce(0, index, scores, "amax")[:, videos]
    right = groups.diagonal()
    return _ranks((groups > right).T, (groups == right).T, is_right=1)


def video_to_text_all_captions_ranks(scores: Scores, caption_video: CaptionVideo) -> QueryRanks:
    """Rank each video's best caption among all captions of other videos."""
    videos = caption_video.unique()
    columns = scores[:, videos]
    is_other = caption_video[:, None] != videos
    right = columns.masked_fill(is_other, -torch.inf).amax(dim=0)
    return _ranks(((columns > right) & is_other).T, ((columns == right) & is_other).T, is_right=0)


def _ranks(
    is_better: Bool[Tensor, "query item"], is_equal: Bool[Tensor, "query item"], *, is_right: int
) -> QueryRanks:
    """Count; ``is_right`` of the equal items are the right one itself."""
    return QueryRanks(
        num_better=is_better.sum(dim=1).cpu().numpy(),
        num_equal=is_equal.sum(dim=1).cpu().numpy() - is_right,
    )
