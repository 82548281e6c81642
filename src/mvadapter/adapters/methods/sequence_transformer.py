"""CLIP4Clip's sequence transformer over the frames of a frozen CLIP (Luo et al. 2021, 3.3)."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

from mvadapter.adapters.base import Adapter, MethodConfig
from mvadapter.adapters.parts.transformer import TransformerBlock
from mvadapter.backbone.clip import Backbone
from mvadapter.errors import ConfigError
from mvadapter.settings import MAX_POSITIONS, check_range
from mvadapter.shapes import FrameEmbeddings, FrameMask

_HEAD_WIDTH = 64
_MAX_LAYERS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class SequenceTransformerConfig(MethodConfig):
    """Settings of the sequence transformer; 12,648,960 weights on ViT-B/16 with the defaults."""

    name: ClassVar[str] = "sequence-transformer"
    what: ClassVar[str] = "a transformer over the frames' features"

    num_layers: int = 4
    """Blocks of the transformer."""
    num_positions: int = 77
    """The most frames of a video: the length of the table of positions."""

    def __post_init__(self) -> None:
        check_range("num_layers", self.num_layers, 1, _MAX_LAYERS)
        check_range("num_positions", self.num_positions, 1, MAX_POSITIONS)

    def build(self, backbone: Backbone) -> "SequenceTransformer":
        """Make the untrained adapter."""
        return SequenceTransformer(self, backbone)


class SequenceTransformer(Adapter):
    """A transformer over the projected features of a video's frames, added to them.

    Where CLIP's text tower is as wide as the shared space, positions and blocks start as copies of
    its first ones, as in CLIP4Clip; blocks without a counterpart are drawn as CLIP draws them.
    Added to features that they were not trained on, untrained blocks change them: this method
    cannot start as the identity.

    Args:
        config: The settings.
        backbone: The CLIP it is for.

    Raises:
        ConfigError: The shared space cannot be split into heads.
    """

    def __init__(self, config: SequenceTransformerConfig, backbone: Backbone) -> None:
        super().__init__(config, video={}, text={}, trained={})
        dim = backbone.dim
        if dim > _HEAD_WIDTH and dim % _HEAD_WIDTH:
            raise ConfigError(
                f"the sequence transformer has heads of {_HEAD_WIDTH} dims, which must divide the "
                f"shared space's {dim}"
            )
        self.longest_video = config.num_positions
        self.positions = nn.Parameter(0.01 * torch.randn(config.num_positions, dim))
        self.blocks = nn.ModuleList(
            FrameBlock(dim, config.num_layers) for _ in range(config.num_layers)
        )
        if backbone.text.width == dim:
            self._start_as_text_tower(backbone)

    def after_projection(self, frames: FrameEmbeddings, mask: FrameMask) -> FrameEmbeddings:
        """Return the frames with what the transformer makes of them.

        Raises:
            ConfigError: There are more frames than positions.
        """
        num_frames = frames.shape[1]
        if num_frames > len(self.positions):
            raise ConfigError(
                f"videos have {num_frames} frames, but the adapter has positions for "
                f"{len(self.positions)}; sample at most {len(self.positions)} frames or build it "
                f"with num_positions={num_frames}"
            )
        sequence = frames.to(self.positions.dtype) + self.positions[:num_frames]
        for block in self.blocks:
            sequence = block(sequence, mask[:, None, None, :])
        return frames + sequence

    def _start_as_text_tower(self, backbone: Backbone) -> None:
        weights = backbone.weights
        table = weights["text.positions"]
        with torch.no_grad():
            num_copied = min(len(table), len(self.positions))
            self.positions[:num_copied] = table[:num_copied]
            for layer, block in enumerate(self.blocks[: backbone.text.num_layers]):
                prefix = f"text.blocks.{layer}"
                for name, source in _TEXT_NAMES.items():
                    parts = [weights[f"{prefix}.{part}"] for part in source]
                    block.get_parameter(name).copy_(torch.cat(parts))


class FrameBlock(TransformerBlock):
    """One block over the frames of a video, drawn as CLIP draws its own (Radford et al. 2021)."""

    def __init__(self, width: int, num_layers: int) -> None:
        super().__init__(width, max(1, width // _HEAD_WIDTH))
        into_stream = width**-0.5 * (2 * num_layers) ** -0.5
        nn.init.normal_(self.query_key_value.weight, std=width**-0.5)
        nn.init.normal_(self.attention_out.weight, std=into_stream)
        nn.init.normal_(self.mlp_in.weight, std=(2 * width) ** -0.5)
        nn.init.normal_(self.mlp_out.weight, std=into_stream)


def _both(own: str, *of_clip: str) -> dict[str, tuple[str, ...]]:
    return {
        f"{own}.{kind}": tuple(f"{name}.{kind}" for name in of_clip) for kind in ("weight", "bias")
    }


_TEXT_NAMES = (
    _both("norm1", "norm1")
    | _both("query_key_value", "attention.q", "attention.k", "attention.v")
    | _both("attention_out", "attention.o")
    | _both("norm2", "norm2")
    | _both("mlp_in", "mlp.in")
    | _both("mlp_out", "mlp.out")
)
"""The weights of a block, and those of CLIP's text tower that they start as."""
