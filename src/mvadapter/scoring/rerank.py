"""Scores in, better scores out, from what is known of other queries.

Neither belongs in a plain number: report them beside it, by name.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from mvadapter.errors import ConfigError
from mvadapter.scoring.blocks import SCORES_PER_BLOCK, ScoreBlocks
from mvadapter.shapes import Scores


def dual_softmax(scores: Scores, temperature: float) -> Scores:
    """Weigh each score by the share it has among all captions' scores for that video.

    This is scores * softmax(scores * temperature over the captions), the dual softmax of CAMoE
    (Cheng et al. 2021). It is *transductive*: a caption's result depends on all test
    captions. For video-to-text, pass the transpose and transpose the result.

    Args:
        scores: Cosines, or cosines times a factor.
        temperature: How much the softmax sharpens the scores. Papers write it as a factor (100 on
            cosines, as in CLIP's loss) or as the divisor that is its reciprocal (0.01); both are
            accepted here, because a factor below 1 would make no sense for cosines.

    Raises:
        ConfigError: ``temperature`` is not above 0.
    """
    return dual_softmax_over_captions(ScoreBlocks.of_matrix(scores), temperature)(scores)


def dual_softmax_over_captions(
    scores: ScoreBlocks, temperature: float, *, scores_per_block: int = SCORES_PER_BLOCK
) -> Callable[[Scores], Scores]:
    """Look at all captions' scores once, and give what weighs any of them: `dual_softmax`.

    Raises:
        ConfigError: ``temperature`` is not above 0.
    """
    sharpness = applied_factor(temperature)
    blocks = (rows for _, rows in scores.walk(scores_per_block=scores_per_block))
    log_totals = _log_totals(blocks, sharpness)

    def weigh(rows: Scores) -> Scores:
        return _weighed(rows, torch.exp(rows * sharpness - log_totals.to(rows.dtype)))

    return weigh


def dual_softmax_over_videos(temperature: float) -> Callable[[Scores], Scores]:
    """Give what weighs a caption's scores by their share among that caption's: for video-to-text.

    Raises:
        ConfigError: ``temperature`` is not above 0.
    """
    sharpness = applied_factor(temperature)
    return lambda rows: _weighed(rows, torch.softmax(rows * sharpness, dim=1))


def _weighed(rows: Scores, weights: Scores) -> Scores:
    # A score of minus infinity, for a pair that is out of the question, stays one.
    return torch.where(rows.isneginf(), rows, rows * weights)


def query_bank_norm(
    scores: Scores,
    bank_scores: Float[Tensor, "bank_caption bank_video"],
    beta: float = 20.0,
    k: int = 1,
) -> Scores:
    """Hold back videos that win too often, measured with a bank of other captions.

    Querybank normalisation with its dynamic inverted softmax (QB-Norm, Bogolin et al. 2022): a row
    whose best video is among the ``k`` best of some bank caption becomes
    exp(beta * score) / sum over the bank of exp(beta * bank score), up to a factor of the row's
    own; other rows stay. Read only ranks within rows, text-to-video, off the result. It is
    *inductive* as long as the bank holds training captions only.

    Args:
        scores: The test captions' scores.
        bank_scores: Scores of the bank's captions for the same videos.
        beta: Inverse temperature, on the scale of the scores (20 for cosines).
        k: How many of a bank caption's best videos count as winning too often.

    Raises:
        ConfigError: ``beta`` or ``k`` is out of range, or the bank scores other videos.
    """
    return QueryBank.read(ScoreBlocks.of_matrix(bank_scores), beta, k).normalise(scores)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class QueryBank:
    """What `query_bank_norm` knows of the videos from the bank's captions."""

    beta: float
    log_totals: Float[Tensor, " video"]
    """The logarithm of each video's sum over the bank of exp(beta * bank score)."""
    is_hub: Bool[Tensor, " video"]
    """True for a video that is among the best of some bank caption."""

    @classmethod
    def read(
        cls,
        bank_scores: ScoreBlocks,
        beta: float = 20.0,
        k: int = 1,
        *,
        scores_per_block: int = SCORES_PER_BLOCK,
    ) -> "QueryBank":
        """Look at the scores of all captions of the bank once.

        Raises:
            ConfigError: ``beta`` or ``k`` is out of range.
        """
        num_videos = bank_scores.num_videos
        if not beta > 0 or not 1 <= k <= num_videos:
            raise ConfigError(
                f"beta must be above 0 and k between 1 and {num_videos} (the videos), got "
                f"beta={beta} and k={k}"
            )
        is_hub = torch.zeros(num_videos, dtype=torch.bool, device=bank_scores.device)

        def blocks() -> Iterator[Tensor]:
            for _, rows in bank_scores.walk(scores_per_block=scores_per_block):
                is_hub[rows.topk(k, dim=1).indices.flatten()] = True
                yield rows

        return cls(beta=beta, log_totals=_log_totals(blocks(), beta), is_hub=is_hub)

    def normalise(self, scores: Scores) -> Scores:
        """Hold back the hubs among some captions' scores, each row on its own.

        Raises:
            ConfigError: They are scores of other videos than the bank's.
        """
        if scores.shape[1] != len(self.is_hub):
            raise ConfigError(
                f"the bank scores {len(self.is_hub)} videos, the captions {scores.shape[1]}; both "
                f"must be scored against the same videos"
            )
        # In the logarithm and from each row's maximum, so that no beta overflows; ranks within a
        # row, which is what a caption asks for, stay.
        exponents = self.beta * scores - self.log_totals.to(scores.dtype)
        normed = torch.exp(exponents - exponents.amax(dim=1, keepdim=True))
        return torch.where(self.is_hub[scores.argmax(dim=1)][:, None], normed, scores)


def applied_factor(temperature: float) -> float:
    """The factor on scores that a temperature means: itself or its reciprocal.

    Raises:
        ConfigError: ``temperature`` is not above 0.
    """
    if not temperature > 0:
        raise ConfigError(f"temperature must be above 0, got {temperature}")
    return max(temperature, 1 / temperature)


def _log_totals(blocks: Iterator[Tensor], sharpness: float) -> Float[Tensor, " video"]:
    """The logarithm of each column's sum of exp(sharpness * score), over all blocks."""
    first = next(blocks)
    total = torch.logsumexp(first * sharpness, dim=0)
    for rows in blocks:
        total = torch.logaddexp(total, torch.logsumexp(rows * sharpness, dim=0))
    return total
