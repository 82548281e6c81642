"""Videos and their reversed twins in, the share of correct choices out."""

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from mvadapter.data.frame_reader import FrameSource
from mvadapter.data.records import Record
from mvadapter.embedding.records import (
    EmbeddedRecords,
    EmbeddingOptions,
    ReversedFrames,
    embed_all_captions,
    embed_records,
)
from mvadapter.encoder.encode import Encoder
from mvadapter.shapes import CaptionEmbeddings, VideoEmbeddings


def reversal_hits(
    videos: VideoEmbeddings,
    reversed_videos: VideoEmbeddings,
    captions: CaptionEmbeddings,
    reversed_captions: CaptionEmbeddings,
) -> Float[Tensor, " video"]:
    """How often each video and its reversal choose the correct one of two captions.

    Row i of all four belongs together: a video, the same frames in reverse order, and the caption
    of each. The video must score its own caption above its twin's, and the reversal the other way
    round; the mean of both is 0, 0.5 or 1, and a tie counts half. Whatever pools frames without
    their order embeds both alike, chooses the same caption twice, and comes out at exactly half.
    """

    def wins(videos: Tensor, right: Tensor, wrong: Tensor) -> Tensor:
        # In double precision and with a margin, so that rounding in the sum over frames is no win.
        gap = ((videos.double() * (right - wrong).double()).sum(dim=1) / 1e-6).round()
        return (torch.sign(gap) + 1) / 2

    forwards = wins(videos, captions, reversed_captions)
    backwards = wins(reversed_videos, reversed_captions, captions)
    return ((forwards + backwards) / 2).float()


def measure_reversal(
    encoder: Encoder,
    records: Sequence[Record],
    source: FrameSource,
    embedded: EmbeddedRecords,
    reverse_caption: Callable[[str], str],
    options: EmbeddingOptions,
) -> Float[Tensor, " video"]:
    """Measure `reversal_hits` of a dataset with one caption per video.

    The very frames that were embedded are shown again in reverse order, so that nothing but their
    order differs.

    Args:
        encoder: The encoder.
        records: The dataset.
        source: Gives the frames of these records.
        embedded: What `embed_records` made of them.
        reverse_caption: Gives the caption of a video when it is played backwards.
        options: How the records were embedded.

    Raises:
        VideoError: A video gives no frames.
    """
    backwards = embed_records(encoder, records, ReversedFrames(source), options)
    twins = [reverse_caption(record.captions[0]) for record in embedded.kept]
    return reversal_hits(
        embedded.videos,
        backwards.videos,
        embedded.captions,
        embed_all_captions(encoder, twins, options),
    )
