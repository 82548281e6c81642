"""A batch in, an adapter one step further out."""

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from mvadapter.backbone.precision import Precision, autocast
from mvadapter.data.frames import FrameBytes
from mvadapter.embedding.batch import stack_videos
from mvadapter.encoder.encode import Encoder
from mvadapter.errors import DivergedError, TrainingError
from mvadapter.training.loss import symmetric_info_nce


@contextmanager
def _within_memory() -> Iterator[None]:
    try:
        yield
    except torch.OutOfMemoryError as error:
        reason = str(error).partition(". ")[0]
        raise TrainingError(
            f"{reason}; set train.gradient_checkpointing to true and resume, or start again with a "
            f"lower train.batch_size"
        ) from error


@_within_memory()
def take_step(  # noqa: PLR0913 - what a step needs, and two settings of a recipe
    encoder: Encoder,
    optimizer: torch.optim.Optimizer,
    frames: list[FrameBytes],
    captions: list[str],
    *,
    precision: Precision,
    max_gradient_norm: float,
    mask_equal_captions: bool = False,
) -> float:
    """Take one step of the optimiser and give the loss before it.

    Args:
        encoder: What trains.
        optimizer: Over its trainable parameters.
        frames: The videos of the batch.
        captions: One for each video, in the same order.
        precision: Of the tensor arithmetic; the loss and the weights are float32.
        max_gradient_norm: Longer gradients, over all weights together, are scaled down to it.
        mask_equal_captions: Whether videos with the same caption are no wrong answers for each
            other.

    Raises:
        DivergedError: The loss or its gradient is no longer a number.
        TrainingError: The GPU's memory is too small.
    """
    inputs, device = encoder.inputs, encoder.backbone.device
    pixels, frame_mask = stack_videos(encoder, frames)
    token_ids, token_mask = encoder.backbone.tokenizer.encode(captions, inputs.max_tokens)
    with autocast(device, precision):
        videos = encoder.embed_videos(pixels, frame_mask)
        texts = encoder.embed_tokens(token_ids.to(device), token_mask.to(device))
    temperature = encoder.log_temperature.exp()
    if mask_equal_captions:
        # As the encoder sees them: cut, and in lower case where the CLIP has no other.
        is_same = (token_ids[:, None] == token_ids).all(dim=-1)
        loss = symmetric_info_nce(texts, videos, temperature, is_same)
    else:
        loss = symmetric_info_nce(texts, videos, temperature)
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    norm = torch.nn.utils.clip_grad_norm_(
        encoder.trainable_parameters().values(), max_gradient_norm
    )
    value = loss.item()
    # Before the step, which would carry it into the weights and the saved state.
    if not (math.isfinite(value) and math.isfinite(float(norm))):
        raise DivergedError(f"the loss became {value} (gradient {float(norm)})")
    optimizer.step()
    encoder.clamp_temperature()
    return value
