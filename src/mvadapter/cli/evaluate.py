"""``mvadapter evaluate``: an adapter and data, or a matrix of scores, in; a table out."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

import typer

from mvadapter.cli import console
from mvadapter.cli.data import prepared_table
from mvadapter.cli.subject import Request, Subject, subject_of_dataset, subject_of_scores
from mvadapter.datasets.catalog import DATASETS, DatasetName
from mvadapter.errors import ConfigError

if TYPE_CHECKING:
    from mvadapter.evaluation.measure import Evaluation
    from mvadapter.shapes import FrameImages


def evaluate(
    adapter: Annotated[
        Path | None, typer.Argument(help="An adapter folder; without one, the frozen CLIP.")
    ] = None,
    dataset: Annotated[
        DatasetName | None,
        typer.Argument(help="A dataset, as 'data prepare' wrote it to DATASET.parquet or --data."),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(help="A table (CSV, JSONL, Parquet) or a folder of videos with captions."),
    ] = None,
    videos: Annotated[
        Path | None, typer.Option(help="The folder that the table's video names start from.")
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(
            help="Which rows; by default the test split of the dataset or of the adapter's recipe, "
            "or the only one."
        ),
    ] = None,
    backbone: Annotated[
        str | None,
        typer.Option(help="The CLIP; by default the adapter's own, or 'tiny' without an adapter."),
    ] = None,
    scores: Annotated[
        Path | None,
        typer.Option(help="Instead of data: scores of captions x videos, a .npy matrix."),
    ] = None,
    caption_video: Annotated[
        Path | None,
        typer.Option(help="With --scores: each caption's video, .npy; by default caption i has i."),
    ] = None,
    unreadable: Annotated[
        Literal["error", "skip"],
        typer.Option(help="A video without frames is an 'error', or 'skip' it and say so."),
    ] = "error",
    dual_softmax: Annotated[
        float | None,
        typer.Option(
            metavar="TEMPERATURE",
            help="Also report a dual softmax, by this factor on the scores (100 suits cosines; its "
            "reciprocal says the same). It looks at all queries: transductive.",
        ),
    ] = None,
    query_bank: Annotated[
        str | None,
        typer.Option(
            metavar="SPLIT|FILE",
            help="Also report QB-Norm, text to video, with the captions of this split (such as "
            "'train') as its bank; with --scores, their scores of the same videos, .npy.",
        ),
    ] = None,
    ranks: Annotated[
        Path | None,
        typer.Option(help="Write each query's rank to this file (.csv, .jsonl, .parquet)."),
    ] = None,
    against: Annotated[
        Path | None,
        typer.Option(help="Test the recalls against another's --ranks, query by query."),
    ] = None,
    report: Annotated[
        Path | None, typer.Option(help="Write a page to read in a browser to this file (.html).")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Also write the JSON to this file.")
    ] = None,
    precision: Annotated[
        Literal["auto", "float32", "bfloat16"], typer.Option(help="Of the arithmetic.")
    ] = "float32",
    device: Annotated[str, typer.Option(help="Where to compute, as torch names it.")] = "cpu",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Measure retrieval in both directions, with 95 % bootstrap intervals.

    Several processes share the work when torchrun starts them; the numbers are the same.
    """
    from mvadapter.data.folder import find_table
    from mvadapter.evaluation.measure import CONFIDENCE_PERCENT, evaluate_scores
    from mvadapter.evaluation.rank_table import (
        compare_ranks,
        rank_table,
        read_rank_table,
        write_rank_table,
    )
    from mvadapter.world import World

    _check_files(ranks, report, output)
    other_ranks = None if against is None else read_rank_table(against)
    adapter, dataset = _tell_apart(adapter, dataset)
    if dataset is not None and scores is None:
        data, split = prepared_table(dataset, data), split or DATASETS[dataset].test_split
    world = World.from_environment()
    if scores is not None and data is None:
        _refuse(scores, {
            "ADAPTER": adapter, "DATASET": dataset, "--videos": videos, "--split": split,
            "--backbone": backbone,
        })  # fmt: skip
        subject = subject_of_scores(scores, caption_video, query_bank)
    elif data is not None and scores is None:
        _refuse(data, {"--caption-video": caption_video})
        request = Request(
            adapter=adapter,
            backbone=backbone,
            table=find_table(data),
            videos=videos,
            split=split,
            query_bank=query_bank,
            unreadable=unreadable,
            precision=precision,
            device=device,
        )
        subject = subject_of_dataset(request, world)
    elif scores is not None:
        raise ConfigError("give either --data (a table or a folder) or --scores (a .npy matrix)")
    else:
        raise ConfigError(
            f"nothing to measure {adapter or 'the frozen CLIP'} on; name a dataset "
            f"({', '.join(DATASETS)}), or give either --data (a table or a folder) or --scores (a "
            f".npy matrix)"
        )
    if world.index > 0:
        return
    evaluation = evaluate_scores(
        subject.scores, subject.caption_video, temperature=dual_softmax, bank=subject.bank
    )
    result = _result(subject, evaluation, dual_softmax)
    table = rank_table(evaluation.plain, subject.captions, subject.videos)
    if other_ranks is not None:
        differences = compare_ranks(table, other_ranks, confidence_percent=CONFIDENCE_PERCENT)
        result["against"] = {"ranks": str(against), "differences": differences}
    if ranks is not None:
        write_rank_table(ranks, table)
    if report is not None:
        _write_report(report, result, evaluation, subject)
    _show(result, output, as_json=as_json)


