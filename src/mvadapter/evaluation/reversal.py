"""Clips and their reversed twins in, the share of right choices out."""

import torch
from jaxtyping import Float
from torch import Tensor

from mvadapter.shapes import CaptionEmbeddings, VideoEmbeddings


def reversal_hits(
    clips: VideoEmbeddings,
    reversed_clips: VideoEmbeddings,
    captions: CaptionEmbeddings,
    reversed_captions: CaptionEmbeddings,
) -> Float[Tensor, " video"]:
    """How often each clip and its reversal choose the right one of two captions.

    Row i of all four belongs together: a clip, the same frames in reverse order, and the caption of
    each. The clip must score its own caption above its twin's, and the reversal the other way
    round; the mean of both is 0, 0.5 or 1, and a tie counts half. Whatever pools frames without
    their order embeds both alike, chooses the same caption twice, and comes out at exactly half.
    """

    def wins(videos: Tensor, right: Tensor, wrong: Tensor) -> Tensor:
        # In double precision and with a margin, so that rounding in the sum over frames is no win.
        gap = ((videos.double() * (right - wrong).double()).sum(dim=1) / 1e-6).round()
        return (torch.sign(gap) + 1) / 2

    forwards = wins(clips, captions, reversed_captions)
    backwards = wins(reversed_clips, reversed_captions, captions)
    return ((forwards + backwards) / 2).float()
