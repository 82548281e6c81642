"""A name in, a frozen CLIP out: weights, shape and tokenizer as one value."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor
from transformers import PreTrainedConfig
from transformers.utils import logging as transformers_logging

from mvadapter.backbone.families import FAMILIES
from mvadapter.backbone.family import Family
from mvadapter.backbone.fingerprint import Fingerprint, fingerprint
from mvadapter.backbone.recipe_files import read_pixel_recipe, read_text_recipe
from mvadapter.backbone.recipes import PixelRecipe, TextRecipe
from mvadapter.backbone.source import (
    check_source,
    find_companions,
    quiet_hub,
    source_of,
    unreadable,
)
from mvadapter.backbone.tokens import CaptionTokenizer
from mvadapter.backbone.towers import TextShape, VisionShape
from mvadapter.errors import BackboneError, ConfigError

_DTYPES = (torch.float32, torch.bfloat16)


@dataclass(frozen=True, eq=False)
class Backbone:
    """One frozen CLIP. It is never changed, wrapped or patched; any number of encoders share it.

    Create one with `Backbone.load`.
    """

    name: str
    """The folder or hub id, or "tiny"."""
    vision: VisionShape
    text: TextShape
    dim: int
    """Size of the space that both towers project into."""
    pixels: PixelRecipe
    """How frames become what the vision tower takes."""
    captions: TextRecipe
    """How captions become token ids."""
    weights: Mapping[str, Tensor]
    """All tensors by name, such as ``vision.blocks.3.attention.q.weight``; the same names for every
    kind of CLIP. None requires a gradient."""

    @classmethod
    def load(
        cls,
        name_or_path: str | Path,
        *,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> "Backbone":
        """Load a CLIP from a transformers folder, from the hub, or the shipped ``"tiny"`` one.

        Args:
            name_or_path: A folder with ``config.json`` and safetensors weights, a hub id such as
                ``"openai/clip-vit-base-patch16"``, or ``"tiny"``.
            device: Torch device, such as "cpu" or "cuda".
            dtype: ``torch.float32`` or ``torch.bfloat16``.

        Raises:
            BackboneError: It is not there, not a CLIP, damaged, or cannot be fetched.
            ConfigError: ``dtype`` is neither float32 nor bfloat16, or there is no such device.
        """
        if dtype not in _DTYPES:
            raise ConfigError(f"dtype must be torch.float32 or torch.bfloat16, got {dtype}")
        _check_device(device)
        source = source_of(str(name_or_path))
        family, config = read_config(source)
        try:
            vision, text = family.shapes(config)
        except ConfigError as error:
            raise BackboneError(f"{source}: config.json: {error}") from error
        files = find_companions(source)
        pixels = read_pixel_recipe(files, family.default_pixels(vision.image_px))
        captions = read_text_recipe(files, text.num_positions)
        weights = {
            # Rounded to bfloat16, the logarithm of 100 would be that of 98.9.
            name: tensor.to(device, torch.float32 if name == "logit_scale" else dtype)
            for name, tensor in family.renamed(_read_weights(source, family, config), vision, text)
        }
        return cls(
            name=str(name_or_path),
            vision=vision,
            text=text,
            dim=weights["text.projection.weight"].shape[0],
            pixels=pixels,
            captions=captions,
            weights=weights,
        )

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.weights["logit_scale"].device

    @property
    def dtype(self) -> torch.dtype:
        """The precision of all weights but ``logit_scale``, which is float32 always."""
        return self.weights["vision.projection.weight"].dtype

    @property
    def num_weights(self) -> int:
        """How many numbers this CLIP holds (149,620,737 for ViT-B/16)."""
        return sum(tensor.numel() for tensor in self.weights.values())

    @property
    def temperature(self) -> float:
        """The factor on cosine scores in CLIP's loss, exp(logit_scale)."""
        return float(self.weights["logit_scale"].exp())

    @property
    def bias_names(self) -> tuple[str, ...]:
        """Full names of every bias of both towers (171,008 numbers in ViT-B/16 and B/32)."""
        return tuple(name for name in self.weights if name.endswith(".bias"))

    @cached_property
    def tokenizer(self) -> CaptionTokenizer:
        """The tokenizer that belongs to this CLIP, read when first asked for."""
        return CaptionTokenizer(self.source, self.captions)

    @property
    def source(self) -> str:
        """The folder or hub id that its files come from."""
        return source_of(self.name)

    @property
    def fingerprint(self) -> str:
        """A hash of shape, recipes and weights, the same whatever precision they are loaded in."""
        return self._hashes.whole

    @property
    def fingerprint_parts(self) -> dict[str, str]:
        """A hash of each part that the fingerprint covers, to name the one that differs."""
        return self._hashes.parts

    @cached_property
    def _hashes(self) -> Fingerprint:
        return fingerprint((self.vision, self.text, self.pixels, self.captions), self.weights)


