"""A score matrix in, all measurements out."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Int, Shaped
from pyarrow import Table
from torch import Tensor

from mvadapter.data.records import Record
from mvadapter.errors import DataError
from mvadapter.evaluation.rank_scores import rank_scores
from mvadapter.evaluation.rank_table import compare_ranks, rank_table, read_rank_table
from mvadapter.evaluation.results import (
    CONFIDENCE_PERCENT,
    AgainstResult,
    DirectionResult,
    DualSoftmaxResult,
    EvaluatedData,
    EvaluationResult,
    QueryBankResult,
    RetrievalResult,
)
from mvadapter.scoring.blocks import ScoreBlocks
from mvadapter.scoring.rerank import applied_factor


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Scored:
    """Scores, and what they are of."""

    scores: ScoreBlocks
    caption_video: Tensor | np.ndarray
    captions: Sequence[str]
    """What each caption is called."""
    videos: Sequence[str]
    """What each video is called."""
    bank: ScoreBlocks | None = None
    """Scores of the captions of a query bank."""
    records: Sequence[Record] = ()
    """Whose videos these are; none for a matrix of scores."""


def evaluate_scores(
    scores: Shaped[np.ndarray, "caption video"],
    caption_video: Int[np.ndarray, " caption"] | None = None,
    *,
    name: str = "scores",
    bank_scores: Shaped[np.ndarray, "bank_caption video"] | None = None,
    dual_softmax: float | None = None,
    against: str | Path | None = None,
) -> EvaluationResult:
    """Measure retrieval from a matrix of scores, which may be memory-mapped.

    Args:
        scores: How well each caption fits each video; higher is better.
        caption_video: For each caption, the index of its video; None for a square matrix in which
            caption i belongs to video i.
        name: What the result calls them.
        bank_scores: Scores of a query bank's captions for the same videos; None leaves QB-Norm out.
        dual_softmax: The temperature of a dual softmax; None leaves it out.
        against: A file of another system's ranks on the same queries, for a paired test.

    Raises:
        DataError: The matrix is empty or not square, a score is not finite, or a caption names no
            video.
        ConfigError: The temperature is not above 0, or the bank scores other videos.
    """
    other_ranks = None if against is None else read_rank_table(Path(against))
    if caption_video is None:
        if scores.shape[0] != scores.shape[1]:
            raise DataError(
                f"{name}: {scores.shape[0]} captions and {scores.shape[1]} videos; give "
                f"caption_video, the index of each caption's video"
            )
        caption_video = np.arange(len(scores))
    scored = Scored(
        scores=ScoreBlocks.of_matrix(scores),
        caption_video=caption_video.astype(np.int64),
        captions=[f"caption {number}" for number in range(scores.shape[0])],
        videos=[f"video {number}" for number in range(scores.shape[1])],
        bank=None if bank_scores is None else ScoreBlocks.of_matrix(bank_scores),
    )
    result = evaluate_scored(scored, name, EvaluatedData(), dual_softmax)
    return result if other_ranks is None else compare_with(result, other_ranks, str(against))


def evaluate_scored(
    scored: Scored, encoder: str, data: EvaluatedData, temperature: float | None
) -> EvaluationResult:
    """Rank every query and summarise the ranks.

    Raises:
        DataError: A score is not finite, or a caption names no video.
        ConfigError: The temperature is not above 0, or the bank scores other videos.
    """
    ranked = rank_scores(
        scored.scores, scored.caption_video, temperature=temperature, bank=scored.bank
    )
    softened = normed = None
    if ranked.dual_softmax is not None and temperature is not None:
        softened = DualSoftmaxResult(
            temperature=applied_factor(temperature),
            retrieval=RetrievalResult.from_ranks(ranked.dual_softmax),
        )
    if ranked.query_bank_norm is not None and scored.bank is not None:
        normed = QueryBankResult(
            num_bank_captions=scored.bank.num_captions,
            text_to_video=DirectionResult.from_ranks(ranked.query_bank_norm),
        )
    return EvaluationResult(
        encoder=encoder,
        protocol=ranked.protocol,
        num_videos=scored.scores.num_videos,
        num_captions=scored.scores.num_captions,
        retrieval=RetrievalResult.from_ranks(ranked.plain),
        data=data,
        dual_softmax=softened,
        query_bank_norm=normed,
        ranks=ranked.plain,
        captions=scored.captions,
        videos=scored.videos,
        records=scored.records,
    )


def compare_with(result: EvaluationResult, other_ranks: Table, name: str) -> EvaluationResult:
    """Add a paired test against another system's ranks on the same queries.

    Raises:
        DataError: The other ranks are of other queries.
    """
    differences = compare_ranks(
        rank_table(result), other_ranks, confidence_percent=CONFIDENCE_PERCENT
    )
    return replace(result, against=AgainstResult(ranks=name, differences=differences))