def _check_files(ranks: Path | None, report: Path | None, output: Path | None) -> None:
    """Refuse what cannot be written to before the work, which may take hours."""
    from mvadapter.evaluation.rank_table import check_rank_suffix

    for path in (ranks, report, output):
        if path is not None and path.is_dir():
            raise ConfigError(f"{path}: is a folder; name a file to write")
    if ranks is not None:
        check_rank_suffix(ranks)


def _tell_apart(
    adapter: Path | None, dataset: "DatasetName | None"
) -> "tuple[Path | None, DatasetName | None]":
    """Take a dataset that is named alone for what it is: the frozen CLIP's, not an adapter."""
    if adapter is None or dataset is not None or adapter.exists() or str(adapter) not in DATASETS:
        return adapter, dataset
    return None, cast("DatasetName", str(adapter))


def _refuse(what: Path, options: dict[str, object]) -> None:
    """Refuse options that say nothing about what is measured, rather than pass over them."""
    for name, value in options.items():
        if value is not None:
            raise ConfigError(f"{name} says nothing about {what}, which is measured as it is")


def _result(
    subject: Subject, evaluation: "Evaluation", temperature: float | None
) -> dict[str, Any]:
    """All numbers as plain values; those of a re-ranking stand apart from the plain ones."""
    from mvadapter.evaluation.measure import (
        CONFIDENCE_PERCENT,
        direction_table,
        directions_table,
        protocol_of,
    )

    result = {
        "protocol": protocol_of(evaluation.plain),
        **subject.about,
        "num_videos": subject.scores.num_videos,
        "num_captions": subject.scores.num_captions,
        "confidence_percent": CONFIDENCE_PERCENT,
        **directions_table(evaluation.plain),
    }
    if evaluation.dual_softmax is not None and temperature is not None:
        result["dual_softmax"] = {
            # The factor that was applied, whichever of the two ways it was given in.
            "temperature": max(temperature, 1 / temperature),
            "is_transductive": True,
            **directions_table(evaluation.dual_softmax),
        }
    if evaluation.query_bank_norm is not None and subject.bank is not None:
        result["query_bank_norm"] = {
            "num_bank_captions": subject.bank.num_captions,
            "is_transductive": False,
            "text_to_video": direction_table(evaluation.query_bank_norm),
        }
    return {
        **result,
        "skipped": subject.skipped,
        "missing": [video for video in subject.dropped if video not in subject.skipped],
        "dropped_videos": len(subject.dropped),
        "dropped_queries": sum(subject.dropped.values()),
    }


