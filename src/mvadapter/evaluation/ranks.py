"""Scores in, the rank of every query's correct item out."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mvadapter.errors import DataError
from mvadapter.scoring.blocks import SCORES_PER_BLOCK, ScoreBlocks
from mvadapter.shapes import CaptionVideo


def expected_hits(
    num_better: Int[np.ndarray, " query"], num_equal: Int[np.ndarray, " query"], k: int
) -> Float[np.ndarray, " query"]:
    """The chance that each query's correct item is in the first ``k``, ties broken at random."""
    return np.clip((k - num_better) / (num_equal + 1), 0.0, 1.0)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class QueryRanks:
    """The rank of the correct item for each query."""

    num_better: Int[np.ndarray, " query"]
    """Items that scored strictly better than the correct one."""
    num_equal: Int[np.ndarray, " query"]
    """Other items that scored exactly as the correct one."""
    num_items: Int[np.ndarray, " query"]
    """How many items the query chose from: the correct one and its rivals."""
    query: Int[np.ndarray, " query"]
    """The query's position among the captions or the videos."""
    correct: Int[np.ndarray, " query"]
    """The correct item's position; of a video's captions, the best one."""
    first: Int[np.ndarray, " query"]
    """The position of the first item; the correct one where it is first, also in a tie."""
    correct_score: Float[np.ndarray, " query"]
    video: Int[np.ndarray, " query"]
    """The position of the video that the query is, or asks for."""

    @property
    def ranks(self) -> Float[np.ndarray, " query"]:
        """The expected 1-based rank under random tie-breaking."""
        return self.num_better + 1 + self.num_equal / 2

    def hits(self, k: int) -> Float[np.ndarray, " query"]:
        """The chance of each query's correct item to be among the first ``k``."""
        return expected_hits(self.num_better, self.num_equal, k)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RetrievalRanks:
    """The ranks of both directions of retrieval; `RetrievalReport` describes each one."""

    text_to_video: QueryRanks
    video_to_text: QueryRanks
    video_to_text_all_captions: QueryRanks


def retrieval_ranks(
    scores: ScoreBlocks,
    caption_video: CaptionVideo | Int[np.ndarray, " caption"] | Sequence[int],
    *,
    scores_per_block: int = SCORES_PER_BLOCK,
) -> RetrievalRanks:
    """Rank the correct item of every query in both directions.

    The scores are walked over twice and a block of them is held at a time, besides some numbers for
    each caption and video. The size of the blocks does not change the result.

    Args:
        scores: How well each caption fits each video; higher is better.
        caption_video: For each caption, the index of its video.
        scores_per_block: How many scores are held at once; a caption's are never split.

    Raises:
        DataError: A score is not finite, or a caption names no video.
    """
    owner = _check_owners(scores, caption_video)
    text_to_video, correct_scores = _rank_videos(scores, owner, scores_per_block)
    groups, captions = _rank_captions(scores, owner, correct_scores, scores_per_block)
    return RetrievalRanks(
        text_to_video=text_to_video, video_to_text=groups, video_to_text_all_captions=captions
    )


def text_to_video_ranks(
    scores: ScoreBlocks,
    caption_video: CaptionVideo | Int[np.ndarray, " caption"] | Sequence[int],
    *,
    scores_per_block: int = SCORES_PER_BLOCK,
) -> QueryRanks:
    """Rank each caption's video among all videos: this direction of `retrieval_ranks` alone.

    Raises:
        DataError: A score is not finite, or a caption names no video.
    """
    return _rank_videos(scores, _check_owners(scores, caption_video), scores_per_block)[0]


def _check_owners(
    scores: ScoreBlocks, caption_video: Tensor | np.ndarray | Sequence[int]
) -> CaptionVideo:
    num_captions, num_videos = scores.num_captions, scores.num_videos
    owner = torch.as_tensor(caption_video, dtype=torch.long, device=scores.device)
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
    return owner


def _rank_videos(
    scores: ScoreBlocks, owner: CaptionVideo, scores_per_block: int
) -> tuple[QueryRanks, Float[Tensor, " caption"]]:
    """Rank videos for every caption; also give each caption's score for its own video.

    Raises:
        DataError: A score is not finite.
    """
    num_captions, num_videos = scores.num_captions, scores.num_videos
    better, equal, first = (torch.zeros_like(owner) for _ in range(3))
    correct_scores = torch.zeros(num_captions, dtype=torch.float64, device=scores.device)
    is_bad = torch.zeros(num_captions, dtype=torch.bool, device=scores.device)
    # In the order of the second walk, so that both see the very same blocks.
    for captions, rows in scores.walk(_by_video(owner), scores_per_block=scores_per_block):
        own = owner[captions]
        correct = rows.gather(1, own[:, None])
        best = rows.argmax(dim=1)
        best_scores = rows.gather(1, best[:, None])
        better[captions] = _count(rows > correct, dim=1)
        equal[captions] = _count(rows == correct, dim=1) - 1
        first[captions] = torch.where(best_scores == correct, own[:, None], best[:, None])[:, 0]
        correct_scores[captions] = correct[:, 0]
        is_bad[captions] = ~rows.isfinite().all(dim=1)
    if bad := is_bad.nonzero().flatten().tolist():
        raise DataError(
            f"scores hold NaN or infinity in {len(bad)} rows, row {bad[0]} (caption) first; they "
            f"must be finite numbers"
        )
    ranks = QueryRanks(
        num_better=_numpy(better),
        num_equal=_numpy(equal),
        num_items=np.full(num_captions, num_videos),
        query=np.arange(num_captions),
        correct=_numpy(owner),
        first=_numpy(first),
        correct_score=_numpy(correct_scores),
        video=_numpy(owner),
    )
    return ranks, correct_scores


