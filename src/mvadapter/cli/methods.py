"""``mvadapter methods``: every method and variant with what it trains beside a CLIP."""

from typing import Annotated

import typer

from mvadapter.cli import console


def methods(
    backbone: Annotated[str, typer.Option(help="A CLIP folder, a hub id, or 'tiny'.")] = "tiny",
    as_json: Annotated[bool, typer.Option("--json", help="Print the list as JSON.")] = False,
) -> None:
    """List every method and variant with how many weights it trains beside a CLIP."""
    from mvadapter.backbone.clip import Backbone
    from mvadapter.comparison.methods import list_methods

    clip = Backbone.load(backbone)
    found = list_methods(clip)
    for name, reason in found.left_out.items():
        console.say(f"left out {name}: {reason}")
    if as_json:
        console.print_json([method.to_dict() for method in found.methods])
        return
    console.print_table(
        f"Methods beside {backbone} ({clip.num_weights:,} weights)",
        ["method", "what", "trainable", "share"],
        [
            [method.name, method.what, f"{method.trainable:,}", f"{method.share_percent:.3f} %"]
            for method in found.methods
        ],
        text_columns=2,
    )
    if backbone == "tiny":
        console.say(
            "the default sizes are for ViT-B and are large beside this small CLIP; "
            "recipes/synthetic.toml has smaller ones"
        )