def _check_device(device: str | torch.device) -> None:
    """Refuse a device before anything is read for it.

    Raises:
        ConfigError: torch does not know it, or has no such device here.
    """
    try:
        torch.zeros(1, device=device).tolist()
    # torch raises whatever its back ends do, and lists what a person cannot choose from.
    except Exception as error:
        raise ConfigError(
            f"device {str(device)!r} cannot be used here; expected cpu, or cuda, mps or xpu where "
            f"this torch has them"
        ) from error


def read_config(source: str) -> tuple[Family, PreTrainedConfig]:
    """Read config.json, and which kind of dual encoder it describes.

    Raises:
        BackboneError: It is not there, of no known kind, or damaged.
    """
    check_source(source)
    try:
        with quiet_hub():
            fields: dict[str, Any] = PreTrainedConfig.get_config_dict(source)[0]
    except (OSError, ValueError) as error:
        raise BackboneError(unreadable(source, error)) from error
    kind = fields.get("model_type")
    if kind not in FAMILIES:
        raise BackboneError(
            f"{source}: not a CLIP; config.json has model_type {kind!r}, "
            f"expected {' or '.join(map(repr, FAMILIES))}"
        )
    _make_square(fields.get("vision_config"), source)
    try:
        return FAMILIES[kind], FAMILIES[kind].config_class.from_dict(fields)
    # transformers checks fields with exceptions that have no base in common.
    except Exception as error:
        raise BackboneError(unreadable(source, error)) from error


def _make_square(vision: Any, source: str) -> None:  # noqa: ANN401 - JSON of any shape
    """Replace sizes of two equal sides by one number, which is all that transformers' CLIP runs.

    Raises:
        BackboneError: The sides differ, or are no numbers of pixels.
    """
    for key in ("image_size", "patch_size"):
        if isinstance(vision, dict) and key in vision:
            size = vision[key]
            sides = size if isinstance(size, list) else [size, size]
            if len(sides) != 2 or sides[0] != sides[1] or not _is_size(sides[0]):
                raise BackboneError(
                    f"{source}: config.json has {key} {size}; only squares are supported, one "
                    f"number of at least 1"
                )
            vision[key] = sides[0]


def _is_size(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _read_weights(source: str, family: Family, config: PreTrainedConfig) -> dict[str, Tensor]:
    """All tensors, by transformers' names.

    Raises:
        BackboneError: They are not there, damaged or incomplete.
    """
    # transformers would draw a bar over whatever the caller shows.
    transformers_logging.disable_progress_bar()
    try:
        loaded: Any = family.model_class.from_pretrained(
            source,
            config=config,
            dtype=torch.float32,
            use_safetensors=True,
            output_loading_info=True,
        )
    except (OSError, ValueError, RuntimeError, ArithmeticError, SafetensorError) as error:
        raise BackboneError(unreadable(source, error)) from error
    model, report = loaded
    missing = sorted(report["missing_keys"])
    if missing:
        raise BackboneError(
            f"{source}: {len(missing)} weights are missing, {missing[0]} among them; the folder is "
            f"incomplete or holds another model"
        )
    return {name: tensor.detach() for name, tensor in model.state_dict().items()}
