"""Convpass: convolutional bypasses of attention and MLP (Jie and Deng 2022, section 3.2)."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal, TypeAlias, assert_never

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from mvadapter.adapters.base import Adapter, bias_copies
from mvadapter.adapters.parts.bottleneck import OwnTextConfig, text_bottlenecks
from mvadapter.backbone.clip import Backbone
from mvadapter.backbone.sites import BlockAdapter, FrameLayout
from mvadapter.backbone.towers import quick_gelu
from mvadapter.shapes import TokenMask, Tokens

ConvpassSites: TypeAlias = Literal["attention-and-mlp", "attention"]
ConvpassText: TypeAlias = Literal["convolution", "adaptformer", "none"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConvpassConfig(OwnTextConfig):
    """Settings of Convpass; its vision part has 327,552 weights on ViT-B/16 with the defaults.

    The authors search the scale in 0.1, 1, 10 and 100 for each task; ours is that of the other
    methods, and the learning rate is what `mvadapter compare` searches for every one of them.
    """

    name: ClassVar[str] = "convpass"
    what: ClassVar[str] = "convolutions beside attention and MLP"

    bottleneck_width: int = 8
    """Width inside the adapters."""
    sites: ConvpassSites = "attention-and-mlp"
    """Beside both halves of a block, or beside the attention alone (``convpass_attn``)."""
    is_depthwise: bool = False
    """Whether the convolutions leave channels apart (what MV-Adapter's comparison seems to use)."""
    text: ConvpassText = "convolution"
    """What stands in the text tower: causal convolutions over three words, our analogue; a
    sequential bottleneck of width ``text_bottleneck_width``, as in MV-Adapter's comparison; or
    nothing."""

    def build(self, backbone: Backbone) -> "Convpass":
        """Make the untrained adapter."""
        return Convpass(self, backbone)


class Convpass(Adapter):
    """Bypasses in every layer of the vision tower, and what ``text`` names in the text tower.

    Args:
        config: The settings.
        backbone: The CLIP it is for.
    """

    def __init__(self, config: ConvpassConfig, backbone: Backbone) -> None:
        vision = backbone.vision
        super().__init__(
            config,
            video={
                layer: FrameBypasses(config, vision.width) for layer in range(vision.num_layers)
            },
            text=_text_blocks(config, backbone),
            trained=bias_copies(backbone, are_trained=config.has_trained_biases),
        )


class Bypass(nn.Module):
    """s * Up(QuickGELU(convolution(QuickGELU(Down(norm(x)))))); it starts at exactly zero.

    Down starts Xavier uniform, the convolution as the identity, up at zero, all biases at zero.

    DEPARTS: no dropout (their code has 0.1), as in every method here.
    """

    def __init__(self, config: ConvpassConfig, width: int, kernel: tuple[int, ...]) -> None:
        super().__init__()
        narrow = config.bottleneck_width
        self._scale = config.scale
        self._groups = narrow if config.is_depthwise else 1
        self.input_norm = nn.LayerNorm(width) if config.has_input_norm else nn.Identity()
        self.down = nn.Linear(width, narrow)
        self.kernel = nn.Parameter(torch.zeros(narrow, narrow // self._groups, *kernel))
        self.kernel_bias = nn.Parameter(torch.zeros(narrow))
        self.up = nn.Linear(narrow, width)
        nn.init.xavier_uniform_(self.down.weight)
        for zero in (self.down.bias, self.up.weight, self.up.bias):
            nn.init.zeros_(zero)

    def _narrow(self, tokens: Tokens) -> Tensor:
        return quick_gelu(self.down(self.input_norm(tokens.to(self.up.bias.dtype))))

    def _widen(self, narrow: Tensor) -> Tensor:
        return self._scale * self.up(quick_gelu(narrow))

    def _start_as_identity(self, center: Float[Tensor, "out in"]) -> None:
        with torch.no_grad():
            center.copy_(torch.ones_like(center) if self._groups > 1 else torch.eye(len(center)))


class FrameBypass(Bypass):
    """Convolves the map of patches, and the class token by itself as a map of one patch."""

    def __init__(self, config: ConvpassConfig, width: int) -> None:
        super().__init__(config, width, kernel=(3, 3))
        self._start_as_identity(self.kernel[:, :, 1, 1])

    def forward(self, tokens: Tokens, layout: FrameLayout) -> Tokens:
        """Return what is to be added."""
        classes, patches = layout.split(self._narrow(tokens))
        side = math.isqrt(patches.shape[1])
        # row patch channel -> row channel height width
        patches = patches.transpose(1, 2).unflatten(2, (side, side))
        patches = F.conv2d(patches, self.kernel, self.kernel_bias, padding=1, groups=self._groups)
        # A map of one patch meets the centre of the kernel alone.
        center = self.kernel[:, :, 1, 1:2]
        classes = F.conv1d(classes.transpose(1, 2), center, self.kernel_bias, groups=self._groups)
        return self._widen(torch.cat([classes, patches.flatten(2)], dim=2).transpose(1, 2))


class CaptionBypass(Bypass):
    """Convolves each word with the two before it, so that no word sees a later one."""

    def __init__(self, config: ConvpassConfig, width: int) -> None:
        super().__init__(config, width, kernel=(3,))
        self._start_as_identity(self.kernel[:, :, 2])

    def forward(self, tokens: Tokens) -> Tokens:
        """Return what is to be added."""
        narrow = F.pad(self._narrow(tokens).transpose(1, 2), (2, 0))
        mixed = F.conv1d(narrow, self.kernel, self.kernel_bias, groups=self._groups)
        return self._widen(mixed.transpose(1, 2))


class FrameBypasses(BlockAdapter[FrameLayout]):
    """The bypasses of one layer of the vision tower."""

    def __init__(self, config: ConvpassConfig, width: int) -> None:
        super().__init__()
        self.of_attention = FrameBypass(config, width)
        self.of_mlp = FrameBypass(config, width) if config.sites == "attention-and-mlp" else None

    def beside_attention(self, normed: Tokens, layout: FrameLayout) -> Tokens:
        """Return what the bypass of the attention adds."""
        return self.of_attention(normed, layout)

    def beside_mlp(self, tokens: Tokens, normed: Tokens, layout: FrameLayout) -> Tokens | None:  # noqa: ARG002
        """Return what the bypass of the MLP adds."""
        return None if self.of_mlp is None else self.of_mlp(normed, layout)


class CaptionBypasses(BlockAdapter[TokenMask]):
    """The bypasses of one layer of the text tower."""

    def __init__(self, config: ConvpassConfig, width: int) -> None:
        super().__init__()
        self.of_attention = CaptionBypass(config, width)
        self.of_mlp = CaptionBypass(config, width) if config.sites == "attention-and-mlp" else None

    def beside_attention(self, normed: Tokens, layout: TokenMask) -> Tokens:  # noqa: ARG002
        """Return what the bypass of the attention adds."""
        return self.of_attention(normed)

    def beside_mlp(self, tokens: Tokens, normed: Tokens, layout: TokenMask) -> Tokens | None:  # noqa: ARG002
        """Return what the bypass of the MLP adds."""
        return None if self.of_mlp is None else self.of_mlp(normed)


def _text_blocks(
    config: ConvpassConfig, backbone: Backbone
) -> Mapping[int, BlockAdapter[TokenMask]]:
    match config.text:
        case "convolution":
            width, layers = backbone.text.width, range(backbone.text.num_layers)
            return {layer: CaptionBypasses(config, width) for layer in layers}
        case "adaptformer" | "none":
            return text_bottlenecks(config.text, config.text_bottleneck_width, config, backbone)
        case _:
            assert_never(config.text)
