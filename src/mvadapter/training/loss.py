"""Scores of a batch in, a loss out."""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from mvadapter.shapes import CaptionEmbeddings, VideoEmbeddings


def symmetric_info_nce(
    captions: CaptionEmbeddings,
    videos: VideoEmbeddings,
    temperature: float | Float[Tensor, ""],
    is_same: Bool[Tensor, "caption caption"] | None = None,
) -> Float[Tensor, ""]:
    """Cross-entropy of each caption among the batch's videos and of each video among its captions.

    Row i of both belongs together. The mean of both directions, as in CLIP and CLIP4Clip (Luo et
    al. 2021, section 3.4), in float32.

    Args:
        captions: Unit vectors.
        videos: Unit vectors, as many as captions.
        temperature: The factor on scores (`scores * temperature`).
        is_same: True where two captions are the same, so that each fits the other's video: they are
            left out of each other's sums. None leaves out nothing.
    """
    scores = temperature * captions.float() @ videos.float().T
    if is_same is not None:
        is_other = ~torch.eye(len(scores), dtype=torch.bool, device=scores.device)
        scores = scores.masked_fill(is_same.to(scores.device) & is_other, -torch.inf)
    right = torch.arange(len(scores), device=scores.device)
    return (F.cross_entropy(scores, right) + F.cross_entropy(scores.T, right)) / 2
