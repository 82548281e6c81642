"""AdaptFormer: a bottleneck beside or after every MLP (Chen et al. 2022, section 3.2)."""

from dataclasses import dataclass
from typing import ClassVar, Literal, TypeAlias

from mvadapter.adapters.base import Adapter, bias_copies
from mvadapter.adapters.parts.bottleneck import (
    Bottleneck,
    BottleneckConfig,
    TextAdapter,
    text_bottlenecks,
)
from mvadapter.backbone.clip import Backbone
from mvadapter.backbone.sites import BlockAdapter, FrameLayout
from mvadapter.shapes import Tokens

Placement: TypeAlias = Literal["parallel", "sequential"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AdaptFormerConfig(BottleneckConfig):
    """Settings of AdaptFormer; with the defaults it trains 1,982,976 weights on ViT-B/16."""

    name: ClassVar[str] = "adaptformer"
    what: ClassVar[str] = "a bottleneck beside every MLP"

    placement: Placement = "parallel"
    """Beside the vision tower's MLPs, as published, or after them (``sequential``)."""
    text: TextAdapter = "adaptformer"
    """What stands in the text tower, which Chen et al. leave alone: a sequential bottleneck of the
    same width, as MV-Adapter's paper gave everything that it compares with (section 5.1), or
    nothing."""

    def build(self, backbone: Backbone) -> "AdaptFormer":
        """Make the untrained adapter."""
        return AdaptFormer(self, backbone)


class AdaptFormer(Adapter):
    """A bottleneck in every layer of the vision tower, and after every MLP of the text tower.

    Args:
        config: The settings.
        backbone: The CLIP it is for.
    """

    def __init__(self, config: AdaptFormerConfig, backbone: Backbone) -> None:
        block = ParallelBlock if config.placement == "parallel" else SequentialBlock
        super().__init__(
            config,
            video={
                layer: block(config, backbone.vision.width)
                for layer in range(backbone.vision.num_layers)
            },
            text=text_bottlenecks(config.text, config.bottleneck_width, config, backbone),
            trained=bias_copies(backbone, are_trained=config.has_trained_biases),
        )


class _Block(BlockAdapter[FrameLayout]):
    def __init__(self, config: AdaptFormerConfig, width: int) -> None:
        super().__init__()
        self.bottleneck = Bottleneck(
            width, config.bottleneck_width, config.scale, has_input_norm=config.has_input_norm
        )


class ParallelBlock(_Block):
    """Beside the MLP, on its input before the norm: as in the code; the paper's figure differs."""

    def beside_mlp(self, tokens: Tokens, normed: Tokens, layout: FrameLayout) -> Tokens:  # noqa: ARG002
        """Return what the bottleneck adds."""
        return self.bottleneck(tokens)


class SequentialBlock(_Block):
    """After the MLP, on its output without the residual."""

    def after_mlp(self, output: Tokens, layout: FrameLayout) -> Tokens:  # noqa: ARG002
        """Return what the bottleneck adds."""
        return self.bottleneck(output)
