"""Frames of some videos in, their embeddings out: where all vectors of videos are made."""

from collections.abc import Sequence

import torch

from mvadapter.backbone.precision import Precision, autocast
from mvadapter.data.frames import FrameBytes
from mvadapter.embedding.inputs import AnyEncoder
from mvadapter.shapes import FrameMask, VideoEmbeddings, VideoPixels
from mvadapter.video.preprocess import normalise, pad_frames


def stack_videos(
    videos: Sequence[FrameBytes], num_frames: int, device: torch.device
) -> tuple[VideoPixels, FrameMask]:
    """Make one batch of pixels, padded with zeros to ``num_frames``, and its mask.

    Raises:
        DataError: There is no video, or one has no frame or too many.
    """
    stack, mask = pad_frames(videos, num_frames)
    # The bytes travel, not the floats: a quarter of the traffic to a GPU.
    stack, mask = stack.to(device), mask.to(device)
    return normalise(stack) * mask[:, :, None, None, None], mask


def embed_batch(
    encoder: AnyEncoder, videos: Sequence[FrameBytes], precision: Precision
) -> VideoEmbeddings:
    """Embed some videos at once, without gradients, as float32 on the encoder's device.

    Raises:
        DataError: There is no video, or one has no frame or too many.
    """
    device = encoder.backbone.device
    pixels, mask = stack_videos(videos, encoder.inputs.num_frames, device)
    with torch.inference_mode(), autocast(device, precision):
        return encoder.embed_videos(pixels, mask).float()
