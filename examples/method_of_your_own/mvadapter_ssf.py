"""SSF: a learned scale and shift of what attention and MLP put out (Lian et al. 2022, 3.2).

DEPARTS: the authors also scale and shift the outputs of linear maps and norms inside both halves.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import nn

from mvadapter.adapters.base import Adapter, Layers, MethodConfig, resolve_layers
from mvadapter.backbone.clip import Backbone
from mvadapter.backbone.sites import BlockAdapter
from mvadapter.backbone.towers import TowerShape
from mvadapter.shapes import Tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class SsfConfig(MethodConfig):
    """Settings of SSF; with the defaults 61,440 weights on ViT-B/16."""

    name: ClassVar[str] = "ssf"
    what: ClassVar[str] = "a scale and a shift behind attention and MLP"

    layers: Layers = "all"
    """Layers of both towers; negative numbers count from the last one back."""

    def build(self, backbone: Backbone) -> Adapter:
        """Make the untrained adapter."""
        return Adapter(
            self,
            video=_blocks(self.layers, backbone.vision),
            text=_blocks(self.layers, backbone.text),
            trained={},
        )


class ScaleAndShift(nn.Module):
    """(1 + scale) * x + shift, less x, which the tower adds; it starts at exactly zero."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.zeros(width))
        self.shift = nn.Parameter(torch.zeros(width))

    def forward(self, output: Tokens) -> Tokens:
        """Return what is to be added."""
        return output * self.scale + self.shift


class SsfBlock(BlockAdapter[Any]):
    """What stands in one layer, the same in both towers."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.of_attention = ScaleAndShift(width)
        self.of_mlp = ScaleAndShift(width)

    def after_attention(self, output: Tokens, layout: Any) -> Tokens:  # noqa: ANN401, ARG002
        """Return what is added to the attention's output."""
        return self.of_attention(output)

    def after_mlp(self, output: Tokens, layout: Any) -> Tokens:  # noqa: ANN401, ARG002
        """Return what is added to the MLP's output."""
        return self.of_mlp(output)


def _blocks(layers: Layers, shape: TowerShape) -> dict[int, SsfBlock]:
    return {
        layer: SsfBlock(shape.width) for layer in resolve_layers(layers, shape.num_layers, "layers")
    }
