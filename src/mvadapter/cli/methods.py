"""``mvadapter methods``: every method and variant with what it trains beside a CLIP."""

from typing import Annotated, Any

import typer

from mvadapter.cli import console


def methods(
    backbone: Annotated[str, typer.Option(help="A CLIP folder, a hub id, or 'tiny'.")] = "tiny",
    as_json: Annotated[bool, typer.Option("--json", help="Print the list as JSON.")] = False,
) -> None:
    """List every method and variant with how many weights it trains beside a CLIP."""
    from mvadapter.adapters.build import adapter_config, count_trainable
    from mvadapter.adapters.catalog import method_class, method_names
    from mvadapter.adapters.variants import VARIANTS
    from mvadapter.backbone.clip import Backbone
    from mvadapter.errors import ConfigError

    clip = Backbone.load(backbone)
    found: list[dict[str, Any]] = []
    whats = {name: method_class(name).what for name in method_names()}
    whats |= {name: variant.what for name, variant in VARIANTS.items()}
    for name, what in whats.items():
        try:
            trainable = count_trainable(adapter_config(name, {}, name), clip)
        except ConfigError as error:
            console.say(f"left out {name}: {error}")
            continue
        found.append(
            {
                "name": name,
                "what": what,
                "trainable": trainable,
                "share_percent": 100 * trainable / clip.num_weights,
            }
        )
    if as_json:
        console.print_json(found)
        return
    console.print_table(
        f"Methods beside {backbone} ({clip.num_weights:,} weights)",
        ["method", "what", "trainable", "share"],
        [
            [
                row["name"],
                row["what"],
                f"{row['trainable']:,}",
                f"{row['share_percent']:.3f} %",
            ]
            for row in found
        ],
        text_columns=2,
    )
    if backbone == "tiny":
        console.say(
            "the usual sizes are for ViT-B, and weigh more beside this small CLIP; "
            "recipes/synthetic.toml has some in proportion"
        )
