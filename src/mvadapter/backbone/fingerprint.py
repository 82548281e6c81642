"""All of a CLIP that decides its embeddings in, hashes of it out."""

import hashlib
from collections.abc import Mapping
from dataclasses import astuple, replace

import torch
from torch import Tensor

from mvadapter.backbone.recipes import PixelRecipe, TextRecipe
from mvadapter.backbone.towers import TextShape, VisionShape

_SHOWN = 16


def fingerprint(
    values: tuple[VisionShape, TextShape, PixelRecipe, TextRecipe], weights: Mapping[str, Tensor]
) -> str:
    """Hash shapes, recipes and weights: the same whatever precision the weights are loaded in."""
    # Values without the names of their fields, which may change in a later version.
    digest = hashlib.sha256(repr([astuple(part) for part in values]).encode())
    for name in sorted(weights):
        digest.update(_tensor_bytes(name, weights[name].bfloat16()))
    return digest.hexdigest()


def fingerprint_parts(
    values: tuple[VisionShape, TextShape, PixelRecipe, TextRecipe], weights: Mapping[str, Tensor]
) -> dict[str, str]:
    """Hash each part by itself, by its name in messages."""
    vision, text, pixels, captions = values
    towers = hashlib.sha256()
    for name in sorted(weights.keys() - {"logit_scale"}):
        towers.update(_tensor_bytes(name, weights[name].bfloat16()))
    parts = {
        "shape": repr([astuple(vision), astuple(text)]).encode(),
        "pixel recipe": repr(astuple(pixels)).encode(),
        "text recipe": repr(astuple(replace(captions, tokenizer_sha256=None))).encode(),
        "tokenizer": str(captions.tokenizer_sha256).encode(),
        # In float32, which it is in every precision of the towers.
        "temperature": _tensor_bytes("logit_scale", weights["logit_scale"].float()),
    }
    hashes = {name: hashlib.sha256(part).hexdigest()[:_SHOWN] for name, part in parts.items()}
    return {"weights": towers.hexdigest()[:_SHOWN], **hashes}


def differing_parts(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """The names of the parts that two CLIPs do not share, of those known of both."""
    return [name for name, part in now.items() if before.get(name, part) != part]


def _tensor_bytes(name: str, tensor: Tensor) -> bytes:
    tensor = tensor.cpu().contiguous()
    return (
        f"{name} {tuple(tensor.shape)}".encode()
        + tensor.reshape(-1).view(torch.uint8).numpy().tobytes()
    )
