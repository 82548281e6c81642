"""Cross-Modal Adapter: bottlenecks whose last outputs both towers share (Jiang et al. 2022)."""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mvadapter.adapters.base import Adapter, bias_copies
from mvadapter.adapters.parts.bottleneck import BottleneckConfig
from mvadapter.backbone.clip import Backbone
from mvadapter.backbone.sites import BlockAdapter
from mvadapter.backbone.towers import quick_gelu
from mvadapter.errors import ConfigError
from mvadapter.settings import MAX_WIDTH, check_range
from mvadapter.shapes import Tokens

CrossModalSites: TypeAlias = Literal["attention-and-mlp", "mlp"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CrossModalAdapterConfig(BottleneckConfig):
    """Settings of the Cross-Modal Adapter; by default it trains 519,168 weights on ViT-B/16.

    Its authors pool frames by the query; here, as in MV-Adapter's comparison, every method pools
    by the mean, so that only the adapters differ.
    """

    name: ClassVar[str] = "cross-modal-adapter"
    what: ClassVar[str] = "bottlenecks with outputs that both towers share"

    bottleneck_width: int = 8
    """Width inside the adapters."""
    scale: float = 1.0
    """The factor on what an adapter adds; the authors have none."""
    num_shared: int = 16
    """How many of the output dims, the last ones, the two towers share."""
    sites: CrossModalSites = "attention-and-mlp"
    """After both halves of a block (Houlsby et al. 2019), or after the MLP alone."""
    has_shared_biases: bool = True
    """Whether the biases of the shared outputs are shared too."""

    def __post_init__(self) -> None:
        # Not super(): slots make a new class, which the zero-argument form does not find.
        BottleneckConfig.__post_init__(self)
        check_range("num_shared", self.num_shared, 1, MAX_WIDTH)

    def build(self, backbone: Backbone) -> "CrossModalAdapter":
        """Make the untrained adapter."""
        return CrossModalAdapter(self, backbone)


class CrossModalAdapter(Adapter):
    """Bottlenecks in both towers; the layers of the shallower tower share with their likes.

    Args:
        config: The settings.
        backbone: The CLIP it is for.

    Raises:
        ConfigError: ``num_shared`` is larger than a tower's width.
    """

    def __init__(self, config: CrossModalAdapterConfig, backbone: Backbone) -> None:
        vision, text = backbone.vision, backbone.text
        narrowest = min(vision.width, text.width)
        if config.num_shared > narrowest:
            raise ConfigError(
                f"num_shared ({config.num_shared}) must be at most the narrower tower's width, "
                f"{narrowest}"
            )
        # Layers are paired from the last one back, as MV-Adapter ties them.
        num_pairs = min(vision.num_layers, text.num_layers)
        ties = [_Ties(config) for _ in range(num_pairs)]
        super().__init__(
            config,
            video=_blocks(config, vision.width, vision.num_layers, ties),
            text=_blocks(config, text.width, text.num_layers, ties),
            trained=bias_copies(backbone, are_trained=config.has_trained_biases),
            shared=[parameter for tie in ties for parameter in tie.parameters()],
        )


class _Ties:
    """What one pair of layers shares: for each site the last rows of up, and their biases."""

    def __init__(self, config: CrossModalAdapterConfig) -> None:
        num_sites = 2 if config.sites == "attention-and-mlp" else 1
        self.weights = [
            # Zero, so that an untrained adapter adds nothing.
            nn.Parameter(torch.zeros(config.num_shared, config.bottleneck_width))
            for _ in range(num_sites)
        ]
        self.biases = [
            nn.Parameter(torch.zeros(config.num_shared)) if config.has_shared_biases else None
            for _ in range(num_sites)
        ]

    def parameters(self) -> list[nn.Parameter]:
        return [*self.weights, *(bias for bias in self.biases if bias is not None)]


class SharedBottleneck(nn.Module):
    """s * concat(U_own m, U_shared m) with m = QuickGELU(Down(norm(x))).

    DEPARTS: the authors draw every weight from a truncated normal of 0.01, so that theirs starts
    near zero; here U starts at zero, so that an untrained adapter changes nothing.
    """

    def __init__(
        self,
        config: CrossModalAdapterConfig,
        width: int,
        shared_weight: nn.Parameter | None,
        shared_bias: nn.Parameter | None,
    ) -> None:
        super().__init__()
        self._scale = config.scale
        num_shared = 0 if shared_weight is None else len(shared_weight)
        num_shared_biases = 0 if shared_bias is None else len(shared_bias)
        self.input_norm = nn.LayerNorm(width) if config.has_input_norm else nn.Identity()
        self.down = nn.Linear(width, config.bottleneck_width)
        nn.init.trunc_normal_(self.down.weight, std=0.01)
        nn.init.zeros_(self.down.bias)
        self.up = nn.Parameter(torch.zeros(width - num_shared, config.bottleneck_width))
        self.up_bias = nn.Parameter(torch.zeros(width - num_shared_biases))
        self.shared_up = shared_weight
        self.shared_bias = shared_bias

    def forward(self, tokens: Tokens) -> Tokens:
        """Return the values to add."""
        narrow = quick_gelu(self.down(self.input_norm(tokens.to(self.up.dtype))))
        weight = _with_shared(self.up, self.shared_up)
        bias = _with_shared(self.up_bias, self.shared_bias)
        return self._scale * F.linear(narrow, weight, bias)


def _with_shared(own: Tensor, shared: Tensor | None) -> Tensor:
    return own if shared is None else torch.cat([own, shared])


class CrossModalBlock(BlockAdapter[Any]):
    """The bottlenecks of one layer, which are the same in both towers."""

    def __init__(self, config: CrossModalAdapterConfig, width: int, ties: _Ties | None) -> None:
        super().__init__()
        none = [None, None]
        weights, biases = (none, none) if ties is None else (ties.weights, ties.biases)
        self.of_mlp = SharedBottleneck(config, width, weights[0], biases[0])
        self.of_attention = None
        if config.sites == "attention-and-mlp":
            self.of_attention = SharedBottleneck(config, width, weights[1], biases[1])

    def after_attention(self, output: Tokens, layout: Any) -> Tokens | None:  # noqa: ANN401, ARG002
        """Return what the bottleneck after the attention adds."""
        return None if self.of_attention is None else self.of_attention(output)

    def after_mlp(self, output: Tokens, layout: Any) -> Tokens:  # noqa: ANN401, ARG002
        """Return what the bottleneck after the MLP adds."""
        return self.of_mlp(output)


def _blocks(
    config: CrossModalAdapterConfig, width: int, num_layers: int, ties: list[_Ties]
) -> dict[int, BlockAdapter[Any]]:
    first_tied = num_layers - len(ties)
    return {
        layer: CrossModalBlock(
            config, width, ties[layer - first_tied] if layer >= first_tied else None
        )
        for layer in range(num_layers)
    }
