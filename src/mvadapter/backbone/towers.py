"""Pixels or token ids in, projected features out: our own run of CLIP's two towers.

Everything is a pure function of a mapping from full weight names to tensors. The same code thus
runs the frozen backbone and a copy in which some weights are trained.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Generic, Literal, TypeAlias, assert_never

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from mvadapter.backbone.sites import AttentionProjection, BlockAdapter, FrameLayout, Layout
from mvadapter.errors import ConfigError
from mvadapter.shapes import (
    CaptionEmbeddings,
    FrameEmbeddings,
    FrameMask,
    TokenIds,
    TokenMask,
    Tokens,
    VideoPixels,
)

Weights: TypeAlias = Mapping[str, Tensor]
Activation: TypeAlias = Literal["quick_gelu", "gelu"]
Heads: TypeAlias = Float[Tensor, "row head token head_width"]

# Not public, and it may be renamed.
_HAS_AMX = getattr(torch.cpu, "_is_amx_tile_supported", lambda: False)()


@dataclass(frozen=True, slots=True, kw_only=True)
class TowerShape:
    """What one tower looks like; ``prefix`` is the first part of its weights' names."""

    prefix: ClassVar[Literal["vision", "text"]]
    width: int
    num_layers: int
    num_heads: int
    norm_epsilon: float
    activation: Activation


@dataclass(frozen=True, slots=True, kw_only=True)
class VisionShape(TowerShape):
    """The vision tower, with the picture it expects."""

    prefix = "vision"

    image_px: int
    patch_px: int
    num_class_tokens: int
    """How many tokens stand before the patches; the first one's output is the frame's feature."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TextShape(TowerShape):
    """The text tower, with the captions it expects."""

    prefix = "text"

    num_positions: int
    end_token_id: int
    """The token whose output is the caption's feature; 2 stands for "the highest id", an old
    convention that transformers keeps for the configs that carry it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TowerRun(Generic[Layout]):
    """What accompanies the tokens through all blocks of a tower."""

    weights: Weights
    blocks: Mapping[int, BlockAdapter[Layout]]
    """The adapters by layer; a layer without one is absent."""
    layout: Layout
    is_causal: bool
    is_checkpointed: bool
    """Keep only each block's input for the backward pass and compute the rest again."""


def run_vision(
    pixels: VideoPixels,
    mask: FrameMask,
    shape: VisionShape,
    weights: Weights,
    blocks: Mapping[int, BlockAdapter[FrameLayout]],
    *,
    is_checkpointed: bool = False,
) -> FrameEmbeddings:
    """Run the vision tower on every frame and project its class token.

    Raises:
        ConfigError: The frames do not have the size that this CLIP expects.
    """
    num_videos, num_frames, _, height, width = pixels.shape
    if (height, width) != (shape.image_px, shape.image_px):
        raise ConfigError(
            f"this CLIP expects frames of {shape.image_px} x {shape.image_px} px, got {height} x "
            f"{width}; make them with to_pixels(images, backbone.pixels)"
        )
    patch_weight = weights["vision.patches.weight"]
    patches = F.conv2d(
        pixels.flatten(0, 1).to(patch_weight.dtype), patch_weight, stride=shape.patch_px
    )
    patches = patches.flatten(2).transpose(1, 2)  # row width patch -> row patch width
    class_tokens = weights["vision.class_token"].to(patches.dtype)
    class_tokens = class_tokens.expand(len(patches), shape.num_class_tokens, -1)
    tokens = torch.cat([class_tokens, patches], dim=1) + weights["vision.positions"]
    tokens = _norm(tokens, weights, "vision.norm_in", shape.norm_epsilon)
    layout = FrameLayout(
        num_videos=num_videos,
        num_frames=num_frames,
        mask=mask,
        num_class_tokens=shape.num_class_tokens,
    )
    run = TowerRun(
        weights=weights,
        blocks=blocks,
        layout=layout,
        is_causal=False,
        is_checkpointed=is_checkpointed,
    )
    class_tokens, _ = layout.split(_run_blocks(tokens, shape, run))
    pooled = _norm(class_tokens[:, 0], weights, "vision.norm_out", shape.norm_epsilon)
    features = F.linear(pooled, weights["vision.projection.weight"])
    return features.unflatten(0, (num_videos, num_frames))


def run_text(
    token_ids: TokenIds,
    mask: TokenMask,
    shape: TextShape,
    weights: Weights,
    blocks: Mapping[int, BlockAdapter[Tensor]],
    *,
    is_checkpointed: bool = False,
) -> CaptionEmbeddings:
    """Run the text tower on every caption and project its end token.

    Attention is causal and padding stands behind the end token, so that no padding is ever seen.

    Raises:
        ConfigError: The captions are longer than this CLIP's table of positions.
    """
    num_tokens = token_ids.shape[1]
    if num_tokens > shape.num_positions:
        raise ConfigError(
            f"captions have {num_tokens} tokens, but this CLIP has positions for "
            f"{shape.num_positions}; set max_tokens to at most {shape.num_positions}"
        )
    tokens = F.embedding(token_ids, weights["text.words"])
    tokens = tokens + weights["text.positions"][:num_tokens]
    run = TowerRun(
        weights=weights,
        blocks=blocks,
        layout=mask,
        is_causal=True,
        is_checkpointed=is_checkpointed,
    )
    tokens = _run_blocks(tokens, shape, run)
    ends = tokens[torch.arange(len(tokens), device=tokens.device), _end(token_ids, mask, shape)]
    pooled = _norm(ends, weights, "text.norm_out", shape.norm_epsilon)
    return F.linear(pooled, weights["text.projection.weight"])


