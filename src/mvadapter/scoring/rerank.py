"""Scores in, better scores out, from what is known of other queries.

Neither belongs in a plain number: report them beside it, by name.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from mvadapter.errors import ConfigError, DataError
from mvadapter.scoring.blocks import SCORES_PER_BLOCK, ScoreBlocks
from mvadapter.shapes import Scores

# Well above any cosine, and well below cosines times the factor of a trained CLIP.
_LARGEST_COSINE = 5.0
# Beyond, exp() of a difference of scores is 0 in float64, and what differs becomes a tie.
_MAX_EXPONENT = 700.0
# Cosines reach 20 with the usual beta; as logits of a trained CLIP they reach some 600.
_MAX_BETA_SCORE = 100.0


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

    Returns:
        Scores in float64, in which no weight becomes 0.

    Raises:
        ConfigError: ``temperature`` is not above 0, or cannot be meant for scores of this size.
        DataError: A score is not finite.
    """
    return dual_softmax_over_captions(ScoreBlocks.of_matrix(scores), temperature)(scores)


def dual_softmax_over_captions(
    scores: ScoreBlocks, temperature: float, *, scores_per_block: int = SCORES_PER_BLOCK
) -> Callable[[Scores], Scores]:
    """Look at all captions' scores once, and give what weighs any of them: `dual_softmax`.

    Raises:
        ConfigError: ``temperature`` is not above 0, or cannot be meant for scores of this size.
        DataError: A score is not finite.
    """
    sharpness = applied_factor(temperature)
    blocks = (
        _checked_scores(rows, temperature)
        for _, rows in scores.walk(scores_per_block=scores_per_block)
    )
    log_totals = _log_totals(blocks, sharpness)
    return lambda rows: rows * torch.exp(rows.double() * sharpness - log_totals)


def dual_softmax_over_videos(temperature: float) -> Callable[[Scores], Scores]:
    """Give what weighs a caption's scores by their share among that caption's: for video-to-text.

    Raises:
        ConfigError: ``temperature`` is not above 0; or, of what is returned, cannot be meant.
    """
    sharpness = applied_factor(temperature)

    def weigh(rows: Scores) -> Scores:
        rows = _checked_scores(rows, temperature)
        return rows * torch.softmax(rows * sharpness, dim=1)

    return weigh


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
        beta: Inverse temperature, on the scale of the scores: 20 for cosines, and 20 divided by
            the factor for cosines times a factor.
        k: How many of a bank caption's best videos count as winning too often.

    Returns:
        Scores in float64.

    Raises:
        ConfigError: ``beta`` or ``k`` is out of range or cannot be meant for scores of this size,
            or the bank scores other videos.
        DataError: A score is not finite.
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
            ConfigError: ``beta`` or ``k`` is out of range, or ``beta`` cannot be meant for scores
                of this size.
            DataError: A score is not finite.
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
                _check_beta(rows, beta)
                is_hub[rows.topk(k, dim=1).indices.flatten()] = True
                yield rows

        return cls(beta=beta, log_totals=_log_totals(blocks(), beta), is_hub=is_hub)

    def normalise(self, scores: Scores) -> Scores:
        """Hold back the hubs among some captions' scores, each row on its own.

        Raises:
            ConfigError: They are scores of other videos than the bank's, or of another size than
                ``beta`` is meant for.
            DataError: A score is not finite.
        """
        if scores.shape[1] != len(self.is_hub):
            raise ConfigError(
                f"the bank scores {len(self.is_hub)} videos, the captions {scores.shape[1]}; both "
                f"must be scored against the same videos"
            )
        scores = scores.double()
        _check_beta(scores, self.beta)
        # In the logarithm and from each row's maximum, so that nothing overflows; ranks within a
        # row, which is what a caption asks for, stay.
        exponents = self.beta * scores - self.log_totals
        normed = torch.exp(exponents - exponents.amax(dim=1, keepdim=True))
        return torch.where(self.is_hub[scores.argmax(dim=1)][:, None], normed, scores)


def applied_factor(temperature: float) -> float:
    """The factor on scores that a temperature means: itself or its reciprocal.

    Raises:
        ConfigError: ``temperature`` is not above 0.
    """
    if not 0 < temperature < math.inf:
        raise ConfigError(f"temperature must be above 0 and finite, got {temperature}")
    return max(temperature, 1 / temperature)


def _checked_scores(rows: Scores, temperature: float) -> Scores:
    """Give scores in float64 whose dual softmax can be meant and be computed.

    Raises:
        ConfigError: The temperature cannot be meant.
        DataError: A score is not finite.
    """
    largest = _largest(rows)
    if temperature < 1 and largest > _LARGEST_COSINE:
        raise ConfigError(
            f"temperature {temperature} can be a factor or its reciprocal, as scores reach "
            f"{largest:.4g} and are no cosines; give the factor on these scores, at least 1"
        )
    if 2 * largest * applied_factor(temperature) > _MAX_EXPONENT:
        raise ConfigError(
            f"temperature {temperature} is too sharp for scores that reach {largest:.4g}; for "
            f"cosines times a factor divide it by that factor, so that 100 becomes 1"
        )
    return rows.double()


def _check_beta(rows: Scores, beta: float) -> None:
    """Refuse a beta that is meant for scores of another size.

    Raises:
        ConfigError: It is.
        DataError: A score is not finite.
    """
    largest = _largest(rows)
    if beta * largest > _MAX_BETA_SCORE:
        raise ConfigError(
            f"beta={beta:g} is meant for cosines, but scores reach {largest:.4g}; divide the "
            f"scores, or beta, by the factor on the cosines"
        )


def _largest(rows: Scores) -> float:
    """The largest size of a score.

    Raises:
        DataError: A score is not finite.
    """
    largest = float(rows.abs().max())
    if not math.isfinite(largest):
        raise DataError("scores must be finite; some are NaN or infinite")
    return largest


def _log_totals(blocks: Iterator[Tensor], sharpness: float) -> Float[Tensor, " video"]:
    """The logarithm of each column's sum of exp(sharpness * score), over all blocks."""
    total = torch.logsumexp(next(blocks).double() * sharpness, dim=0)
    for rows in blocks:
        total = torch.logaddexp(total, torch.logsumexp(rows.double() * sharpness, dim=0))
    return total
