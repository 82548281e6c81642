"""``mvadapter methods``: a CLIP in, a table of methods and their trainable weights out."""

from mvadapter.cli import console
from mvadapter.cli.options import BackboneOption, JsonOption


def methods(
    backbone: BackboneOption = None,
    as_json: JsonOption = False,
) -> None:
    """List every method and variant with its number of trainable weights."""
    from mvadapter.backbone.clip import Backbone
    from mvadapter.comparison.methods import list_methods

    backbone = "tiny" if backbone is None else backbone
    clip = Backbone.load(backbone)
    found = list_methods(clip)
    for name, reason in found.left_out.items():
        console.inform(f"left out {name}: {reason}")
    if as_json:
        console.print_json([method.to_dict() for method in found.methods])
        return
    console.print_table(
        f"Methods beside {backbone} ({clip.num_weights:,} weights)",
        ["method", "description", "trainable", "share"],
        [
            [method.name, method.what, f"{method.trainable:,}", f"{method.share_percent:.3f} %"]
            for method in found.methods
        ],
        text_columns=2,
    )
    if backbone == "tiny":
        console.inform(
            "the default sizes are for ViT-B, and large for this small CLIP; "
            "recipes/synthetic.toml uses smaller ones"
        )
