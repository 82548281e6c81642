"""``mvadapter train``: a recipe or a table in, an adapter folder out."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from mvadapter.cli import console
from mvadapter.cli.options import (
    BackboneOption,
    DataOption,
    DeviceOption,
    IsolateOption,
    JsonOption,
    OutputFolderOption,
    OverwriteOption,
    VideosOption,
)
from mvadapter.cli.stopping import describe, stop_after_step
from mvadapter.datasets.catalog import DATASETS
from mvadapter.documents.text import DocumentKind
from mvadapter.documents.values import parse_setting
from mvadapter.errors import ConfigError


def train(
    recipe: Annotated[
        str | None,
        typer.Argument(
            help="Recipe (TOML) or dataset: " + ", ".join(DATASETS) + ". Or use --data."
        ),
    ] = None,
    output: OutputFolderOption = Path("adapter"),
    data: DataOption = None,
    videos: VideosOption = None,
    backbone: BackboneOption = None,
    method: Annotated[
        str | None,
        typer.Option(help="Method, as listed by 'mvadapter methods'. [default: mv-adapter]"),
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Number of epochs.")] = None,
    batch_size: Annotated[
        int | None, typer.Option(help="Pairs of video and caption per step.")
    ] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Peak learning rate.")] = None,
    seed: Annotated[
        int | None, typer.Option(help="Seed for initialization and data order.")
    ] = None,
    precision: Annotated[
        Literal["auto", "float32", "bfloat16"] | None, typer.Option(help="Numeric precision.")
    ] = None,
    select_on: Annotated[
        str | None,
        typer.Option(
            help="Videos that select the best epoch: holdout, or test (marks the result)."
        ),
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="Any other setting, such as inputs.num_frames=32. Repeatable."),
    ] = None,
    overwrite: OverwriteOption = False,
    isolate: IsolateOption = False,
    device: DeviceOption = "cpu",
    as_json: JsonOption = False,
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

    from mvadapter.isolation import Isolation
    from mvadapter.training.loop import RunOptions
    from mvadapter.training.train import train
    from mvadapter.world import World

    if World.from_environment().size > 1:
        raise ConfigError("train runs in one process on one device; start it without torchrun")
    with console.progress("training") as advance, stop_after_step() as request:
        result = train(
            data,
            output=output,
            recipe=recipe,
            settings=settings,
            overwrite=overwrite,
            options=RunOptions(
                device=device,
                isolation=Isolation() if isolate else None,
                on_step=lambda done, total, loss: advance(done, total, console.loss_note(loss)),
                should_stop=request.is_made,
            ),
        )
    for name, reason in result.skipped.items():
        console.inform(f"skipped {name}: {reason}")
    if not result.is_finished:
        console.inform(
            f"{describe(request.number)} at step {result.step} of {result.num_steps}; "
            f"run the same command to continue"
        )
        raise typer.Exit(128 + request.number)
    if result.missing:
        console.inform(
            f"{len(result.missing)} videos were missing when the table was prepared; "
            f"{sum(result.missing.values())} captions of the train split are not used"
        )
    for note in result.notes():
        console.inform(f"note: {note}")
    if as_json:
        console.print_json(result.to_dict())
    else:
        _print_result(result.best_epoch, result.metrics)
        console.inform(f"trained in {result.precision}; adapter written to {result.folder}")
    if result.skipped or result.missing:
        raise typer.Exit(1)


def _print_result(best_epoch: int, metrics: dict[str, float]) -> None:
    if not metrics:
        console.inform(
            f"kept epoch {best_epoch}, the last: there are too few videos for a held-out part"
        )
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
    kind = DocumentKind(
        error=ConfigError, expected="a setting", advice="give one value, as TOML writes it"
    )
    return key, parse_setting(value, f"--set {key}", kind)