def _rank_captions(
    scores: ScoreBlocks,
    owner: CaptionVideo,
    correct_scores: Float[Tensor, " caption"],
    scores_per_block: int,
) -> tuple[QueryRanks, QueryRanks]:
    """Rank captions for every video: in groups, one per video, and each by itself."""
    num_videos = scores.num_videos
    videos, num_own = (_numpy(found) for found in owner.unique(return_counts=True))
    lowest = torch.full((num_videos,), -torch.inf, dtype=torch.float64, device=scores.device)
    best = lowest.scatter_reduce(0, owner, correct_scores, "amax")
    is_best = correct_scores == best[owner]
    groups, captions = _Rivals(best), _Rivals(best)
    top, top_caption = lowest.clone(), torch.zeros_like(best, dtype=torch.long)
    open_group, open_owner = lowest[None, :], -1
    for positions, rows in scores.walk(_by_video(owner), scores_per_block=scores_per_block):
        captions.add(rows)
        is_new = rows.amax(dim=0) > top
        places = rows[:, is_new].argmax(dim=0)
        top[is_new] = rows[places, is_new.nonzero()[:, 0]]
        top_caption[is_new] = positions[places]
        maxima, owners = _group_maxima(rows, owner[positions])
        # A group may continue in the next block: the last one waits for the rest of it.
        if owners[0] == open_owner:
            maxima[0] = torch.maximum(maxima[0], open_group[0])
        elif open_owner >= 0:
            groups.add(open_group)
        groups.add(maxima[:-1])
        open_group, open_owner = maxima[-1:].clone(), int(owners[-1])
    groups.add(open_group)
    own_best = _first_where(is_best, owner, num_videos)
    first = torch.where(top == best, own_best, top_caption)[videos]
    # A video's own captions do not compete with one another.
    own_equal = torch.bincount(owner[is_best], minlength=num_videos)
    shared = {"query": videos, "video": videos, "correct_score": _numpy(best)[videos]}
    return (
        QueryRanks(
            num_better=_numpy(groups.better)[videos],
            num_equal=_numpy(groups.equal)[videos] - 1,
            num_items=np.full_like(videos, len(videos)),
            correct=videos,
            first=_numpy(owner[first]),
            **shared,
        ),
        QueryRanks(
            num_better=_numpy(captions.better)[videos],
            num_equal=_numpy(captions.equal - own_equal)[videos],
            num_items=len(owner) - num_own + 1,
            correct=_numpy(own_best)[videos],
            first=_numpy(first),
            **shared,
        ),
    )


class _Rivals:
    """Counts what scores better than, and what as well as, each video's correct item."""

    def __init__(self, correct: Float[Tensor, " video"]) -> None:
        self._correct = correct
        self.better = torch.zeros_like(correct, dtype=torch.long)
        self.equal = torch.zeros_like(correct, dtype=torch.long)

    def add(self, scores: Float[Tensor, "item video"]) -> None:
        self.better += _count(scores > self._correct, dim=0)
        self.equal += _count(scores == self._correct, dim=0)


def _group_maxima(
    rows: Float[Tensor, "row video"], owners: Int[Tensor, " row"]
) -> tuple[Float[Tensor, "group video"], Int[Tensor, " group"]]:
    """The best score of each run of captions of one video."""
    groups, lengths = owners.unique_consecutive(return_counts=True)
    if len(groups) == len(rows):
        return rows, groups
    return torch.segment_reduce(rows, "max", lengths=lengths, axis=0), groups


def _by_video(owner: CaptionVideo) -> CaptionVideo:
    """The captions in the order of their videos, so that those of one come together."""
    return owner.argsort(stable=True)


def _first_where(
    is_right: Bool[Tensor, " caption"], owner: CaptionVideo, num_videos: int
) -> Int[Tensor, " video"]:
    """The first such caption of each video; a number that is no caption's where there is none."""
    places = is_right.nonzero()[:, 0]
    none = torch.full((num_videos,), len(owner), dtype=torch.long, device=owner.device)
    return none.scatter_reduce(0, owner[places], places, "amin")


def _count(is_so: Bool[Tensor, "row column"], *, dim: int) -> Int[Tensor, " _"]:
    # Four times as fast as the default, which sums in 64 bits.
    return is_so.sum(dim=dim, dtype=torch.int32).long()


def _numpy(tensor: Tensor) -> np.ndarray:
    return tensor.cpu().numpy()
