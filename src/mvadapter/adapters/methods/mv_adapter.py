"""MV-Adapter: bottlenecks with temporal adaptation in the video branch, tied to the text branch.

Jin, Zhang et al., "MV-Adapter: Multimodal Video Transfer Learning for Video Text Retrieval",
CVPR 2024 (arXiv 2301.07868v2), sections 3.2 to 3.4. Where the paper's equations and the authors'
code differ, this computes what their code computes; each such place has a comment.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, Literal, TypeAlias, assert_never

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from mvadapter.adapters.base import Adapter, Layers, MethodConfig, bias_copies, resolve_layers
from mvadapter.adapters.parts.transformer import TransformerBlock
from mvadapter.adapters.parts.tying import (
    FactorGate,
    GatedLinear,
    GatedSide,
    KroneckerLinear,
    TyingInit,
    draw_factor,
    draw_shared_matrices,
)
from mvadapter.backbone.clip import Backbone
from mvadapter.backbone.sites import BlockAdapter, FrameLayout
from mvadapter.backbone.towers import quick_gelu
from mvadapter.errors import ConfigError
from mvadapter.settings import MAX_POSITIONS, MAX_WIDTH, check_range
from mvadapter.shapes import TokenMask, Tokens

Depth: TypeAlias = Literal["bottleneck", "transformer", "calibration"]
Tying: TypeAlias = Literal["none", "factor", "kronecker"]
TyingPosition: TypeAlias = Literal["down-in", "down-out", "up-in", "up-out"]
PositionInit: TypeAlias = Literal["authors", "wide"]

# DEPARTS: "wide" is ours and the default. With the authors' 0.01 short training cannot distinguish
# a video from its reversal (docs/study.md, "How far this carries").
_POSITION_STD: dict[PositionInit, float] = {"authors": 0.01, "wide": 1.0}


_MAX_TERMS = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class MvAdapterConfig(MethodConfig):
    """Settings of MV-Adapter; the defaults are the paper's main ones.

    With them the method trains 3,401,728 weights on ViT-B/32 and B/16.
    """

    name: ClassVar[str] = "mv-adapter"
    what: ClassVar[str] = "bottlenecks with temporal adaptation, tied across towers"

    num_frames: int = 12
    """The most frames of a video: the length of the table of temporal positions."""
    max_tokens: int = 32
    """The most tokens of a caption, start and end included: the length of the text's table."""
    bottleneck_width: int = 64
    """d', the width inside the adapters (128 for ViT-L/14)."""
    num_heads: int = 2
    """Attention heads of the bottleneck transformer."""
    scale: float = 0.1
    """s, the factor on what an adapter adds."""
    video_layers: Layers = "all"
    """Layers of the vision tower with an adapter; an empty list leaves that tower unchanged."""
    text_layers: Layers = "all"
    """Layers of the text tower with an adapter; an empty list leaves that tower unchanged."""
    depth: Depth = "calibration"
    """What is between down and up (Table 6a): nothing, the bottleneck transformer, or that
    and the calibration of each frame."""
    has_context_token: bool = True
    """Whether the learned token [CC] joins the frames and its output the calibration."""
    calibration_width: int = 16
    """Width between the two layers of the calibration: d' / sigma with d' = 64 and sigma = 4; the
    authors' code keeps 16 for every d'."""
    has_input_norm: bool = False
    """Whether a layer norm precedes the down projection (the authors' ActivityNet setting)."""
    tying: Tying = "factor"
    """How the branches share weights: not at all, by a gate from a shared factor (version 2 of the
    paper), or by a Kronecker product with shared matrices (our reading of version 1)."""
    tying_position: TyingPosition = "down-in"
    """What the factor's gate scales (Table 7); ``kronecker`` always generates the down weight."""
    tying_init: TyingInit = "identity"
    """Where the factor's gate starts: at exactly 1, or near 0 as in the authors' code."""
    tied_layers: tuple[int, ...] = (-2, -1)
    """Layers of both towers that are tied, pairwise; negative numbers count from the last back."""
    factor_dim: int = 32
    """d^m, the length of the shared factor."""
    has_shared_factor: bool = True
    """Whether the two branches have one factor or each its own: the question of how much of tying
    is the sharing. The paper always shares."""
    kronecker_terms: int = 4
    """How many products the ``kronecker`` weight sums."""
    position_init: PositionInit = "wide"
    """Spread of the temporal positions at the start: standard deviation 1.0 (``wide``) or 0.01
    (``authors``). docs/study.md has the measurement behind the default."""
    has_trained_biases: bool = False
    """Whether every bias of CLIP trains too, at a fiftieth of the learning rate: the authors'
    recipes do so, and their paper does not mention it. DEPARTS: without decay."""

    def __post_init__(self) -> None:
        for setting in ("num_frames", "max_tokens"):
            check_range(setting, getattr(self, setting), 1, MAX_POSITIONS)
        for setting in ("bottleneck_width", "num_heads", "calibration_width", "factor_dim"):
            check_range(setting, getattr(self, setting), 1, MAX_WIDTH)
        check_range("kronecker_terms", self.kronecker_terms, 1, _MAX_TERMS)
        if not 0 < self.scale < math.inf:
            raise ConfigError(f"scale must be above 0 and finite, got {self.scale}")
        if self.bottleneck_width % self.num_heads:
            raise ConfigError(
                f"num_heads ({self.num_heads}) must divide bottleneck_width "
                f"({self.bottleneck_width})"
            )

    def build(self, backbone: Backbone) -> "MvAdapter":
        """Make the untrained adapter."""
        return MvAdapter(self, backbone)


