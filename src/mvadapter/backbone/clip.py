"""A name in, a frozen CLIP out: weights, shape and tokenizer as one value."""

import hashlib
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError
from torch import Tensor
from transformers import CLIPConfig, CLIPModel, PreTrainedConfig
from transformers.utils import logging as transformers_logging

from mvadapter.backbone.tokens import CaptionTokenizer
from mvadapter.backbone.towers import Activation, TextShape, VisionShape
from mvadapter.errors import BackboneError, ConfigError

_TINY = Path(__file__).parent / "tiny"
_DTYPES = (torch.float32, torch.bfloat16)
# With these a name is a folder's, never a hub id.
_PATH_STARTS = ("/", ".", "~")
_EXPECTED = (
    "expected a folder with config.json, model.safetensors and the tokenizer's files, as "
    "save_pretrained of transformers writes it (weights that are pickles, .pt and .bin, are not "
    "opened)"
)


@dataclass(frozen=True, eq=False)
class Backbone:
    """One frozen CLIP. It is never changed, wrapped or patched; any number of encoders share it.

    Make one with `Backbone.load`.
    """

    name: str
    """The folder or hub id it came from, or "tiny"."""
    vision: VisionShape
    text: TextShape
    dim: int
    """Size of the space that both towers project into."""
    weights: Mapping[str, Tensor]
    """All tensors under the full names that transformers gives them; none wants a gradient."""

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
            device: Where the weights go.
            dtype: ``torch.float32`` or ``torch.bfloat16``.

        Raises:
            BackboneError: It is not there, not a CLIP, damaged, or cannot be fetched.
            ConfigError: ``dtype`` is neither float32 nor bfloat16, or there is no such device.
        """
        if dtype not in _DTYPES:
            raise ConfigError(f"dtype must be torch.float32 or torch.bfloat16, got {dtype}")
        _check_device(device)
        source = _source(str(name_or_path))
        config = _read_config(source)
        vision, text = _shapes(config, source)
        weights = {name: tensor.to(device) for name, tensor in _read_weights(source, dtype).items()}
        return cls(
            name=str(name_or_path),
            vision=vision,
            text=text,
            dim=weights["text_projection.weight"].shape[0],
            weights=weights,
        )

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.weights["logit_scale"].device

    @property
    def num_weights(self) -> int:
        """How many numbers this CLIP holds (149,620,737 for ViT-B/16)."""
        return sum(tensor.numel() for tensor in self.weights.values())

    @property
    def temperature(self) -> float:
        """The factor on cosine scores in CLIP's loss, exp(logit_scale)."""
        return float(self.weights["logit_scale"].float().exp())

    @property
    def bias_names(self) -> tuple[str, ...]:
        """Full names of every bias of both towers (171,008 numbers in ViT-B/16 and B/32)."""
        return tuple(name for name in self.weights if name.endswith(".bias"))

    @cached_property
    def tokenizer(self) -> CaptionTokenizer:
        """The tokenizer that belongs to this CLIP, read when first asked for."""
        return CaptionTokenizer(self.source)

    @property
    def source(self) -> str:
        """The folder or hub id that its files come from."""
        return _source(self.name)

    @cached_property
    def fingerprint(self) -> str:
        """A hash of shape and weights, the same whichever precision they were loaded in."""
        digest = hashlib.sha256(f"{self.vision} {self.text}".encode())
        for name in sorted(self.weights):
            tensor = self.weights[name].to("cpu", torch.bfloat16).contiguous()
            digest.update(f"{name} {tuple(tensor.shape)}".encode())
            digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
        return digest.hexdigest()


def _source(name: str) -> str:
    return str(_TINY) if name == "tiny" else name


def _check_device(device: str | torch.device) -> None:
    """Refuse a device before anything is read for it.

    Raises:
        ConfigError: torch does not know it, or has no such device here.
    """
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(f"device {str(device)!r} cannot be used here: {reason}") from error


