"""Scores in, every number of an evaluation out: plain, and apart from that, re-ranked."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from jaxtyping import Int

from mvadapter.evaluation.bootstrap import bootstrap_interval
from mvadapter.evaluation.metrics import RECALLS_AT, RetrievalMetrics
from mvadapter.evaluation.ranks import (
    QueryRanks,
    RetrievalRanks,
    retrieval_ranks,
    text_to_video_ranks,
)
from mvadapter.scoring.blocks import ScoreBlocks
from mvadapter.scoring.rerank import (
    QueryBank,
    dual_softmax_over_captions,
    dual_softmax_over_videos,
)
from mvadapter.shapes import CaptionVideo

CONFIDENCE_PERCENT = 95.0

Protocol: TypeAlias = Literal["one-caption", "many-captions", "paragraph"]
"""How captions and videos belong together: one caption a video, several of which each is a query of
its own, or all of a video's sentences joined into one."""

_LABELS = {
    "text_to_video": "text to video, every caption",
    "video_to_text": "video to text, best caption of each video",
    "video_to_text_all_captions": "video to text, all captions",
}
# With one caption a video the two protocols of video to text are one.
_LABELS_OF_ONE = {"text_to_video": "text to video", "video_to_text": "video to text"}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Evaluation:
    """The ranks of one set of scores."""

    plain: RetrievalRanks
    dual_softmax: RetrievalRanks | None
    """Transductive: each result depends on the whole set of queries."""
    query_bank_norm: QueryRanks | None
    """Inductive: text to video, with what a bank of other captions says of the videos."""


def evaluate_scores(
    scores: ScoreBlocks,
    caption_video: CaptionVideo | Int[np.ndarray, " caption"] | Sequence[int],
    *,
    temperature: float | None = None,
    bank: ScoreBlocks | None = None,
) -> Evaluation:
    """Rank every query, and again with each way of re-ranking that is asked for.

    Args:
        scores: How well each caption fits each video.
        caption_video: For each caption, the index of its video.
        temperature: Of a dual softmax; None leaves it out.
        bank: Scores of training captions for the same videos, for QB-Norm; None leaves it out.

    Raises:
        DataError: A score is NaN, or a caption names no video.
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
    return Evaluation(plain=plain, dual_softmax=softened, query_bank_norm=normed)


def protocol_of(ranks: RetrievalRanks) -> Protocol:
    """Tell from the queries whether any video has several captions."""
    num_captions, num_videos = len(ranks.text_to_video.query), len(ranks.video_to_text.query)
    return "one-caption" if num_captions == num_videos else "many-captions"


def direction_labels(protocol: Protocol) -> dict[str, str]:
    """What people call the directions that a protocol has."""
    return _LABELS if protocol == "many-captions" else _LABELS_OF_ONE


def labelled_directions(result: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """The numbers of a result with their names for people: plain ones first, re-ranked ones last.

    Args:
        result: What `mvadapter evaluate` writes as JSON.
    """
    labels = direction_labels(result["protocol"])
    rows = [(label, result[key]) for key, label in labels.items()]
    if softened := result.get("dual_softmax"):
        rows += [
            (f"{label}, dual softmax (transductive)", softened[key])
            for key, label in labels.items()
        ]
    if normed := result.get("query_bank_norm"):
        note = f"QB-Norm (bank of {normed['num_bank_captions']} captions)"
        rows.append((f"{labels['text_to_video']}, {note}", normed["text_to_video"]))
    return rows


def directions_table(ranks: RetrievalRanks) -> dict[str, Any]:
    """The numbers of both directions as plain values, by the names of the protocols."""
    return {
        field.name: direction_table(getattr(ranks, field.name))
        for field in dataclasses.fields(ranks)
    }


def direction_table(ranks: QueryRanks) -> dict[str, Any]:
    """The numbers of one direction as plain values, each recall with its bootstrap interval.

    The captions of one video are drawn together.
    """
    metrics = RetrievalMetrics.from_ranks(ranks)
    intervals = {}
    for k in RECALLS_AT:
        interval = bootstrap_interval(
            100 * ranks.hits(k), group=ranks.video, confidence_percent=CONFIDENCE_PERCENT
        )
        intervals[f"recall_at_{k}"] = {"low": interval.low, "high": interval.high}
    return {
        **dataclasses.asdict(metrics),
        "recall_sum": metrics.recall_sum,
        "intervals": intervals,
    }
