"""``mvadapter compare``: a recipe and methods in, one table and its plots out."""

import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from mvadapter.cli import console
from mvadapter.errors import ConfigError


def compare(
    recipe: Annotated[Path, typer.Argument(help="A recipe, TOML, such as recipes/synthetic.toml.")],
    output: Annotated[
        Path,
        typer.Option("--output", "-o", help="Output folder; a stopped comparison continues there."),
    ] = Path("comparison"),
    methods: Annotated[
        str | None,
        typer.Option(
            help="Names, separated by commas: methods, variants, or the recipe's own variants. "
            "[default: the recipe's]"
        ),
    ] = None,
    seeds: Annotated[
        str | None,
        typer.Option(help="Numbers, separated by commas. [default: the recipe's, or 0,42,123]"),
    ] = None,
    learning_rates: Annotated[
        str | None,
        typer.Option(
            help="Numbers to try for each method, separated by commas. [default: the recipe's]"
        ),
    ] = None,
    backbone: Annotated[
        str | None,
        typer.Option(help="A CLIP folder, a hub id, or 'tiny'. [default: the recipe's]"),
    ] = None,
    reference: Annotated[
        str | None,
        typer.Option(
            help="Method that the others are tested against. [default: mv-adapter, or the last]"
        ),
    ] = None,
    text: Annotated[
        Literal["none"] | None,
        typer.Option(help="Keep the text tower without adapters in methods made for pictures."),
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="One seed, and no search for the learning rate.")
    ] = False,
    jobs: Annotated[int, typer.Option(min=1, help="Training runs at the same time.")] = 1,
    device: Annotated[str, typer.Option(help="Torch device, such as cpu or cuda.")] = "cpu",
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Train several methods alike, and compare them on the same test split."""
    if quick and (seeds or learning_rates):
        raise ConfigError(
            "--quick cannot be combined with --seeds or --learning-rates: it has one seed and one "
            "learning rate; leave out --quick or the others"
        )
    overrides = _overrides(methods, seeds, learning_rates)
    if backbone is not None:
        overrides["backbone.name"] = backbone

    from mvadapter.comparison.compare import compare
    from mvadapter.comparison.plan import read_plan
    from mvadapter.comparison.stages import ComparisonOptions
    from mvadapter.comparison.tables import tables

    plan = read_plan(recipe, overrides, is_quick=quick, text=text)
    try:
        with console.stages() as stages:
            options = ComparisonOptions(
                device=device,
                jobs=jobs,
                on_stage=stages.begin,
                on_progress=stages.advance,
                command=shlex.join(["mvadapter", *sys.argv[1:]]),
            )
            result = compare(plan, output, options, reference=reference)
    except KeyboardInterrupt:
        console.say("stopped; run the same command to continue")
        raise typer.Exit(130) from None
    if as_json:
        console.print_json(result.to_dict())
    else:
        for table in tables(result.summary):
            console.print_table(table.title, table.columns, table.rows)
        console.say(f"tables, numbers and plots are in {console.show_path(output)}")
    for name, reason in (result.skipped_in_training | result.skipped).items():
        console.say(f"skipped {name}: {reason}")
    if result.num_left_out:
        split = plan.recipe.data.test_split
        console.say(
            f"measured on {split} minus {result.num_left_out} videos, alike for all methods"
        )
    if result.num_left_out or result.skipped_in_training:
        raise typer.Exit(1)


def _overrides(
    methods: str | None, seeds: str | None, learning_rates: str | None
) -> dict[str, Any]:
    """Settings of the command line that replace the recipe's."""
    overrides: dict[str, Any] = {}
    if methods is not None:
        overrides["compare.methods"] = [name.strip() for name in methods.split(",") if name.strip()]
    if seeds is not None:
        overrides["compare.seeds"] = _numbers("--seeds", seeds, int)
    if learning_rates is not None:
        overrides["compare.learning_rates"] = _numbers("--learning-rates", learning_rates, float)
    return overrides


def _numbers(option: str, text: str, kind: Callable[[str], float]) -> list[float]:
    try:
        return [kind(part) for part in text.split(",")]
    except ValueError as error:
        raise ConfigError(
            f"{option} takes numbers separated by commas (1,2), got {text!r}"
        ) from error
