"""CLIPs that have only names and shapes, for counting weights of any size in no memory."""

import torch
from transformers import CLIPConfig, CLIPModel

from mvadapter.backbone.clip import Backbone
from mvadapter.backbone.families.clip import CLIP
from mvadapter.backbone.recipes import PixelRecipe, TextRecipe


def shape_only_clip(*, patch_px: int, is_large: bool = False) -> Backbone:
    """ViT-B/32, ViT-B/16 or (large, patch 14) ViT-L/14, its tensors on torch's meta device."""
    vision_width, vision_layers = (1024, 24) if is_large else (768, 12)
    text_width, dim = (768, 768) if is_large else (512, 512)
    config = CLIPConfig(
        projection_dim=dim,
        vision_config={
            "hidden_size": vision_width,
            "intermediate_size": 4 * vision_width,
            "num_hidden_layers": vision_layers,
            "num_attention_heads": vision_width // 64,
            "image_size": 224,
            "patch_size": patch_px,
            "projection_dim": dim,
        },
        text_config={
            "hidden_size": text_width,
            "intermediate_size": 4 * text_width,
            "num_hidden_layers": 12,
            "num_attention_heads": text_width // 64,
            "projection_dim": dim,
        },
    )
    with torch.device("meta"):
        weights = CLIPModel(config).state_dict()
    # Adapters are made on the device of the scale, and biases may be copied: these are real.
    weights = {
        name: torch.zeros(tensor.shape) if name.endswith((".bias", "logit_scale")) else tensor
        for name, tensor in weights.items()
    }
    vision, text = CLIP.shapes(config)
    return Backbone(
        name=f"shapes of ViT with patch {patch_px}",
        vision=vision,
        text=text,
        dim=dim,
        pixels=PixelRecipe.openai(224),
        captions=TextRecipe(
            max_tokens=77, padding="<|endoftext|>", is_lowercased=True, tokenizer_sha256=None
        ),
        weights=dict(CLIP.renamed(weights, vision, text)),
    )
