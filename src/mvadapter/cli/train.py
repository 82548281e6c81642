"""``mvadapter train``: a recipe or a table in, an adapter folder out."""

import signal
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

import typer

from mvadapter.cli import console
from mvadapter.datasets.catalog import DATASETS
from mvadapter.errors import ConfigError


def train(
    recipe: Annotated[
        str | None,
        typer.Argument(
            help="A recipe (TOML) or a dataset: " + ", ".join(DATASETS) + ". Or give --data."
        ),
    ] = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Output folder; run again to resume.")
    ] = Path("adapter"),
    data: Annotated[
        Path | None,
        typer.Option(help="A table (CSV, JSONL, Parquet) or a folder of videos with captions."),
    ] = None,
    videos: Annotated[
        Path | None, typer.Option(help="Folder that the table's video names start from.")
    ] = None,
    backbone: Annotated[
        str | None, typer.Option(help="A CLIP folder, a hub id, or 'tiny' (the default).")
    ] = None,
    method: Annotated[
        str | None,
        typer.Option(help="A name listed by 'mvadapter methods'. [default: mv-adapter]"),
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over all pairs.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Pairs per step.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Peak learning rate.")] = None,
    seed: Annotated[
        int | None, typer.Option(help="Seed for initialization and data order.")
    ] = None,
    precision: Annotated[
        str | None, typer.Option(help="Numeric precision: auto, float32 or bfloat16.")
    ] = None,
    select_on: Annotated[
        str | None,
        typer.Option(help="What selects the best epoch: holdout, or test (marks the result)."),
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="Any other setting, such as inputs.num_frames=32. Repeatable."),
    ] = None,
    device: Annotated[str, typer.Option(help="Device, as torch names it.")] = "cpu",
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Train an adapter; stop it with Ctrl-C, and resume with the same command."""
    overrides = {
        "data.videos": videos and str(videos),
        "backbone.name": backbone,
        "method.name": method,
        "train.epochs": epochs,
        "train.batch_size": batch_size,
        "train.learning_rate": learning_rate,
        "train.seed": seed,
        "train.precision": precision,
        "train.select_on": select_on,
    }
    settings = {key: value for key, value in overrides.items() if value is not None}
    settings |= dict(_parse_setting(text) for text in set_ or ())

    from mvadapter.training.loop import RunOptions
    from mvadapter.training.train import train
    from mvadapter.world import World

    if World.from_environment().size > 1:
        raise ConfigError("train works in one process; start it without torchrun, on one device")
    with console.progress("training") as advance, _stop_on_interrupt() as is_interrupted:
        result = train(
            data,
            output=output,
            recipe=recipe,
            settings=settings,
            options=RunOptions(
                device=device,
                on_step=lambda done, total, loss: advance(done, total, console.loss_note(loss)),
                should_stop=is_interrupted,
            ),
        )
    for name, reason in result.skipped.items():
        console.say(f"skipped {name}: {reason}")
    if not result.is_finished:
        console.say(
            f"stopped at step {result.step} of {result.num_steps}; run the same command to resume"
        )
        raise typer.Exit(130)
    if result.missing:
        console.say(
            f"{len(result.missing)} videos were missing when the table was prepared; "
            f"{sum(result.missing.values())} captions of the train split are left out"
        )
    if as_json:
        console.print_json(result.to_dict())
    else:
        _print_result(result.best_epoch, result.metrics)
        console.say(f"trained in {result.precision}; adapter written to {result.folder}")
    if result.skipped or result.missing:
        raise typer.Exit(1)


def _print_result(best_epoch: int, metrics: dict[str, float]) -> None:
    if not metrics:
        console.say(f"kept epoch {best_epoch}, the last: there are too few videos to hold some out")
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
