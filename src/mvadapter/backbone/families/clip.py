"""OpenAI's CLIP and those of its shape (Radford et al. 2021), as transformers holds them."""

from itertools import product
from typing import Any

from transformers import CLIPConfig, CLIPModel

from mvadapter.backbone.family import Family
from mvadapter.backbone.recipes import PixelRecipe
from mvadapter.backbone.towers import Activation, TextShape, VisionShape
from mvadapter.errors import ConfigError

_ACTIVATIONS: dict[str, Activation] = {"quick_gelu": "quick_gelu", "gelu": "gelu"}
_TENSORS = {
    "logit_scale": "logit_scale",
    "vision.class_token": "vision_model.embeddings.class_embedding",
    "vision.patches.weight": "vision_model.embeddings.patch_embedding.weight",
    "vision.positions": "vision_model.embeddings.position_embedding.weight",
    "vision.projection.weight": "visual_projection.weight",
    "text.words": "text_model.embeddings.token_embedding.weight",
    "text.positions": "text_model.embeddings.position_embedding.weight",
    "text.projection.weight": "text_projection.weight",
}
# Each with a weight and a bias.
_NORMS = {
    "vision.norm_in": "vision_model.pre_layrnorm",
    "vision.norm_out": "vision_model.post_layernorm",
    "text.norm_out": "text_model.final_layer_norm",
}
_IN_BLOCK = {
    "norm1": "layer_norm1",
    "attention.q": "self_attn.q_proj",
    "attention.k": "self_attn.k_proj",
    "attention.v": "self_attn.v_proj",
    "attention.o": "self_attn.out_proj",
    "norm2": "layer_norm2",
    "mlp.in": "mlp.fc1",
    "mlp.out": "mlp.fc2",
}


def _shapes(config: Any) -> tuple[VisionShape, TextShape]:  # noqa: ANN401 - CLIPConfig types nothing
    vision, text = config.vision_config, config.text_config
    if vision.image_size % vision.patch_size:
        raise ConfigError(
            f"image_size {vision.image_size} is no multiple of patch_size {vision.patch_size}"
        )
    return (
        VisionShape(
            **_shape_of_tower(vision),
            image_px=vision.image_size,
            patch_px=vision.patch_size,
            num_class_tokens=1,
        ),
        TextShape(
            **_shape_of_tower(text),
            num_positions=text.max_position_embeddings,
            end_token_id=text.eos_token_id,
        ),
    )


def _shape_of_tower(tower: Any) -> dict[str, Any]:  # noqa: ANN401 - as above
    if tower.hidden_act not in _ACTIVATIONS:
        raise ConfigError(
            f"activation {tower.hidden_act!r} is not known; CLIP uses {' or '.join(_ACTIVATIONS)}"
        )
    return {
        "width": tower.hidden_size,
        "num_layers": tower.num_hidden_layers,
        "num_heads": tower.num_attention_heads,
        "norm_epsilon": tower.layer_norm_eps,
        "activation": _ACTIVATIONS[tower.hidden_act],
    }


def _weight_names(vision: VisionShape, text: TextShape) -> dict[str, str]:
    modules = _NORMS | {
        f"{shape.prefix}.blocks.{layer}.{ours}": f"{tower}.encoder.layers.{layer}.{theirs}"
        for shape, tower in ((vision, "vision_model"), (text, "text_model"))
        for layer, (ours, theirs) in product(range(shape.num_layers), _IN_BLOCK.items())
    }
    return _TENSORS | {
        f"{ours}.{part}": f"{theirs}.{part}"
        for (ours, theirs), part in product(modules.items(), ("weight", "bias"))
    }


CLIP = Family(
    config_class=CLIPConfig,
    model_class=CLIPModel,
    default_pixels=PixelRecipe.openai,
    shapes=_shapes,
    weight_names=_weight_names,
)