def quick_gelu(hidden: Tensor) -> Tensor:
    """CLIP's activation, x * sigmoid(1.702 x)."""
    # Through silu: one kernel and one saved tensor less in the backward pass.
    return F.silu(1.702 * hidden) * (1 / 1.702)


def _end(token_ids: TokenIds, mask: TokenMask, shape: TextShape) -> Tensor:
    """The position of each caption's end token: its first real one, as in transformers."""
    if shape.end_token_id == 2:
        return token_ids.masked_fill(~mask, -1).argmax(dim=1)
    is_end = (token_ids == shape.end_token_id) & mask
    positions = torch.arange(token_ids.shape[1], device=token_ids.device)
    last_real = torch.where(mask, positions, 0).amax(dim=1)
    return torch.where(is_end.any(dim=1), is_end.int().argmax(dim=1), last_real)


def _run_blocks(tokens: Tokens, shape: TowerShape, run: TowerRun[Layout]) -> Tokens:
    for layer in range(shape.num_layers):
        if run.is_checkpointed:
            tokens = checkpoint(_run_block, tokens, layer, shape, run, use_reentrant=False)
        else:
            tokens = _run_block(tokens, layer, shape, run)
    return tokens


def _run_block(tokens: Tokens, layer: int, shape: TowerShape, run: TowerRun[Layout]) -> Tokens:
    adapter = run.blocks.get(layer)
    name = f"{shape.prefix}.blocks.{layer}"
    if adapter is not None:
        tokens = adapter.before_attention(tokens, run.layout).to(tokens.dtype)

    normed = _norm(tokens, run.weights, f"{name}.norm1", shape.norm_epsilon)
    attended = _attention(normed, f"{name}.attention", shape, run, adapter)
    tokens = tokens + attended
    if adapter is not None:
        tokens = _add(tokens, adapter.after_attention(attended, run.layout))
        tokens = _add(tokens, adapter.beside_attention(normed, run.layout))
        tokens = adapter.before_mlp(tokens, run.layout).to(tokens.dtype)

    normed = _norm(tokens, run.weights, f"{name}.norm2", shape.norm_epsilon)
    hidden = _activate(_linear(normed, run.weights, f"{name}.mlp.in"), shape.activation)
    output = _linear(hidden, run.weights, f"{name}.mlp.out")
    if adapter is None:
        return tokens + output
    beside = adapter.beside_mlp(tokens, normed, run.layout)
    after = adapter.after_mlp(output, run.layout)
    tokens = _add(_add(tokens + output, after), beside)
    return adapter.after_block(tokens, run.layout).to(tokens.dtype)


def _attention(
    normed: Tokens,
    name: str,
    shape: TowerShape,
    run: TowerRun[Layout],
    adapter: BlockAdapter[Layout] | None,
) -> Tokens:
    def project(projection: AttentionProjection, tokens: Tokens) -> Tokens:
        output = _linear(tokens, run.weights, f"{name}.{projection}")
        return (
            output if adapter is None else _add(output, adapter.on_projection(projection, tokens))
        )

    def heads(tokens: Tokens) -> Heads:
        return tokens.unflatten(-1, (shape.num_heads, -1)).transpose(1, 2)

    attended = _attend(
        heads(project("q", normed)),
        heads(project("k", normed)),
        heads(project("v", normed)),
        is_causal=run.is_causal,
    )
    return project("o", attended.transpose(1, 2).flatten(2))


def _attend(queries: Heads, keys: Heads, values: Heads, *, is_causal: bool) -> Heads:
    if queries.dtype != torch.bfloat16 or queries.device.type != "cpu" or _HAS_AMX:
        return F.scaled_dot_product_attention(queries, keys, values, is_causal=is_causal)
    # A training step that attends in bfloat16 takes longer there (speed/run.py).
    with torch.autocast("cpu", enabled=False):
        attended = F.scaled_dot_product_attention(
            queries.float(), keys.float(), values.float(), is_causal=is_causal
        )
    return attended.to(queries.dtype)


def _add(tokens: Tensor, addition: Tensor | None) -> Tensor:
    return tokens if addition is None else tokens + addition.to(tokens.dtype)


def _linear(tokens: Tensor, weights: Weights, name: str) -> Tensor:
    return F.linear(tokens, weights[f"{name}.weight"], weights[f"{name}.bias"])


def _norm(tokens: Tensor, weights: Weights, name: str, epsilon: float) -> Tensor:
    weight, bias = weights[f"{name}.weight"], weights[f"{name}.bias"]
    return F.layer_norm(tokens, weight.shape, weight, bias, epsilon)


def _activate(hidden: Tensor, activation: Activation) -> Tensor:
    match activation:
        case "quick_gelu":
            return quick_gelu(hidden)
        case "gelu":
            return F.gelu(hidden)
        case _:
            assert_never(activation)
