"""Scores of a batch in, a loss out."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from mvadapter.shapes import CaptionEmbeddings, VideoEmbeddings


def symmetric_info_nce(
    captions: CaptionEmbeddings, videos: VideoEmbeddings, temperature: float | Float[Tensor, ""]
) -> Float[Tensor, ""]:
    """Cross-entropy of each caption among the batch's videos and of each video among its captions.

    Row i of both belongs together. The mean of both directions, as in CLIP and CLIP4Clip (Luo et
    al. 2021, section 3.4), in float32.

    Args:
        captions: Unit vectors.
        videos: Unit vectors, as many as captions.
        temperature: The factor on scores (`scores * temperature`).
    """
    scores = temperature * captions.float() @ videos.float().T
    right = torch.arange(len(scores), device=scores.device)
    return (F.cross_entropy(scores, right) + F.cross_entropy(scores.T, right)) / 2
