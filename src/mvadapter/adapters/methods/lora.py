"""LoRA: low-rank changes of the attention's linear maps (Hu et al. 2022, section 4.1)."""

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, TypeAlias, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mvadapter.adapters.base import Adapter, MethodConfig
from mvadapter.backbone.clip import Backbone
from mvadapter.backbone.sites import AttentionProjection, BlockAdapter
from mvadapter.errors import ConfigError
from mvadapter.settings import MAX_WIDTH, check_range
from mvadapter.shapes import Tokens

LoraForm: TypeAlias = Literal["fused", "separate"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LoraConfig(MethodConfig):
    """Settings of LoRA; with the defaults it trains 491,520 weights on ViT-B/16."""

    name: ClassVar[str] = "lora"
    what: ClassVar[str] = "low-rank changes of the attention's maps"

    rank: int = 8
    """r, the rank of each change."""
    alpha: float = 8.0
    """The change is scaled by alpha / rank; equal to the rank, as in TempMe, it is not scaled."""
    targets: tuple[AttentionProjection, ...] = ("q", "k", "v")
    """Which of the attention's linear maps change."""
    form: LoraForm = "fused"
    """``fused``: q, k and v have one A in common, as in CLIPs that hold them in one matrix
    (TempMe, Shen et al. 2025). ``separate``: each has its own (CLIP-LoRA, Zanella et al. 2024)."""

    def __post_init__(self) -> None:
        check_range("rank", self.rank, 1, MAX_WIDTH)
        if not 0 < self.alpha < math.inf:
            raise ConfigError(f"alpha must be above 0 and finite, got {self.alpha}")
        if not self.targets or len(set(self.targets)) < len(self.targets):
            raise ConfigError(
                f"targets must name some of {', '.join(get_args(AttentionProjection))}, each once, "
                f"got {list(self.targets)}"
            )

    def build(self, backbone: Backbone) -> "Lora":
        """Make the untrained adapter."""
        return Lora(self, backbone)


class Lora(Adapter):
    """W' = W + (alpha / r) B A in every layer of both towers; B starts at zero.

    Args:
        config: The settings.
        backbone: The CLIP it is for.
    """

    def __init__(self, config: LoraConfig, backbone: Backbone) -> None:
        vision, text = backbone.vision, backbone.text
        super().__init__(
            config,
            video={layer: LoraBlock(config, vision.width) for layer in range(vision.num_layers)},
            text={layer: LoraBlock(config, text.width) for layer in range(text.num_layers)},
            trained={},
        )
        self._blocks: dict[str, LoraBlock] = {
            f"{shape.prefix}.blocks.{layer}.attention": block
            for shape, blocks in ((vision, self.video), (text, self.text))
            for layer, block in blocks.items()
            if isinstance(block, LoraBlock)
        }

    def weight_changes(self) -> dict[str, Tensor]:
        """What to add to weights of CLIP, by their full names, to have this adapter merged."""
        return {
            f"{name}.{target}.weight": block.change(target)
            for name, block in self._blocks.items()
            for target in block.targets
        }


class LoraBlock(BlockAdapter[Any]):
    """The low-rank changes of one layer, which are the same in both towers."""

    def __init__(self, config: LoraConfig, width: int) -> None:
        super().__init__()
        self.targets = config.targets
        self._scale = config.alpha / config.rank
        self._is_fused = config.form == "fused"
        self.down = nn.ParameterDict(
            {self._down_name(target): torch.empty(config.rank, width) for target in config.targets}
        )
        self.up = nn.ParameterDict(
            {target: torch.zeros(width, config.rank) for target in config.targets}
        )
        for matrix in self.down.values():
            nn.init.kaiming_uniform_(matrix, a=math.sqrt(5))

    def on_projection(self, projection: AttentionProjection, tokens: Tokens) -> Tokens | None:
        """Return what the change adds to a projection's output."""
        if projection not in self.targets:
            return None
        down, up = self.down[self._down_name(projection)], self.up[projection]
        return self._scale * F.linear(F.linear(tokens.to(down.dtype), down), up)

    def change(self, target: AttentionProjection) -> Tensor:
        """The change of a projection's weight, (alpha / r) B A."""
        return self._scale * self.up[target] @ self.down[self._down_name(target)]

    def _down_name(self, target: AttentionProjection) -> str:
        return "qkv" if self._is_fused and target != "o" else target