class MvAdapter(Adapter):
    """MV-Adapter's blocks of both towers and what they share.

    Args:
        config: The settings.
        backbone: The CLIP it is for.

    Raises:
        ConfigError: A setting does not fit this CLIP.
    """

    def __init__(self, config: MvAdapterConfig, backbone: Backbone) -> None:
        vision, text = backbone.vision, backbone.text
        video_layers = resolve_layers(config.video_layers, vision.num_layers, "video_layers")
        text_layers = resolve_layers(config.text_layers, text.num_layers, "text_layers")
        pairs = _tied_pairs(config, backbone, video_layers, text_layers)
        ties = [_draw_ties(config) for _ in pairs]
        video_ties = {pair[0]: tie for pair, (tie, _) in zip(pairs, ties, strict=True)}
        text_ties = {pair[1]: tie for pair, (_, tie) in zip(pairs, ties, strict=True)}
        super().__init__(
            config,
            video={
                layer: VideoBlock(config, vision.width, video_ties.get(layer))
                for layer in video_layers
            },
            text={
                layer: TextBlock(config, text.width, text_ties.get(layer)) for layer in text_layers
            },
            trained=bias_copies(backbone, are_trained=config.has_trained_biases),
            shared=[video_tie for video_tie, text_tie in ties if video_tie is text_tie],
        )
        self.longest_video = config.num_frames if video_layers else None
        self.longest_caption = config.max_tokens if text_layers else None


