"""``mvadapter compare``: a recipe and methods in, tables and plots out."""

import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from mvadapter.cli import console
from mvadapter.cli.options import BackboneOption, DeviceOption, JsonOption, OutputFolderOption
from mvadapter.errors import ConfigError


def compare(
    recipe: Annotated[Path, typer.Argument(help="Recipe (TOML), such as recipes/synthetic.toml.")],
    output: OutputFolderOption = Path("comparison"),
    methods: Annotated[
        str | None,
        typer.Option(help="Methods or variants, separated by commas. [default: the recipe's]"),
    ] = None,
    seeds: Annotated[
        str | None,
        typer.Option(help="Seeds, separated by commas. [default: the recipe's, or 0,42,123]"),
    ] = None,
    learning_rates: Annotated[
        str | None,
        typer.Option(
            help="Learning rates to try for each method, separated by commas. "
            "[default: the recipe's]"
        ),
    ] = None,
    backbone: BackboneOption = None,
    reference: Annotated[
        str | None,
        typer.Option(help="Method to test the others against. [default: mv-adapter, or the last]"),
    ] = None,
    text: Annotated[
        Literal["none"] | None,
        typer.Option(
            help="Use no text adapter in methods that were published for images or videos only."
        ),
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Use one seed and do not search the learning rate.")
    ] = False,
    jobs: Annotated[int, typer.Option(min=1, help="Number of training runs in parallel.")] = 1,
    device: DeviceOption = "cpu",
    as_json: JsonOption = False,
) -> None:
    """Train several methods under one protocol and compare them on the test split."""
    if quick and (seeds or learning_rates):
        raise ConfigError(
            "--quick cannot be combined with --seeds or --learning-rates: it uses one seed and "
            "one learning rate; remove --quick or the other options"
        )
    overrides = _overrides(methods, seeds, learning_rates)
    if backbone is not None:
        overrides["backbone.name"] = backbone

    from mvadapter.comparison.compare import compare
    from mvadapter.comparison.plan import read_plan
    from mvadapter.comparison.stages import ComparisonOptions
    from mvadapter.comparison.tables import tables

    plan = read_plan(recipe, overrides, is_quick=quick, text=text)
    with console.stages() as stages:
        options = ComparisonOptions(
            device=device,
            jobs=jobs,
            on_stage=stages.begin,
            on_progress=stages.advance,
            command=shlex.join(["mvadapter", *sys.argv[1:]]),
        )
        result = compare(plan, output, options, reference=reference)
    if as_json:
        console.print_json(result.to_dict())
    else:
        for table in tables(result.summary):
            console.print_table(table.title, table.columns, table.rows)
        console.inform(f"tables, numbers and plots written to {console.show_path(output)}")
    for name, reason in (result.skipped_in_training | result.skipped).items():
        console.inform(f"skipped {name}: {reason}")
    if result.num_left_out:
        split = plan.recipe.data.test_split
        console.inform(f"measured on {split} without {result.num_left_out} videos, for all methods")
    if result.num_left_out or result.skipped_in_training:
        raise typer.Exit(1)


def _overrides(
    methods: str | None, seeds: str | None, learning_rates: str | None
) -> dict[str, Any]:
    """The settings that replace those of the recipe."""
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