def _read_config(source: str) -> CLIPConfig:
    _check_source(source)
    try:
        with _quiet_hub():
            fields: dict[str, Any] = PreTrainedConfig.get_config_dict(source)[0]
    except (OSError, ValueError) as error:
        raise BackboneError(_unreachable(source, error)) from error
    if fields.get("model_type") != "clip":
        raise BackboneError(
            f"{source}: not a CLIP; config.json says model_type {fields.get('model_type')!r}, "
            f"expected 'clip'"
        )
    try:
        return CLIPConfig.from_dict(fields)
    # transformers checks fields with exceptions that have no base in common.
    except Exception as error:
        raise BackboneError(_unreachable(source, error)) from error


@contextmanager
def _quiet_hub() -> Iterator[None]:
    """Without a network the hub's client would tell of every attempt; one line says what came."""
    log = logging.getLogger("huggingface_hub")
    before = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(before)


def _check_source(source: str) -> None:
    """Refuse what is no CLIP folder, and do not ask the hub for what can only be a folder.

    Raises:
        BackboneError: It is a file, lacks a file, or is not there.
    """
    path = Path(source)
    if path.is_file():
        raise BackboneError(f"{source}: is a file; {_EXPECTED}")
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise BackboneError(f"{source}: not a CLIP folder, it has no config.json; {_EXPECTED}")
        if not any(path.glob("*.safetensors")):
            raise BackboneError(f"{source}: holds no weights as safetensors; {_EXPECTED}")
    elif source.startswith(_PATH_STARTS) or source.count("/") > 1:
        raise BackboneError(f"{source}: no such folder; {_EXPECTED}")


def _read_weights(source: str, dtype: torch.dtype) -> dict[str, Tensor]:
    # transformers would draw a bar over whatever the caller shows.
    transformers_logging.disable_progress_bar()
    try:
        loaded: Any = CLIPModel.from_pretrained(
            source, dtype=dtype, use_safetensors=True, output_loading_info=True
        )
    except (OSError, ValueError, RuntimeError, ArithmeticError, SafetensorError) as error:
        raise BackboneError(_unreachable(source, error)) from error
    model, report = loaded
    missing = sorted(report["missing_keys"])
    if missing:
        raise BackboneError(
            f"{source}: {len(missing)} weights are missing, {missing[0]} among them; the folder is "
            f"incomplete or holds another model"
        )
    return {
        name: tensor.detach()
        for name, tensor in model.state_dict().items()
        if not name.endswith("position_ids")
    }


def _unreachable(source: str, error: Exception) -> str:
    reason = str(error).strip().splitlines()[0]
    if Path(source).exists():
        return f"{source}: the CLIP cannot be read: {reason}"
    return (
        f"{source}: no such folder, and the hub did not give it ({reason}); name a folder, connect "
        f"to the network once so that it is cached, or use 'tiny'"
    )


def _shapes(config: CLIPConfig, source: str) -> tuple[VisionShape, TextShape]:
    vision: Any = config.vision_config
    text: Any = config.text_config
    for tower in (vision, text):
        if tower.hidden_act not in ("quick_gelu", "gelu"):
            raise BackboneError(
                f"{source}: activation {tower.hidden_act!r} is not known; "
                f"CLIP uses quick_gelu or gelu"
            )
    return (
        VisionShape(
            prefix="vision_model",
            width=vision.hidden_size,
            num_layers=vision.num_hidden_layers,
            num_heads=vision.num_attention_heads,
            norm_epsilon=vision.layer_norm_eps,
            activation=cast("Activation", vision.hidden_act),
            image_px=vision.image_size,
            patch_px=vision.patch_size,
        ),
        TextShape(
            prefix="text_model",
            width=text.hidden_size,
            num_layers=text.num_hidden_layers,
            num_heads=text.num_attention_heads,
            norm_epsilon=text.layer_norm_eps,
            activation=cast("Activation", text.hidden_act),
            num_positions=text.max_position_embeddings,
            end_token_id=text.eos_token_id,
        ),
    )
