"""``mvadapter compare``: a recipe and methods in, one table and its plots out."""

import shlex
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from mvadapter.cli import console
from mvadapter.errors import ConfigError, UnknownNameError

_REFERENCE = "mv-adapter"


def compare(
    recipe: Annotated[Path, typer.Argument(help="A recipe, TOML, such as recipes/synthetic.toml.")],
    output: Annotated[
        Path,
        typer.Option("--output", "-o", help="Where all goes; a stopped comparison goes on there."),
    ] = Path("comparison"),
    methods: Annotated[
        str | None,
        typer.Option(
            help="Names with commas: methods, variants, or the recipe's own variants. "
            "[default: the recipe's]"
        ),
    ] = None,
    seeds: Annotated[
        str | None, typer.Option(help="Numbers with commas. [default: the recipe's, or 0,42,123]")
    ] = None,
    learning_rates: Annotated[
        str | None, typer.Option(help="Tried for each method, with commas. [default: the recipe's]")
    ] = None,
    backbone: Annotated[
        str | None,
        typer.Option(help="A CLIP folder, a hub id, or 'tiny'. [default: the recipe's]"),
    ] = None,
    reference: Annotated[
        str | None,
        typer.Option(help="What the others are tested against. [default: mv-adapter, or the last]"),
    ] = None,
    text: Annotated[
        Literal["none"] | None,
        typer.Option(help="Leaves the text tower of methods made for pictures as it is."),
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="One seed, and no search of the learning rate.")
    ] = False,
    jobs: Annotated[int, typer.Option(min=1, help="Runs that train at once.")] = 1,
    device: Annotated[str, typer.Option(help="Where to compute, as torch names it.")] = "cpu",
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Train many methods alike, measure them on the same test split, and say what differs."""
    if quick and (seeds or learning_rates):
        raise ConfigError(
            "--quick takes one seed and one learning rate by itself; leave out --seeds and "
            "--learning-rates, or --quick"
        )
    overrides = _overrides(methods, seeds, learning_rates)
    if backbone is not None:
        overrides["backbone.name"] = backbone

    from mvadapter.comparison.compare import ComparisonOptions, compare
    from mvadapter.comparison.plan import read_plan
    from mvadapter.comparison.report import write_report
    from mvadapter.comparison.summary import summarise
    from mvadapter.comparison.tables import tables
    from mvadapter.data.origin import missing_captions

    plan = read_plan(recipe, overrides, is_quick=quick, text=text)
    if reference is None:
        reference = _REFERENCE if _REFERENCE in plan.methods else list(plan.methods)[-1]
    if reference not in plan.methods:
        raise UnknownNameError("--reference", reference, plan.methods)
    try:
        with console.stages() as stages:
            options = ComparisonOptions(
                device=device, jobs=jobs, on_stage=stages.begin, on_progress=stages.advance
            )
            comparison = compare(plan, output, options)
    except KeyboardInterrupt:
        console.say("stopped; the same command goes on from there")
        raise typer.Exit(130) from None
    summary, data = summarise(comparison, reference), plan.recipe.data
    missing = list(missing_captions(plan.recipe.table, data.test_split))
    skipped = comparison.skipped_in_test
    about = {
        "commit": ", ".join(comparison.commits),
        "machine": "; ".join(comparison.machines),
        "threads of a run": " or ".join(map(str, comparison.num_threads)),
        "precision": comparison.precision,
        "recipe": plan.as_table(),
        "missing": missing,
        "skipped": skipped,
        "skipped_in_training": comparison.skipped_in_training,
    }
    result = write_report(summary, _about() | about, output)
    if as_json:
        console.print_json(result)
    else:
        for table in tables(summary):
            console.print_table(table.title, table.columns, table.rows)
        console.say(f"tables, numbers and plots are in {console.show_path(output)}")
    for name, reason in (comparison.skipped_in_training | skipped).items():
        console.say(f"skipped {name}: {reason}")
    _end(data.test_split, len(missing) + len(skipped), comparison.skipped_in_training)


def _end(test_split: str, num_left_out: int, skipped_in_training: Mapping[str, str]) -> None:
    """Say what the measurement lacks; the exit code says whether any video was skipped."""
    if num_left_out:
        console.say(f"measured on {test_split} minus {num_left_out} videos, alike for all methods")
    if num_left_out or skipped_in_training:
        raise typer.Exit(1)


def _overrides(
    methods: str | None, seeds: str | None, learning_rates: str | None
) -> dict[str, Any]:
    """What the command line says in place of the recipe."""
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
        raise ConfigError(f"{option} takes numbers with commas (1,2), got {text!r}") from error


def _about() -> dict[str, Any]:
    """By what command and with what versions the tables came about."""
    import importlib.metadata

    versions = {name: importlib.metadata.version(name) for name in ("mvadapter", "torch")}
    return {
        "command": shlex.join(["mvadapter", *sys.argv[1:]]),
        "versions": ", ".join(f"{name} {version}" for name, version in versions.items()),
    }
