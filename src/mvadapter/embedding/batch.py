"""Frames of some videos in, their embeddings out: the only place that embeds videos."""

from collections.abc import Sequence

import torch

from mvadapter.backbone.precision import Precision, autocast
from mvadapter.data.frames import FrameBytes
from mvadapter.embedding.inputs import AnyEncoder
from mvadapter.shapes import FrameMask, VideoEmbeddings, VideoPixels
from mvadapter.video.preprocess import normalise, pad_frames


def stack_videos(
    encoder: AnyEncoder, videos: Sequence[FrameBytes]
) -> tuple[VideoPixels, FrameMask]:
    """Make one batch of pixels on the encoder's device, padded with zeros, and its mask.

    Raises:
        DataError: There is no video, or one has no frame or too many.
    """
    stack, mask = pad_frames(videos, encoder.inputs.num_frames)
    # The bytes travel, not the floats: a quarter of the traffic to a GPU.
    stack, mask = stack.to(encoder.backbone.device), mask.to(encoder.backbone.device)
    return normalise(stack, encoder.backbone.pixels) * mask[:, :, None, None, None], mask


def embed_batch(
    encoder: AnyEncoder, videos: Sequence[FrameBytes], precision: Precision
) -> VideoEmbeddings:
    """Embed some videos at once, without gradients, as float32 on the encoder's device.

    Raises:
        DataError: There is no video, or one has no frame or too many.
    """
    pixels, mask = stack_videos(encoder, videos)
    with torch.inference_mode(), autocast(encoder.backbone.device, precision):
        return encoder.embed_videos(pixels, mask).float()
