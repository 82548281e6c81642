"""``mvadapter evaluate``: an adapter and data, or a score matrix, in; a table out."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, cast

import typer

from mvadapter.cli import console
from mvadapter.cli.options import (
    BackboneOption,
    DataOption,
    DeviceOption,
    IsolateOption,
    JsonOption,
    OverwriteOption,
    PrecisionOption,
    VideosOption,
)
from mvadapter.cli.outputs import check_output
from mvadapter.datasets.catalog import DATASETS, DatasetName
from mvadapter.errors import ConfigError, DataError

if TYPE_CHECKING:
    from mvadapter.evaluation.bootstrap import Difference
    from mvadapter.evaluation.results import AgainstResult, DirectionResult, EvaluationResult
    from mvadapter.world import World


def evaluate(
    adapter: Annotated[
        Path | None, typer.Argument(help="Adapter folder; without it, evaluate the frozen CLIP.")
    ] = None,
    dataset: Annotated[
        DatasetName | None,
        typer.Argument(help="Dataset written by 'data prepare', to DATASET.parquet or --data."),
    ] = None,
    data: DataOption = None,
    videos: VideosOption = None,
    split: Annotated[
        str | None,
        typer.Option(help="Split to evaluate. [default: the dataset's or the recipe's test split]"),
    ] = None,
    backbone: BackboneOption = None,
    scores: Annotated[
        Path | None,
        typer.Option(help="Score matrix (.npy), captions x videos, instead of data."),
    ] = None,
    caption_video: Annotated[
        Path | None,
        typer.Option(
            help="With --scores: index of each caption's video (.npy). [default: i for i]"
        ),
    ] = None,
    unreadable: Annotated[
        Literal["error", "skip"],
        typer.Option(help="Stop with an error at an unreadable video, or skip and report it."),
    ] = "error",
    dual_softmax: Annotated[
        float | None,
        typer.Option(
            metavar="TEMPERATURE",
            help="Also report dual softmax with this factor on the scores, 100 for cosines. "
            "It uses all queries at once (transductive).",
        ),
    ] = None,
    query_bank: Annotated[
        str | None,
        typer.Option(
            metavar="SPLIT|FILE",
            help="Also report QB-Norm (text to video) with the captions of this split as bank; "
            "with --scores, the bank's score matrix (.npy).",
        ),
    ] = None,
    ranks: Annotated[
        Path | None,
        typer.Option(help="Write each query's rank to this file (.csv, .jsonl, .parquet)."),
    ] = None,
    against: Annotated[
        Path | None,
        typer.Option(help="Compare with the --ranks file of another result, query by query."),
    ] = None,
    report: Annotated[Path | None, typer.Option(help="Write an HTML report to this file.")] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write the result as JSON to this file.")
    ] = None,
    overwrite: OverwriteOption = False,
    isolate: IsolateOption = False,
    precision: PrecisionOption = "float32",
    device: DeviceOption = "cpu",
    as_json: JsonOption = False,
) -> None:
    """Measure retrieval in both directions, with 95 % bootstrap intervals.

    With torchrun, several processes share the work; the numbers are the same.
    """
    from mvadapter.evaluation.rank_table import rank_table, write_rank_table
    from mvadapter.evaluation.report import write_report
    from mvadapter.world import World

    adapter, dataset = _adapter_and_dataset(adapter, dataset)
    world = World.from_environment()
    if scores is not None:
        _refuse_with_scores({
            "ADAPTER": adapter, "DATASET": dataset, "--data": data, "--videos": videos,
            "--split": split, "--backbone": backbone,
        })  # fmt: skip
        source = scores
    else:
        if caption_video is not None:
            raise ConfigError("--caption-video needs --scores")
        source, split = _find_table(adapter, dataset, data, split)
    clip, bank = (None if name is None else Path(name) for name in (backbone, query_bank))
    inputs = [source, caption_video, against, bank, adapter, clip, videos]
    _check_outputs(ranks, report, output, inputs, overwrite=overwrite)
    if scores is not None:
        result = _evaluate_scores(scores, caption_video, query_bank, dual_softmax, against)
    else:
        from mvadapter.evaluation.evaluate import evaluate
        from mvadapter.isolation import Isolation

        with _progress(world) as advance:
            result = evaluate(
                adapter,
                source,
                backbone=backbone,
                videos=videos,
                split=split,
                query_bank=query_bank,
                dual_softmax=dual_softmax,
                against=against,
                unreadable=unreadable,
                isolation=Isolation() if isolate else None,
                precision=precision,
                device=device,
                world=world,
                on_progress=advance,
            )
    if world.index > 0:
        return
    # First of all, so that it is not lost where a file cannot be written after all.
    _show(result, as_json=as_json)
    if ranks is not None:
        write_rank_table(ranks, rank_table(result))
    if report is not None:
        write_report(report, result)
    if output is not None:
        _write_result(output, result)
    if result.data.dropped:
        raise typer.Exit(1)


def _check_outputs(
    ranks: Path | None,
    report: Path | None,
    output: Path | None,
    inputs: Sequence[Path | None],
    *,
    overwrite: bool,
) -> None:
    from mvadapter.data.folder import find_table
    from mvadapter.evaluation.rank_table import RANK_SUFFIXES, is_rank_table
    from mvadapter.evaluation.report import is_report

    # A folder stands for the table in it, and for the captions beside its videos.
    inputs = [*inputs, *(find_table(path) for path in inputs if path is not None)]
    for path, suffixes, is_ours in (
        (ranks, RANK_SUFFIXES, is_rank_table),
        (report, (".html", ".htm"), is_report),
        (output, (".json",), _is_result),
    ):
        if path is not None:
            check_output(path, suffixes, inputs, is_ours=is_ours, overwrite=overwrite)


def _is_result(path: Path) -> bool:
    """Whether a file is the result of an evaluation as JSON."""
    from mvadapter.documents.text import DocumentKind
    from mvadapter.documents.values import read_json_object

    kind = DocumentKind(error=DataError, expected="a result (JSON)", advice="choose another file")
    try:
        return {"protocol", "confidence_percent"} <= read_json_object(path, kind).keys()
    except DataError:
        return False


def _adapter_and_dataset(
    adapter: Path | None, dataset: DatasetName | None
) -> tuple[Path | None, DatasetName | None]:
    """Read a single argument that names a dataset as the dataset, for the frozen CLIP."""
    if adapter is None or dataset is not None or adapter.exists() or str(adapter) not in DATASETS:
        return adapter, dataset
    return None, cast("DatasetName", str(adapter))


def _refuse_with_scores(options: dict[str, object]) -> None:
    """Refuse options that have no effect on a score matrix."""
    for name, value in options.items():
        if value is not None:
            raise ConfigError(f"{name} cannot be combined with --scores")


def _find_table(
    adapter: Path | None, dataset: DatasetName | None, data: Path | None, split: str | None
) -> tuple[Path, str | None]:
    """The table to evaluate on, and the split: the option's, or the dataset's test split."""
    if dataset is not None:
        from mvadapter.datasets.prepare import find_prepared

        return find_prepared(DATASETS[dataset], data), split or DATASETS[dataset].test_split
    if data is None:
        raise ConfigError(
            f"no data to evaluate {adapter or 'the frozen CLIP'} on; name a dataset "
            f"({', '.join(DATASETS)}), or use --data (a table or folder) or --scores (a .npy "
            f"matrix)"
        )
    return data, split


def _evaluate_scores(
    scores: Path,
    caption_video: Path | None,
    query_bank: str | None,
    dual_softmax: float | None,
    against: Path | None,
) -> "EvaluationResult":
    from mvadapter.evaluation.evaluate_scores import evaluate_scores
    from mvadapter.evaluation.score_files import read_caption_video, read_scores

    return evaluate_scores(
        read_scores(scores),
        None if caption_video is None else read_caption_video(caption_video),
        name=scores.name,
        bank_scores=None if query_bank is None else read_scores(Path(query_bank)),
        dual_softmax=dual_softmax,
        against=against,
    )


def _progress(world: "World") -> AbstractContextManager[console.Advance]:
    """Show progress once for all processes."""
    if world.index == 0:
        return console.progress("embedding videos")
    return nullcontext(lambda _done, _total, _note="": None)


def _write_result(path: Path, result: "EvaluationResult") -> None:
    import json

    from mvadapter.files import write_text

    write_text(path, json.dumps(result.to_dict(), indent=2) + "\n")


def _show(result: "EvaluationResult", *, as_json: bool) -> None:
    if as_json:
        console.print_json(result.to_dict())
    else:
        _print_tables(result)
    for name, reason in result.data.skipped.items():
        console.inform(f"skipped {name}: {reason}")


def _print_tables(result: "EvaluationResult") -> None:
    def recall(direction: "DirectionResult", name: str) -> str:
        interval = direction.intervals[name]
        return f"{getattr(direction.metrics, name):.1f}\n{interval.low:.1f}-{interval.high:.1f}"

    title = [f"{result.encoder}: {result.num_captions} captions, {result.num_videos} videos"]
    if dropped := result.data.dropped:
        title.append(
            f"{result.data.split} minus {len(dropped)}: {sum(dropped.values())} queries dropped"
        )
    console.print_table(
        title,
        ["", "R@1", "R@5", "R@10", "Sum", "MdR", "MnR"],
        [
            [
                label,
                *(recall(direction, name) for name in direction.intervals),
                f"{direction.metrics.recall_sum:.1f}",
                f"{direction.metrics.median_rank:.1f}",
                f"{direction.metrics.mean_rank:.1f}",
            ]
            for label, direction in result.labelled()
        ],
    )
    console.inform(
        f"below each recall: its {result.confidence_percent:g} % bootstrap interval over queries"
    )
    if result.against is not None:
        _print_differences(result.against, result.labels())
    for note in result.notes():
        console.inform(f"note: {note}")


def _print_differences(against: "AgainstResult", labels: dict[str, str]) -> None:
    def cell(difference: "Difference") -> str:
        bounds = f"{difference.low:+.1f} to {difference.high:+.1f}"
        return f"{difference.mean:+.1f}\n{bounds}\np {difference.p_text}"

    console.print_table(
        f"Recall minus that of {against.ranks}, by a paired bootstrap over the same queries",
        ["", "R@1", "R@5", "R@10"],
        [[label, *map(cell, against.differences[name].values())] for name, label in labels.items()],
    )
