"""In which precision an encoder's arithmetic runs; its adapter's weights are always float32."""

import time
from contextlib import AbstractContextManager
from typing import Literal, TypeAlias

import torch

from mvadapter.encoder.encode import Encoder

Precision: TypeAlias = Literal["float32", "bfloat16"]
PrecisionChoice: TypeAlias = Literal["auto", "float32", "bfloat16"]

# What bfloat16 must save before its smaller accuracy is worth it.
_WORTHWHILE_SPEEDUP = 1.2


def autocast(encoder: Encoder, precision: Precision) -> AbstractContextManager[None]:
    """Run the tensor arithmetic inside in this precision."""
    return torch.autocast(
        encoder.backbone.device.type,
        dtype=torch.bfloat16,
        enabled=precision == "bfloat16",
    )


def choose_precision(choice: PrecisionChoice, encoder: Encoder) -> Precision:
    """Settle ``auto`` by timing the vision tower in both precisions on this machine.

    Processors with avx512_bf16 or amx, and recent GPUs, gain several times; others lose.
    """
    if choice != "auto":
        return choice
    seconds = {precision: _time(encoder, precision) for precision in ("float32", "bfloat16")}
    is_faster = seconds["float32"] > _WORTHWHILE_SPEEDUP * seconds["bfloat16"]
    return "bfloat16" if is_faster else "float32"


def _time(encoder: Encoder, precision: Precision) -> float:
    """The best of three runs over a few frames, in seconds."""
    device, size = encoder.backbone.device, encoder.backbone.vision.image_px
    num_frames = min(4, encoder.inputs.num_frames)
    pixels = torch.zeros(2, num_frames, 3, size, size, device=device)
    mask = torch.ones(2, num_frames, dtype=torch.bool, device=device)
    best = float("inf")
    with torch.inference_mode(), autocast(encoder, precision):
        for _ in range(3):
            start = time.perf_counter()
            encoder.embed_frames(pixels, mask).sum().item()
            best = min(best, time.perf_counter() - start)
    return best
