"""Deep prompts in both towers: VoP's basic form (Huang et al. 2023, "VoP", section 3.2)."""

from dataclasses import dataclass
from typing import ClassVar, TypeAlias

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from mvadapter.adapters.base import Adapter, MethodConfig
from mvadapter.backbone.clip import Backbone
from mvadapter.backbone.sites import BlockAdapter, FrameLayout
from mvadapter.settings import MAX_POSITIONS, check_range
from mvadapter.shapes import TokenMask, Tokens

_Longer: TypeAlias = Float[Tensor, "image_or_caption longer width"]
"""The residual stream with prompts in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptsConfig(MethodConfig):
    """Settings of deep prompts; with the defaults 122,880 weights on ViT-B/16."""

    name: ClassVar[str] = "prompts"
    what: ClassVar[str] = "learned tokens in every layer"

    num_video: int = 8
    """Prompts behind the class token, in every layer of the vision tower."""
    num_prefix: int = 4
    """Prompts behind the start token, in every layer of the text tower."""
    num_suffix: int = 4
    """Prompts right before the end token, in every layer of the text tower. Behind it, where VoP
    and DGL put them, causal attention would keep them from the caption's feature."""

    def __post_init__(self) -> None:
        for setting in ("num_video", "num_prefix", "num_suffix"):
            check_range(setting, getattr(self, setting), 1, MAX_POSITIONS)

    def build(self, backbone: Backbone) -> "Prompts":
        """Make the untrained adapter."""
        return Prompts(self, backbone)


class Prompts(Adapter):
    """Fresh prompts in every layer; a block's prompts leave the sequence at its end.

    Any prompt takes part in the attention, so this method cannot start as the identity.

    DEPARTS: VoP puts the first layer's visual prompts before CLIP's pre-norm and sends text prompts
    through the table of positions; here they enter at the block and have no position.

    Args:
        config: The settings.
        backbone: The CLIP it is for.
    """

    def __init__(self, config: PromptsConfig, backbone: Backbone) -> None:
        vision, text = backbone.vision, backbone.text
        video_layers, text_layers = range(vision.num_layers), range(text.num_layers)
        super().__init__(
            config,
            video={layer: FramePrompts(config, vision.width) for layer in video_layers},
            text={layer: CaptionPrompts(config, text.width) for layer in text_layers},
            trained={},
        )


class FramePrompts(BlockAdapter[FrameLayout]):
    """The prompts of one layer of the vision tower, the same for every frame."""

    def __init__(self, config: PromptsConfig, width: int) -> None:
        super().__init__()
        self.prompts = _draw(config.num_video, width)

    def before_attention(self, tokens: Tokens, layout: FrameLayout) -> _Longer:
        """Insert the prompts behind the class token."""
        prompts = self.prompts.to(tokens.dtype).expand(len(tokens), -1, -1)
        class_tokens, patches = layout.split(tokens)
        return torch.cat([class_tokens, prompts, patches], dim=1)

    def after_block(self, tokens: _Longer, layout: FrameLayout) -> Tokens:
        """Take them out again."""
        class_tokens, others = layout.split(tokens)
        return torch.cat([class_tokens, others[:, len(self.prompts) :]], dim=1)


class CaptionPrompts(BlockAdapter[TokenMask]):
    """The prompts of one layer of the text tower, the same for every caption."""

    def __init__(self, config: PromptsConfig, width: int) -> None:
        super().__init__()
        self.prefix = _draw(config.num_prefix, width)
        self.suffix = _draw(config.num_suffix, width)

    def before_attention(self, tokens: Tokens, layout: TokenMask) -> _Longer:
        """Insert the prefix behind the start token and the suffix before the end token."""
        prompts = torch.cat([self.prefix, self.suffix]).to(tokens.dtype)
        together = torch.cat([tokens, prompts.expand(len(tokens), -1, -1)], dim=1)
        return _pick(together, self._order(layout))

    def after_block(self, tokens: _Longer, layout: TokenMask) -> Tokens:
        """Take them out again."""
        places = self._order(layout).argsort(dim=1)
        return _pick(tokens, places[:, : layout.shape[1]])

    def _order(self, mask: TokenMask) -> Int[Tensor, "caption place"]:
        """For each position of the longer sequence, its content: a token, prefix or suffix.

        Every token has its position as key; prompts have keys between those of their
        neighbours, and sorting is stable.
        """
        num_tokens, ends = mask.shape[1], mask.sum(dim=1, keepdim=True) - 1
        of_tokens = torch.arange(num_tokens, device=mask.device).expand(len(mask), -1).float()
        of_prefix = torch.full((len(mask), len(self.prefix)), 0.4, device=mask.device)
        of_suffix = (ends - 0.5).expand(-1, len(self.suffix))
        return torch.cat([of_tokens, of_prefix, of_suffix], dim=1).argsort(dim=1, stable=True)


def _draw(num_prompts: int, width: int) -> nn.Parameter:
    return nn.Parameter(0.02 * torch.randn(num_prompts, width))


def _pick(
    tokens: Tokens, places: Int[Tensor, "image_or_caption place"]
) -> Float[Tensor, "image_or_caption place width"]:
    return tokens.gather(1, places[..., None].expand(-1, -1, tokens.shape[2]))
