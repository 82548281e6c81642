"""All of a CLIP that decides its embeddings in, hashes of it out."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple, dataclass, replace

import torch
from torch import Tensor

from mvadapter.backbone.recipes import PixelRecipe, TextRecipe
from mvadapter.backbone.towers import TextShape, VisionShape

_SHOWN = 16
_TEMPERATURE = "logit_scale"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fingerprint:
    """Hashes of a CLIP, the same whatever precision its weights are loaded in."""

    whole: str
    parts: dict[str, str]
    """A hash of each part by itself, by its name in messages."""


def fingerprint(
    values: tuple[VisionShape, TextShape, PixelRecipe, TextRecipe], weights: Mapping[str, Tensor]
) -> Fingerprint:
    """Hash shapes, recipes and weights."""
    vision, text, pixels, captions = values
    # Values without the names of their fields, which may change in a later version.
    whole = hashlib.sha256(repr([astuple(part) for part in values]).encode())
    towers = hashlib.sha256()
    for name in sorted(weights):
        digests = [whole] if name == _TEMPERATURE else [whole, towers]
        _feed([digest.update for digest in digests], name, weights[name].bfloat16())
    temperature = hashlib.sha256()
    # In float32, which it is in every precision of the towers.
    _feed([temperature.update], _TEMPERATURE, weights[_TEMPERATURE].float())
    recipes = {
        "shape": repr([astuple(vision), astuple(text)]),
        "pixel recipe": repr(astuple(pixels)),
        "text recipe": repr(astuple(replace(captions, tokenizer_sha256=None))),
        "tokenizer": str(captions.tokenizer_sha256),
    }
    separate = {
        "weights": towers,
        **{name: hashlib.sha256(recipe.encode()) for name, recipe in recipes.items()},
        "temperature": temperature,
    }
    parts = {name: digest.hexdigest()[:_SHOWN] for name, digest in separate.items()}
    return Fingerprint(whole=whole.hexdigest(), parts=parts)


def differing_parts(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """The names of the parts that two CLIPs do not share, of those known of both."""
    return [name for name, part in now.items() if before.get(name, part) != part]


def _feed(updates: Sequence[Callable[..., None]], name: str, tensor: Tensor) -> None:
    """Feed a tensor to digests, by its bytes in place."""
    tensor = tensor.cpu().contiguous()
    for update in updates:
        update(f"{name} {tuple(tensor.shape)}".encode())
        update(tensor.reshape(-1).view(torch.uint8).numpy().data)
