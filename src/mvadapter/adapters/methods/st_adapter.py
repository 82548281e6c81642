"""ST-Adapter: a depth-wise convolution over time in a bottleneck (Pan et al. 2022, section 3.3)."""

import math
from dataclasses import dataclass
from typing import ClassVar, Literal, TypeAlias

import torch
import torch.nn.functional as F
from torch import nn

from mvadapter.adapters.base import Adapter, bias_copies
from mvadapter.adapters.parts.bottleneck import OwnTextConfig, TextAdapter, text_bottlenecks
from mvadapter.backbone.clip import Backbone
from mvadapter.backbone.sites import BlockAdapter, FrameLayout
from mvadapter.shapes import Tokens

Kernel: TypeAlias = Literal["3x1x1", "3x3x3"]
StSites: TypeAlias = Literal["before-attention", "before-mlp", "both"]

_KERNELS: dict[Kernel, tuple[int, int, int]] = {"3x1x1": (3, 1, 1), "3x3x3": (3, 3, 3)}


@dataclass(frozen=True, slots=True, kw_only=True)
class StAdapterConfig(OwnTextConfig):
    """Settings of ST-Adapter; its vision part has 7,110,144 weights on ViT-B/16 by default.

    ``has_input_norm`` and ``scale`` are for the text tower: the method itself has neither.
    """

    name: ClassVar[str] = "st-adapter"
    what: ClassVar[str] = "a convolution over time before every block"

    bottleneck_width: int = 384
    """Width inside the vision tower's adapters."""
    kernel: Kernel = "3x1x1"
    """Frames x rows x columns that the convolution sees."""
    sites: StSites = "before-attention"
    """Before the attention, as in MV-Adapter's comparison, before the MLPs (the authors' recipe for
    Kinetics), or both (theirs for Something-Something). Before the last layer's MLP patches have no
    way left to the class token, so that the module there has no effect."""
    text: TextAdapter = "adaptformer"
    """What stands in the text tower: a sequential bottleneck of ``text_bottleneck_width``, as in
    MV-Adapter's comparison, or nothing."""

    def build(self, backbone: Backbone) -> "StAdapter":
        """Make the untrained adapter."""
        return StAdapter(self, backbone)


class StAdapter(Adapter):
    """Convolutions over time in every layer of the vision tower; bottlenecks in the text tower.

    Args:
        config: The settings.
        backbone: The CLIP it is for.
    """

    def __init__(self, config: StAdapterConfig, backbone: Backbone) -> None:
        vision = backbone.vision
        super().__init__(
            config,
            video={layer: StBlock(config, vision.width) for layer in range(vision.num_layers)},
            text=text_bottlenecks(config.text, config.text_bottleneck_width, config, backbone),
            trained=bias_copies(backbone, are_trained=config.has_trained_biases),
        )


class StModule(nn.Module):
    """patches + Up(convolution(Down(patches))); the class token passes by.

    There is no activation, as in the code; the paper's equation has one. The convolution starts at
    zero, and so do all biases, so that the module starts as the identity.
    """

    def __init__(self, width: int, bottleneck_width: int, kernel: Kernel) -> None:
        super().__init__()
        size = _KERNELS[kernel]
        self._padding = tuple(length // 2 for length in size)
        self.down = nn.Linear(width, bottleneck_width)
        self.kernel = nn.Parameter(torch.zeros(bottleneck_width, 1, *size))
        self.kernel_bias = nn.Parameter(torch.zeros(bottleneck_width))
        self.up = nn.Linear(bottleneck_width, width)
        nn.init.zeros_(self.down.bias)
        nn.init.zeros_(self.up.bias)

    def forward(self, tokens: Tokens, layout: FrameLayout) -> Tokens:
        """Return the tokens with what the convolution adds to the patches."""
        class_tokens, patches = layout.split(tokens)
        side = math.isqrt(patches.shape[1])
        narrow = self.down(patches.to(self.kernel.dtype))
        narrow = narrow.unflatten(0, (layout.num_videos, layout.num_frames))
        # Padded frames are zero, like what the convolution sees beyond the ends of a video.
        narrow = narrow * layout.mask[:, :, None, None]
        # video frame patch channel -> video channel frame height width, and back
        maps = narrow.permute(0, 3, 1, 2).unflatten(3, (side, side))
        maps = F.conv3d(
            maps, self.kernel, self.kernel_bias, padding=self._padding, groups=len(self.kernel)
        )
        narrow = maps.flatten(3).permute(0, 2, 3, 1).flatten(0, 1)
        return torch.cat([class_tokens, patches + self.up(narrow)], dim=1)


class StBlock(BlockAdapter[FrameLayout]):
    """The modules of one layer of the vision tower."""

    def __init__(self, config: StAdapterConfig, width: int) -> None:
        super().__init__()

        def module(site: StSites) -> StModule | None:
            if config.sites not in (site, "both"):
                return None
            return StModule(width, config.bottleneck_width, config.kernel)

        self.of_attention = module("before-attention")
        self.of_mlp = module("before-mlp")

    def before_attention(self, tokens: Tokens, layout: FrameLayout) -> Tokens:
        """Replace the tokens before the attention."""
        return tokens if self.of_attention is None else self.of_attention(tokens, layout)

    def before_mlp(self, tokens: Tokens, layout: FrameLayout) -> Tokens:
        """Replace the tokens before the MLP."""
        return tokens if self.of_mlp is None else self.of_mlp(tokens, layout)
