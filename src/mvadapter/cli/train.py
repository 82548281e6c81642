"""``mvadapter train``: a recipe or a table in, an adapter folder out."""

import signal
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mvadapter.cli import console
from mvadapter.cli.data import prepared_table
from mvadapter.datasets.catalog import DATASETS
from mvadapter.errors import ConfigError

if TYPE_CHECKING:
    from mvadapter.training.recipe import Recipe


def train(
    recipe: Annotated[
        str | None,
        typer.Argument(
            help="A recipe, TOML, or a dataset: " + ", ".join(DATASETS) + ". Without, give --data."
        ),
    ] = None,
    output: Annotated[
        Path,
        typer.Option("--output", "-o", help="The adapter folder; a stopped run goes on there."),
    ] = Path("adapter"),
    data: Annotated[
        Path | None,
        typer.Option(help="A table (CSV, JSONL, Parquet) or a folder of videos with captions."),
    ] = None,
    videos: Annotated[
        Path | None, typer.Option(help="The folder that the table's video names start from.")
    ] = None,
    backbone: Annotated[
        str | None, typer.Option(help="A CLIP folder, a hub id, or 'tiny' (the default).")
    ] = None,
    method: Annotated[
        str | None,
        typer.Option(help="A name of 'mvadapter methods'. [default: mv-adapter]"),
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Times every pair is seen.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Pairs a step.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Peak step size.")] = None,
    seed: Annotated[int | None, typer.Option(help="Decides first weights and order.")] = None,
    precision: Annotated[str | None, typer.Option(help="auto, float32 or bfloat16.")] = None,
    select_on: Annotated[
        str | None,
        typer.Option(help="What chooses the best epoch: holdout, or test (marks the result)."),
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="Any other setting, as in inputs.num_frames=32. Repeatable."),
    ] = None,
    device: Annotated[str, typer.Option(help="Where to compute, as torch names it.")] = "cpu",
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Train an adapter; stop it with Ctrl-C and go on with the same command."""
    overrides = {
        "data.path": data and str(data),
        # Of another table than the recipe's, the recipe's folder of videos says nothing.
        "data.videos": str(videos) if videos else ("" if data else None),
        "backbone.name": backbone,
        "method.name": method,
        "train.epochs": epochs,
        "train.batch_size": batch_size,
        "train.learning_rate": learning_rate,
        "train.seed": seed,
        "train.precision": precision,
        "train.select_on": select_on,
    }
    given = {key: value for key, value in overrides.items() if value is not None}
    given |= dict(_parse_setting(text) for text in set_ or ())
    from mvadapter.world import World

    if World.from_environment().size > 1:
        raise ConfigError("train works in one process; start it without torchrun, on one device")

    from mvadapter.data.origin import missing_captions
    from mvadapter.training.loop import RunOptions, train

    settings = _settings(recipe, data, given)
    _refuse_foreign(output)
    records = settings.records(output / "videos")
    missing = missing_captions(settings.table, settings.data.train_split)
    if missing:
        console.say(
            f"{settings.data.train_split} minus {len(missing)}: {sum(missing.values())} captions "
            f"dropped, whose videos were missing when the table was prepared"
        )
    with console.progress("training") as advance, _stop_on_interrupt() as is_interrupted:
        options = RunOptions(
            device=device,
            on_step=lambda done, total, loss: advance(done, total, console.loss_note(loss)),
            should_stop=is_interrupted,
        )
        result = train(settings, records, output, options)

    for name, reason in result.skipped.items():
        console.say(f"skipped {name}: {reason}")
    if not result.is_finished:
        console.say(
            f"stopped at step {result.step} of {result.num_steps}; "
            f"the same command goes on from there"
        )
        raise typer.Exit(130)
    if as_json:
        console.print_json(
            {
                "folder": str(result.folder),
                "steps": result.num_steps,
                "best_epoch": result.best_epoch,
                "metrics": result.metrics,
                "precision": result.precision,
                "missing": list(missing),
                "skipped": result.skipped,
            }
        )
    else:
        _print_result(result.best_epoch, result.metrics)
        console.say(f"trained in {result.precision}; adapter written to {result.folder}")
    if result.skipped or missing:
        raise typer.Exit(1)


def _settings(recipe: str | None, data: Path | None, given: dict[str, Any]) -> "Recipe":
    """Read a recipe, or take a dataset's usual settings or the defaults.

    Raises:
        ConfigError: There is nothing to train on, or a setting cannot be.
    """
    from mvadapter.training.recipe import dataset_settings, read_recipe

    if recipe is None and data is None:
        raise ConfigError("nothing to train on: name a recipe or a dataset, or a table with --data")
    if recipe is not None and recipe in DATASETS:
        table = prepared_table(recipe, data)
        usual = {"data.path": str(table), **dataset_settings(DATASETS[recipe])}
        return read_recipe(None, usual | given)
    if recipe is not None and not Path(recipe).exists():
        raise ConfigError(
            f"{recipe}: no such recipe; expected a TOML file, or a dataset: {', '.join(DATASETS)}"
        )
    return read_recipe(recipe, given)


def _refuse_foreign(folder: Path) -> None:
    """Refuse a folder that holds what no run made: it would be mixed up or written over.

    Raises:
        ConfigError: It does, or it is a file.
    """
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder}: is a file; name a folder with --output")
    if not folder.is_dir() or (folder / "run").is_dir():
        return
    from mvadapter.encoder.checkpoint import CARD_FILE, CONFIG_FILE, WEIGHTS_FILE

    # Drawn videos come before their run, and an adapter stays when its run is deleted.
    ours = {"videos"}
    if (folder / CONFIG_FILE).is_file():
        ours |= {CONFIG_FILE, f"{CONFIG_FILE}.next", WEIGHTS_FILE, CARD_FILE}
    others = sorted(path.name for path in folder.iterdir() if path.name not in ours)
    if others:
        raise ConfigError(
            f"{folder}: holds other things ({others[0]}) and no run to go on with; name a new "
            f"folder with --output"
        )


def _print_result(best_epoch: int, metrics: dict[str, float]) -> None:
    if not metrics:
        console.say(f"kept epoch {best_epoch}, the last: too few videos to hold some out")
        return
    rows = [
        [label, *(f"{metrics[f'{direction}_recall_at_{k}']:.1f}" for k in (1, 5, 10))]
        for label, direction in (
            ("text to video", "text_to_video"),
            ("video to text", "video_to_text"),
        )
    ]
    console.print_table(
        f"Held-out part, epoch {best_epoch} (the best)", ["", "R@1", "R@5", "R@10"], rows
    )


def _parse_setting(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not equals or key.count(".") != 1:
        raise ConfigError(f"--set takes table.key=value, such as train.epochs=3, got {text!r}")
    try:
        return key, tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return key, value


@contextmanager
def _stop_on_interrupt() -> Iterator[Any]:
    """Turn the first Ctrl-C into a wish that the run asks for; the second one ends at once."""
    was_asked = False

    def ask(_signal: int, _frame: FrameType | None) -> None:
        nonlocal was_asked
        was_asked = True
        signal.signal(signal.SIGINT, before)
        console.say("stopping after this step; Ctrl-C again stops at once")

    before = signal.signal(signal.SIGINT, ask)
    try:
        yield lambda: was_asked
    finally:
        signal.signal(signal.SIGINT, before)
