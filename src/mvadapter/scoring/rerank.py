"""Scores in, better scores out, from what is known of other queries.

Neither belongs in a plain number: report them beside it, by name.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from mvadapter.errors import ConfigError
from mvadapter.shapes import Scores


def dual_softmax(scores: Scores, temperature: float) -> Scores:
    """Weigh each score by the share it has among all captions' scores for that video.

    This is scores * softmax(scores * temperature over the captions), the dual softmax of CAMoE
    (Cheng et al. 2021). It is *transductive*: a caption's result depends on the whole set of test
    captions. For video-to-text, pass the transpose and transpose the result.

    Args:
        scores: Cosines, or cosines times a factor.
        temperature: How much the softmax sharpens the scores. Papers write it as a factor (100 on
            cosines, as in CLIP's loss) or as the divisor that is its reciprocal (0.01); both say
            the same here, since nobody wants a softmax of cosines made flatter still.

    Raises:
        ConfigError: ``temperature`` is not above 0.
    """
    if not temperature > 0:
        raise ConfigError(f"temperature must be above 0, got {temperature}")
    sharpness = max(temperature, 1 / temperature)
    return scores * torch.softmax(scores * sharpness, dim=0)


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
    num_videos = scores.shape[1]
    if bank_scores.shape[1] != num_videos:
        raise ConfigError(
            f"the bank scores {bank_scores.shape[1]} videos, the captions {num_videos}; both must "
            f"be scored against the same videos"
        )
    if not beta > 0 or not 1 <= k <= num_videos:
        raise ConfigError(
            f"beta must be above 0 and k between 1 and {num_videos} (the videos), got beta={beta} "
            f"and k={k}"
        )
    is_hub = torch.zeros(num_videos, dtype=torch.bool, device=scores.device)
    is_hub[bank_scores.topk(k, dim=1).indices.flatten()] = True
    # In the logarithm and from each row's maximum, so that no beta overflows; ranks within a row,
    # which is what a caption asks for, stay.
    exponents = beta * scores - torch.logsumexp(beta * bank_scores, dim=0)
    normed = torch.exp(exponents - exponents.amax(dim=1, keepdim=True))
    return torch.where(is_hub[scores.argmax(dim=1)][:, None], normed, scores)