class VideoBlock(BlockAdapter[FrameLayout]):
    """The adapter after the MLP of one layer of the vision tower (sections 3.2 and 3.3, Alg. 1)."""

    def __init__(self, config: MvAdapterConfig, width: int, shared: nn.Parameter | None) -> None:
        super().__init__()
        narrow = config.bottleneck_width
        self._config = config
        self.input_norm = nn.LayerNorm(width) if config.has_input_norm else nn.Identity()
        self.down, self.up = _ends(config, width, shared, _draw_kaiming)
        if config.depth == "bottleneck":
            return
        self.positions = nn.Parameter(
            _POSITION_STD[config.position_init]
            * torch.randn(int(config.has_context_token) + 2 * config.num_frames, narrow)
        )
        if config.has_context_token:
            self.context = nn.Parameter(torch.randn(narrow) / math.sqrt(narrow))
        self.norm = nn.LayerNorm(narrow)
        self.transformer = BottleneckTransformer(narrow, config.num_heads, init_width=width)
        if config.depth == "calibration":
            self.calibration = Calibration(config)

    def after_mlp(self, output: Tokens, layout: FrameLayout) -> Tokens:
        """Return what the adapter adds to the MLP's output."""
        narrow = self.down(self.input_norm(output.to(self.up.bias.dtype)))
        # The paper's algorithm has an activation on the patches only, the authors' code on all.
        narrow = quick_gelu(narrow).unflatten(0, (layout.num_videos, layout.num_frames))
        class_tokens, patches = layout.split(narrow)
        classes = class_tokens[:, :, 0]
        if self._config.depth != "bottleneck":
            classes = self._adapt_in_time(classes, patches.mean(dim=2), layout)
        # As in the authors' code, a gate on the up projection is for class tokens only.
        patches = F.linear(patches, self.up.weight, self.up.bias)
        adapted = torch.cat([self.up(classes)[:, :, None], patches.to(classes.dtype)], dim=2)
        return self._config.scale * adapted.flatten(0, 1)

    def _adapt_in_time(
        self,
        classes: Float[Tensor, "video frame bottleneck"],
        patch_means: Float[Tensor, "video frame bottleneck"],
        layout: FrameLayout,
    ) -> Float[Tensor, "video frame bottleneck"]:
        """Let all frames of a video see one another, then scale each by its calibration."""
        sequence = torch.cat([classes, patch_means], dim=1) + self._frame_positions(layout)
        is_real = torch.cat([layout.mask, layout.mask], dim=1)
        if self._config.has_context_token:
            context = (self.context + self.positions[0]).expand(len(sequence), 1, -1)
            sequence = torch.cat([context.to(sequence.dtype), sequence], dim=1)
            is_real = F.pad(is_real, (1, 0), value=True)
        # Learned positions, the norm before and the activation behind the transformer are in the
        # authors' code, not in the paper.
        sequence = self.transformer(self.norm(sequence), is_real[:, None, None, :])
        sequence = quick_gelu(sequence)
        classes, patch_means = sequence[:, -2 * layout.num_frames :].chunk(2, dim=1)
        if self._config.depth == "transformer":
            return classes
        return classes * self.calibration(sequence[:, 0], classes + patch_means)

    def _frame_positions(self, layout: FrameLayout) -> Float[Tensor, "two_frames bottleneck"]:
        longest, num_frames = self._config.num_frames, layout.num_frames
        if num_frames > longest:
            raise ConfigError(
                f"videos have {num_frames} frames, but the adapter has positions for {longest}; "
                f"sample at most {longest} frames or build it with num_frames={num_frames}"
            )
        # DEPARTS: of a table longer than the video the authors' code takes the first rows, so that
        # patches get positions of frames; here each half keeps its own. Equal at full length.
        of_classes, of_patches = self.positions[-2 * longest :].chunk(2)
        return torch.cat([of_classes[:num_frames], of_patches[:num_frames]])


class TextBlock(BlockAdapter[Tensor]):
    """The adapter after the MLP of one layer of the text tower (section 3.2, eq. 1).

    As in the authors' code its transformer is causal, so that it keeps the text tower's promise
    that no token sees a later one, and there is no activation between down and transformer.
    """

    def __init__(self, config: MvAdapterConfig, width: int, shared: nn.Parameter | None) -> None:
        super().__init__()
        narrow = config.bottleneck_width
        self._config = config
        self.input_norm = nn.LayerNorm(width) if config.has_input_norm else nn.Identity()
        self.down, self.up = _ends(config, width, shared, partial(_draw_normal, width=width))
        if config.depth != "bottleneck":
            # CLIP's own spread of text positions; the order of words needs no wider start, because
            # the frozen tower has written it into the tokens already.
            self.positions = nn.Parameter(0.01 * torch.randn(config.max_tokens, narrow))
            self.norm = nn.LayerNorm(narrow)
            self.transformer = BottleneckTransformer(narrow, config.num_heads, init_width=width)

    def after_mlp(self, output: Tokens, layout: TokenMask) -> Tokens:  # noqa: ARG002
        """Return what the adapter adds to the MLP's output."""
        narrow = self.down(self.input_norm(output.to(self.up.bias.dtype)))
        if self._config.depth != "bottleneck":
            narrow = self.norm(narrow + self._token_positions(narrow.shape[1]))
            narrow = self.transformer(narrow, None)
        return self._config.scale * self.up(quick_gelu(narrow))

    def _token_positions(self, num_tokens: int) -> Float[Tensor, "token bottleneck"]:
        longest = self._config.max_tokens
        if num_tokens > longest:
            raise ConfigError(
                f"captions have {num_tokens} tokens, but the adapter has positions for {longest}; "
                f"cut them to {longest} tokens or build it with max_tokens={num_tokens}"
            )
        return self.positions[:num_tokens]


class BottleneckTransformer(TransformerBlock):
    """TRM: one pre-norm transformer block inside the bottleneck.

    Args:
        width: d', the width inside.
        num_heads: Attention heads.
        init_width: The tower's width, from which the authors' code draws the weights.
    """

    def __init__(self, width: int, num_heads: int, *, init_width: int) -> None:
        super().__init__(width, num_heads)
        nn.init.normal_(self.query_key_value.weight, std=init_width**-0.5)
        for linear in (self.attention_out, self.mlp_in, self.mlp_out):
            nn.init.normal_(linear.weight, std=(2 * init_width) ** -0.5)
        for linear in (self.query_key_value, self.attention_out):
            nn.init.zeros_(linear.bias)