def _write_report(
    path: Path, result: dict[str, Any], evaluation: "Evaluation", subject: Subject
) -> None:
    from mvadapter.errors import VideoError
    from mvadapter.evaluation.report import FRAMES_PER_STRIP, Names, write_report
    from mvadapter.video.decode import read_segment

    def frames(video: int) -> "FrameImages | None":
        if not subject.records:
            return None
        record = subject.records[video]
        span = record.start_seconds, record.end_seconds
        try:
            return read_segment(record.video, FRAMES_PER_STRIP, *span).images
        except VideoError:
            # It was embedded all the same, from a cache of frames; the page can do without.
            return None

    names = Names(captions=subject.captions, videos=subject.videos, frames=frames)
    write_report(path, result, evaluation.plain, names)


def _show(result: dict[str, Any], output: Path | None, *, as_json: bool) -> None:
    """Write and print the result, and end with 1 where something is left out of it."""
    if output is not None:
        import json

        from mvadapter.files import write_text

        write_text(output, json.dumps(result, indent=2) + "\n")
    if as_json:
        console.print_json(result)
    else:
        _print_table(result)
    for name, reason in result["skipped"].items():
        console.say(f"skipped {name}: {reason}")
    if result["dropped_videos"]:
        raise typer.Exit(1)


def _print_table(result: dict[str, Any]) -> None:
    from mvadapter.evaluation.measure import direction_labels, labelled_directions

    def recall(direction: dict[str, Any], key: str) -> str:
        interval = direction["intervals"][key]
        return f"{direction[key]:.1f}\n{interval['low']:.1f}-{interval['high']:.1f}"

    rows = [
        [
            label,
            *(recall(direction, f"recall_at_{k}") for k in (1, 5, 10)),
            f"{direction['recall_sum']:.1f}",
            f"{direction['median_rank']:.1f}",
            f"{direction['mean_rank']:.1f}",
        ]
        for label, direction in labelled_directions(result)
    ]
    title = f"{result['encoder']}: {result['num_captions']} captions, {result['num_videos']} videos"
    if result["dropped_videos"]:
        title += (
            f"\n{result['split']} minus {result['dropped_videos']}: "
            f"{result['dropped_queries']} queries dropped"
        )
    console.print_table(
        title,
        ["", "R@1", "R@5", "R@10", "Sum", "MdR", "MnR"],
        rows,
    )
    console.say(
        f"below each recall, its {result['confidence_percent']:g} % bootstrap interval over queries"
    )
    if "against" in result:
        _print_differences(result["against"], direction_labels(result["protocol"]))
    selection = result["selection"] or ""
    if selection.startswith("TEST"):
        console.say(f"note: the adapter was chosen on the {selection}")
    if result.get("trained_on"):
        console.say(
            f"note: the adapter was trained on {result['trained_on']} of these "
            f"{result['num_videos']} videos; its numbers on them are not those of new ones"
        )


def _print_differences(against: dict[str, Any], labels: dict[str, str]) -> None:
    def cell(difference: dict[str, float]) -> str:
        bounds = f"{difference['low']:+.1f} to {difference['high']:+.1f}"
        return f"{difference['mean']:+.1f}\n{bounds}\np {difference['p_value']:.3f}"

    console.print_table(
        f"Recall minus that of {against['ranks']}, by a paired bootstrap over the same queries",
        ["", "R@1", "R@5", "R@10"],
        [
            [label, *(cell(against["differences"][key][f"recall_at_{k}"]) for k in (1, 5, 10))]
            for key, label in labels.items()
        ],
    )
