"""A checkpoint under the authors' names in, an encoder out.

Their training code names adapters ``clip.visual.transformer.resblocks.3.mlp.adapter.down.weight``
(vision) and ``clip.transformer...`` (text), shared factors ``clip.prompt.0``. The biases of CLIP,
which it trains too, have OpenAI's names or those of their own CLIP, which splits the fused
projection and calls layer norms ``ln``. The prefix ``clip.`` may be missing.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import cast, get_args

from torch import Tensor

from mvadapter.adapters.build import build_adapter
from mvadapter.adapters.methods.mv_adapter import Depth, MvAdapterConfig, TyingPosition
from mvadapter.backbone.clip import Backbone
from mvadapter.documents.tensors import read_tensors
from mvadapter.documents.text import DocumentKind
from mvadapter.embedding.inputs import Inputs
from mvadapter.encoder.adapter_folder import fill
from mvadapter.encoder.encode import Encoder
from mvadapter.errors import AdapterFolderError, ConfigError, UnknownNameError

_KIND = DocumentKind(
    error=AdapterFolderError,
    expected="a checkpoint of the authors' code (safetensors)",
    advice="save it again",
)
_THEIR_POSITIONS = ("down-in", "down-out")
_IN_BLOCK = re.compile(r"clip\.(visual\.)?transformer\.resblocks\.(\d+)\.(mlp\.adapter\.)?(.+)")
_ADAPTER_NAMES = {
    "down.weight": "down.weight",
    "down.bias": "down.bias",
    "up.weight": "up.weight",
    "up.bias": "up.bias",
    "cc": "context",
    "positional_embedding": "positions",
    "ln_pre.weight": "norm.weight",
    "ln_pre.bias": "norm.bias",
    "block.attn.in_proj_weight": "transformer.query_key_value.weight",
    "block.attn.in_proj_bias": "transformer.query_key_value.bias",
    "block.attn.out_proj.weight": "transformer.attention_out.weight",
    "block.attn.out_proj.bias": "transformer.attention_out.bias",
    "block.ln_1.weight": "transformer.norm1.weight",
    "block.ln_1.bias": "transformer.norm1.bias",
    "block.ln_2.weight": "transformer.norm2.weight",
    "block.ln_2.bias": "transformer.norm2.bias",
    "block.mlp.c_fc.weight": "transformer.mlp_in.weight",
    "block.mlp.c_fc.bias": "transformer.mlp_in.bias",
    "block.mlp.c_proj.weight": "transformer.mlp_out.weight",
    "block.mlp.c_proj.bias": "transformer.mlp_out.bias",
    "conv_rf_c.g.weight": "calibration.context.weight",
    "conv_rf_c.g.bias": "calibration.context.bias",
    "conv_rf_c.a.weight": "calibration.first.weight",
    "conv_rf_c.a.bias": "calibration.first.bias",
    "conv_rf_c.b.weight": "calibration.second.weight",
}
_OUTER_BIASES = {
    "clip.visual.ln_pre.bias": "vision.norm_in.bias",
    "clip.visual.ln_post.bias": "vision.norm_out.bias",
    "clip.ln_final.bias": "text.norm_out.bias",
}
_BLOCK_BIASES = {
    "ln_1.bias": "norm1.bias",
    "ln_2.bias": "norm2.bias",
    "attn.ln.bias": "norm1.bias",
    "mlp.ln.bias": "norm2.bias",
    "attn.q_proj.bias": "attention.q.bias",
    "attn.k_proj.bias": "attention.k.bias",
    "attn.v_proj.bias": "attention.v.bias",
    "attn.out_proj.bias": "attention.o.bias",
    "mlp.c_fc.bias": "mlp.in.bias",
    "mlp.c_proj.bias": "mlp.out.bias",
}


def load_authors_checkpoint(
    path_or_tensors: str | Path | Mapping[str, Tensor],
    backbone: Backbone,
    *,
    num_heads: int = 2,
    tying_position: str | None = None,
) -> Encoder:
    """Load what the authors' training code saved.

    Widths, layers, frames, tokens, tying and the input norm are read from the tensors' names and
    shapes; the number of heads leaves no trace in them. Frames are sampled at left edges, as theirs
    are.

    Args:
        path_or_tensors: A safetensors file, or tensors by their authors' names. A PyTorch pickle is
            refused: open it where you trust it and save its tensors with safetensors.
        backbone: The CLIP it was trained on.
        num_heads: Heads of the bottleneck transformer; 2 in all that the authors published.
        tying_position: What the shared factor's gate scales, "down-in" or as their settings write
            it, "down in"; None reads it from the shapes, of the two positions that their code has.

    Raises:
        AdapterFolderError: The file cannot be read; a tensor is unknown, missing or unfit; the
            shapes contradict the tying position, or do not show it.
        UnknownNameError: There is no such tying position.
    """
    if isinstance(path_or_tensors, Mapping):
        tensors, where = dict(path_or_tensors), "the given tensors"
    else:
        where = str(path_or_tensors)
        tensors, _ = read_tensors(Path(path_or_tensors), _KIND)
    position = _read_position(tensors, tying_position, where)
    ours: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        for our_name, part in _translate(name, tensor, position, where):
            if our_name in ours:
                raise AdapterFolderError(f"{where}: {name!r} is there under two names")
            ours[our_name] = part
    _drop_unused(ours)
    try:
        config = _read_config(ours, backbone, num_heads, position)
        adapter = build_adapter(config, backbone)
    except ConfigError as error:
        raise AdapterFolderError(f"{where}: does not fit this CLIP: {error}") from error
    fill(adapter.trainable_parameters(), ours, where)
    inputs = Inputs(
        num_frames=config.num_frames, max_tokens=config.max_tokens, sampling="left-edge"
    )
    return Encoder(backbone, adapter, inputs=inputs)


def _read_position(tensors: Mapping[str, Tensor], given: str | None, where: str) -> TyingPosition:
    """Read from the gates' shapes what they scale, or check it against them.

    Raises:
        UnknownNameError: The given position is none.
        AdapterFolderError: The shapes fit another position, or several.
    """
    position = None
    if given is not None:
        spelled = given.strip().lower().replace(" ", "-").replace("_", "-")
        if spelled not in get_args(TyingPosition):
            raise UnknownNameError("tying_position", given, get_args(TyingPosition))
        position = cast("TyingPosition", spelled)
    for name, gate in tensors.items():
        if not name.endswith(".md_proj.weight"):
            continue
        down = tensors.get(name.replace("md_proj", "down"))
        if down is None or down.ndim != 2:
            continue
        narrow, width = down.shape
        channels = {"down-in": width, "down-out": narrow, "up-in": narrow, "up-out": width}
        possible = [one for one, size in channels.items() if size == len(gate)]
        if position is not None and position not in possible:
            raise AdapterFolderError(
                f"{where}: {name!r} has {len(gate)} channels, but tying at {position} has "
                f"{channels[position]}; it can be {' or '.join(possible) or 'none'}"
            )
        if position is None:
            theirs = [one for one in possible if one in _THEIR_POSITIONS]
            if len(theirs) != 1:
                raise AdapterFolderError(
                    f"{where}: {name!r} has {len(gate)} channels, which does not show what it "
                    f"scales; name the tying_position"
                )
            position = cast("TyingPosition", theirs[0])
    return position or MvAdapterConfig().tying_position


def _drop_unused(ours: dict[str, Tensor]) -> None:
    """Remove what their code keeps but never reads.

    Where it runs without the token [CC], the token and the last row of the positions are still
    there; the calibration's map of the token is not. Where no layer is tied, factors may be there.
    """
    if not any(".gate.projection." in name for name in ours):
        for name in [name for name in ours if name.startswith("shared.")]:
            del ours[name]
    for name in [name for name in ours if name.endswith(".calibration.first.weight")]:
        block = name.removesuffix(".calibration.first.weight")
        if f"{block}.calibration.context.weight" not in ours:
            ours.pop(f"{block}.context", None)
            positions = ours[f"{block}.positions"]
            ours[f"{block}.positions"] = positions[: len(positions) // 2 * 2]


def _translate(
    name: str, tensor: Tensor, tying_position: TyingPosition, where: str
) -> Iterator[tuple[str, Tensor]]:
    """Give one of their tensors our name or, where CLIP's q, k and v are fused, our three names.

    Raises:
        AdapterFolderError: The name is not one of theirs.
    """
    given, name = name, name if name.startswith("clip.") else f"clip.{name}"
    if factor := re.fullmatch(r"clip\.prompt\.(\d+)", name):
        yield f"shared.{factor[1]}", tensor
    elif name in _OUTER_BIASES:
        yield f"backbone.{_OUTER_BIASES[name]}", tensor
    elif (found := _IN_BLOCK.fullmatch(name)) and found[3]:
        tower = "video" if found[1] else "text"
        yield f"{tower}.{found[2]}.{_adapter_name(found[4], tying_position, name, where)}", tensor
    elif found and found[4] in {*_BLOCK_BIASES, "attn.in_proj_bias"}:
        prefix = "vision" if found[1] else "text"
        layer = f"backbone.{prefix}.blocks.{found[2]}"
        if found[4] in _BLOCK_BIASES:
            yield f"{layer}.{_BLOCK_BIASES[found[4]]}", tensor
        else:
            for projection, part in zip("qkv", tensor.chunk(3), strict=True):
                yield f"{layer}.attention.{projection}.bias", part
    else:
        raise AdapterFolderError(
            f"{where}: {given!r} is neither part of an MV-Adapter nor a bias of CLIP; pass only "
            f"what the authors' code trains"
        )


def _adapter_name(theirs: str, tying_position: TyingPosition, name: str, where: str) -> str:
    if theirs in _ADAPTER_NAMES:
        return _ADAPTER_NAMES[theirs]
    if gate := re.fullmatch(r"md_proj\.(weight|bias)", theirs):
        end = tying_position.split("-", maxsplit=1)[0]
        return f"{end}.gate.projection.{gate[1]}"
    # Every other layer norm of the adapter can only be the optional one on its input.
    if norm := re.fullmatch(r"ln\w*\.(weight|bias)", theirs):
        return f"input_norm.{norm[1]}"
    raise AdapterFolderError(f"{where}: {name!r} is not a known part of an MV-Adapter")


def _read_config(
    ours: Mapping[str, Tensor],
    backbone: Backbone,
    num_heads: int,
    tying_position: TyingPosition,
) -> MvAdapterConfig:
    """Read every setting that names and shapes show; defaults replace what is absent.

    Raises:
        ConfigError: There is no adapter among the tensors.
    """

    def layers(part: str) -> tuple[int, ...]:
        found = (re.fullmatch(part, name) for name in ours)
        return tuple(sorted({int(match[1]) for match in found if match}))

    def any_shape(part: str, default: tuple[int, ...]) -> tuple[int, ...]:
        return next(
            (tuple(t.shape) for name, t in ours.items() if re.fullmatch(part, name)), default
        )

    usual = MvAdapterConfig()
    video_layers = layers(r"video\.(\d+)\.up\.weight")
    text_layers = layers(r"text\.(\d+)\.up\.weight")
    if not video_layers and not text_layers:
        raise ConfigError(
            "it contains no adapter; expected names such as "
            "'clip.visual.transformer.resblocks.0.mlp.adapter.down.weight'"
        )
    depth: Depth = "bottleneck"
    if layers(r"\w+\.(\d+)\.positions"):
        is_calibrated = bool(layers(r"video\.(\d+)\.calibration\.first\.weight"))
        depth = "calibration" if is_calibrated or not video_layers else "transformer"
    has_context = bool(layers(r"video\.(\d+)\.context"))
    num_positions = any_shape(r"video\.\d+\.positions", (2 * usual.num_frames + has_context,))[0]
    tied = layers(r"video\.(\d+)\.\w+\.gate\.projection\.weight")
    return MvAdapterConfig(
        num_frames=(num_positions - has_context) // 2,
        max_tokens=any_shape(r"text\.\d+\.positions", (usual.max_tokens,))[0],
        bottleneck_width=any_shape(r"\w+\.\d+\.up\.weight", ())[1],
        num_heads=num_heads,
        video_layers=video_layers,
        text_layers=text_layers,
        depth=depth,
        has_context_token=has_context or not video_layers,
        calibration_width=any_shape(
            r"video\.\d+\.calibration\.first\.weight", (usual.calibration_width,)
        )[0],
        has_input_norm=bool(layers(r"\w+\.(\d+)\.input_norm\.weight")),
        tying="factor" if tied else "none",
        tying_position=tying_position,
        tying_init="authors",
        position_init="authors",
        tied_layers=tuple(layer - backbone.vision.num_layers for layer in tied),
        factor_dim=any_shape(r"shared\.\d+", (usual.factor_dim,))[0],
        has_trained_biases=any(name.startswith("backbone.") for name in ours),
    )