class Calibration(nn.Module):
    """A gate per frame over the bottleneck's channels, from global and local context (eq. 2).

    Scaling the frame's bottleneck equals scaling the columns of the up projection (eq. 3).
    """

    def __init__(self, config: MvAdapterConfig) -> None:
        super().__init__()
        narrow = config.bottleneck_width
        num_contexts = 1
        if config.has_context_token:
            num_contexts = 2
            # The authors' code puts a linear map on [CC] first; the paper does not.
            self.context = nn.Linear(narrow, narrow)
        self.first = nn.Linear(num_contexts * narrow, config.calibration_width)
        self.second = nn.Linear(config.calibration_width, narrow, bias=False)
        nn.init.zeros_(self.second.weight)
        self._has_context = config.has_context_token

    def forward(
        self,
        context: Float[Tensor, "video bottleneck"],
        local: Float[Tensor, "video frame bottleneck"],
    ) -> Float[Tensor, "video frame bottleneck"]:
        """Return the gate; 1 at the start, since the authors' code adds 1 to the paper's eq. 2."""
        if self._has_context:
            everywhere = self.context(context)[:, None].expand(-1, local.shape[1], -1)
            local = torch.cat([local, everywhere], dim=-1)
        return 1 + self.second(F.relu(self.first(local)))


def _tied_pairs(
    config: MvAdapterConfig,
    backbone: Backbone,
    video_layers: tuple[int, ...],
    text_layers: tuple[int, ...],
) -> tuple[tuple[int, int], ...]:
    """The layers (video, text) that share weights; the towers may differ in depth.

    Raises:
        ConfigError: A tied layer does not exist or has no adapter.
    """
    if config.tying == "none":
        return ()
    setting = "tied_layers"
    of_video = resolve_layers(config.tied_layers, backbone.vision.num_layers, setting)
    of_text = resolve_layers(config.tied_layers, backbone.text.num_layers, setting)
    for tower, tied, adapted in (("video", of_video, video_layers), ("text", of_text, text_layers)):
        if without := sorted(set(tied) - set(adapted)):
            raise ConfigError(
                f"{setting} ties {tower} layer {without[0]}, which has no adapter "
                f"({tower}_layers); adapt that layer, or set tying='none'"
            )
    return tuple(zip(of_video, of_text, strict=True))


def _draw_ties(config: MvAdapterConfig) -> tuple[nn.Parameter, nn.Parameter]:
    """What the video and the text branch of one pair of layers are generated from."""
    if config.tying == "kronecker":
        matrices = draw_shared_matrices(config.kronecker_terms)
        return matrices, matrices
    factor = draw_factor(config.factor_dim)
    return factor, factor if config.has_shared_factor else draw_factor(config.factor_dim)


def _ends(
    config: MvAdapterConfig,
    width: int,
    shared: nn.Parameter | None,
    draw: Callable[[Tensor], Tensor],
) -> tuple[nn.Module, nn.Linear]:
    """The down and the up projection of one block, tied when something is shared."""
    narrow = config.bottleneck_width
    down: nn.Module = nn.Linear(width, narrow)
    up = nn.Linear(narrow, width)
    if shared is not None and config.tying == "kronecker":
        down = KroneckerLinear(shared, width, narrow, draw)
    elif shared is not None:
        gate = partial(FactorGate, shared, init=config.tying_init)
        end, side = _gated_end(config.tying_position)
        if end == "down":
            down = GatedLinear(width, narrow, side, gate)
        else:
            up = GatedLinear(narrow, width, side, gate)
    if isinstance(down, nn.Linear):
        draw(down.weight.data)
        nn.init.zeros_(down.bias)
    # Zero, so that an untrained adapter adds nothing.
    nn.init.zeros_(up.weight)
    nn.init.zeros_(up.bias)
    return down, up


def _gated_end(position: TyingPosition) -> tuple[Literal["down", "up"], GatedSide]:
    match position:
        case "down-in":
            return "down", "in"
        case "down-out":
            return "down", "out"
        case "up-in":
            return "up", "in"
        case "up-out":
            return "up", "out"
        case _:
            assert_never(position)


def _draw_kaiming(weight: Tensor) -> Tensor:
    return nn.init.kaiming_uniform_(weight, a=math.sqrt(5))


def _draw_normal(weight: Tensor, width: int) -> Tensor:
    return nn.init.normal_(weight, std=(2 * width) ** -0.5)
