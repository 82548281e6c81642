"""Scores in, the rank of every query out: plain, and apart from that, re-ranked."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from mvadapter.evaluation.ranks import (
    QueryRanks,
    RetrievalRanks,
    retrieval_ranks,
    text_to_video_ranks,
)
from mvadapter.evaluation.results import Protocol
from mvadapter.scoring.blocks import ScoreBlocks
from mvadapter.scoring.rerank import (
    QueryBank,
    dual_softmax_over_captions,
    dual_softmax_over_videos,
)
from mvadapter.shapes import CaptionVideo


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RankedScores:
    """The ranks of one set of scores."""

    plain: RetrievalRanks
    dual_softmax: RetrievalRanks | None
    """Transductive: each result depends on all queries."""
    query_bank_norm: QueryRanks | None
    """Inductive: text to video, with what a bank of other captions shows about the videos."""

    @property
    def protocol(self) -> Protocol:
        """Whether any video has several captions."""
        num_captions = len(self.plain.text_to_video.query)
        num_videos = len(self.plain.video_to_text.query)
        return "one-caption" if num_captions == num_videos else "many-captions"


def rank_scores(
    scores: ScoreBlocks,
    caption_video: CaptionVideo | Int[np.ndarray, " caption"] | Sequence[int],
    *,
    temperature: float | None = None,
    bank: ScoreBlocks | None = None,
) -> RankedScores:
    """Rank every query, and again with each way of re-ranking that is asked for.

    Args:
        scores: How well each caption fits each video.
        caption_video: For each caption, the index of its video.
        temperature: Of a dual softmax; None leaves it out.
        bank: Scores of training captions for the same videos, for QB-Norm; None leaves it out.

    Raises:
        DataError: A score is not finite, or a caption names no video.
        ConfigError: The temperature is not above 0, or the bank scores other videos.
    """
    plain = retrieval_ranks(scores, caption_video)
    softened = normed = None
    if temperature is not None:
        over_captions = dual_softmax_over_captions(scores, temperature)
        over_videos = dual_softmax_over_videos(temperature)
        softened = dataclasses.replace(
            retrieval_ranks(scores.reranked(over_videos), caption_video),
            text_to_video=text_to_video_ranks(scores.reranked(over_captions), caption_video),
        )
    if bank is not None:
        hubs = QueryBank.read(bank)
        normed = text_to_video_ranks(scores.reranked(hubs.normalise), caption_video)
    return RankedScores(plain=plain, dual_softmax=softened, query_bank_norm=normed)
