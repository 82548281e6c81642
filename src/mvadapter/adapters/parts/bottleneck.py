"""The plain bottleneck, down, activation, up, that several methods put at their sites."""

import math
from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from mvadapter.adapters.base import MethodConfig
from mvadapter.backbone.clip import Backbone
from mvadapter.backbone.sites import BlockAdapter
from mvadapter.errors import ConfigError
from mvadapter.settings import MAX_WIDTH, check_range
from mvadapter.shapes import TokenMask, Tokens

TextAdapter: TypeAlias = Literal["adaptformer", "none"]
"""The text adapter of a method that was published for pictures or videos only."""


class Bottleneck(nn.Module):
    """AdaptFormer's module, s * Up(ReLU(Down(norm(x)))); it starts at exactly zero.

    Chen et al. 2022 ("AdaptFormer"), section 3.2. The down projection starts as a linear map of
    their code does (Kaiming uniform), up and both biases at zero.

    DEPARTS: no dropout (their code has 0.1 for pictures), as MV-Adapter has none: weight decay is
    what regularises every method here.

    Args:
        width: The tower's width.
        bottleneck_width: Width inside.
        scale: s, the factor on the output.
        has_input_norm: Whether a layer norm precedes the down projection.
    """

    def __init__(
        self,
        width: int,
        bottleneck_width: int,
        scale: float,
        *,
        has_input_norm: bool = False,
    ) -> None:
        super().__init__()
        self._scale = scale
        self.input_norm = nn.LayerNorm(width) if has_input_norm else nn.Identity()
        self.down = nn.Linear(width, bottleneck_width)
        self.up = nn.Linear(bottleneck_width, width)
        nn.init.kaiming_uniform_(self.down.weight, a=math.sqrt(5))
        for zero in (self.down.bias, self.up.weight, self.up.bias):
            nn.init.zeros_(zero)

    def forward(self, tokens: Float[Tensor, "... width"]) -> Float[Tensor, "... width"]:
        """Return the values to add."""
        narrow = self.down(self.input_norm(tokens.to(self.up.bias.dtype)))
        return self._scale * self.up(F.relu(narrow))


class TextBottleneck(BlockAdapter[TokenMask]):
    """The sequential bottleneck after the MLP of one layer of the text tower.

    Chen et al. adapt vision alone. MV-Adapter's paper (section 5.1) gives every method that it
    compares with a sequential bottleneck in the text tower, and so do we.
    """

    def __init__(self, bottleneck: Bottleneck) -> None:
        super().__init__()
        self.bottleneck = bottleneck

    def after_mlp(self, output: Tokens, layout: TokenMask) -> Tokens:  # noqa: ARG002
        """Return what the bottleneck adds to the MLP's output."""
        return self.bottleneck(output)


@dataclass(frozen=True, slots=True, kw_only=True)
class BottleneckConfig(MethodConfig):
    """What the methods built on a bottleneck have in common."""

    bottleneck_width: int = 64
    """Width inside the adapters."""
    scale: float = 0.1
    """s, the factor on what an adapter adds."""
    has_input_norm: bool = False
    """Whether a layer norm precedes the down projections (as in MV-Adapter's comparison)."""
    has_trained_biases: bool = False
    """Whether every bias of CLIP trains too, at a fiftieth of the learning rate, as in
    MV-Adapter's comparison. DEPARTS: without decay, as all biases here."""

    def __post_init__(self) -> None:
        check_range("bottleneck_width", self.bottleneck_width, 1, MAX_WIDTH)
        if not 0 < self.scale < math.inf:
            raise ConfigError(f"scale must be above 0 and finite, got {self.scale}")


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnTextConfig(BottleneckConfig):
    """What the methods have in common whose text tower's bottleneck has a width of its own."""

    text_bottleneck_width: int = 64
    """Width of the text tower's bottleneck, where there is one."""

    def __post_init__(self) -> None:
        # Not super(): slots make a new class, which the zero-argument form does not find.
        BottleneckConfig.__post_init__(self)
        check_range("text_bottleneck_width", self.text_bottleneck_width, 1, MAX_WIDTH)


def text_bottlenecks(
    choice: TextAdapter, width: int, config: BottleneckConfig, backbone: Backbone
) -> dict[int, BlockAdapter[TokenMask]]:
    """A sequential bottleneck for every layer of the text tower, or none at all."""
    if choice == "none":
        return {}
    return {
        layer: TextBottleneck(
            Bottleneck(
                backbone.text.width, width, config.scale, has_input_norm=config.has_input_norm
            )
        )
        for layer in range(backbone.text.num_layers)
    }
