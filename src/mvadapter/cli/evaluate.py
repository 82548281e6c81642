"""``mvadapter evaluate``: an adapter and data, or a matrix of scores, in; a table out."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from mvadapter.cli import console
from mvadapter.cli.data import prepared_table
from mvadapter.data.datasets import DATASETS, DatasetName
from mvadapter.errors import ConfigError, DataError

if TYPE_CHECKING:
    import numpy as np

    from mvadapter.data.records import Record
    from mvadapter.encoder.precision import PrecisionChoice
    from mvadapter.evaluation.evaluate import UnreadablePolicy
    from mvadapter.evaluation.metrics import RetrievalReport


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
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Also write the JSON to this file.")
    ] = None,
    precision: Annotated[
        Literal["auto", "float32", "bfloat16"], typer.Option(help="Of the arithmetic.")
    ] = "float32",
    device: Annotated[str, typer.Option(help="Where to compute, as torch names it.")] = "cpu",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Measure retrieval in both directions."""
    if dataset is not None and scores is None:
        data = prepared_table(dataset, data)
        split = split or DATASETS[dataset].test_split
    if data is not None and caption_video is not None:
        raise ConfigError("--caption-video belongs to --scores; a table names its own videos")
    if scores is not None and data is None:
        _refuse_beside_scores({
            "ADAPTER": adapter, "DATASET": dataset, "--videos": videos, "--split": split,
            "--backbone": backbone,
        })  # fmt: skip
        result = _evaluate_scores(scores, caption_video)
    elif data is not None and scores is None:
        records = _choose_split(adapter, data, videos, split)
        result = _evaluate_records(adapter, backbone, data, records, unreadable, precision, device)
    else:
        raise ConfigError("give either --data (a table or a folder) or --scores (a .npy matrix)")
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


def _refuse_beside_scores(options: dict[str, object]) -> None:
    """Refuse what a matrix of scores has no use for, rather than pass over it."""
    for name, value in options.items():
        if value is not None:
            raise ConfigError(f"{name} says nothing about --scores, which are measured as they are")


def _choose_split(
    adapter: Path | None, data: Path, videos: Path | None, split: str | None
) -> "list[Record]":
    from mvadapter.data.folder import read_records
    from mvadapter.encoder.checkpoint import read_record
    from mvadapter.errors import UnknownNameError

    records = read_records(data, videos)
    splits = {record.split for record in records}
    if split is None:
        training = {} if adapter is None else read_record(adapter).training
        usual = training.get("recipe", {}).get("data", {}).get("test_split", "test")
        split = next(iter(splits)) if len(splits) == 1 else usual
    if split not in splits:
        raise UnknownNameError(f"split of {data}", split, splits)
    return [record for record in records if record.split == split]


def _evaluate_records(
    adapter: Path | None,
    backbone_name: str | None,
    data: Path,
    records: "list[Record]",
    unreadable: "UnreadablePolicy",
    precision: "PrecisionChoice",
    device: str,
) -> dict[str, Any]:
    from mvadapter.adapters.build import build_adapter
    from mvadapter.adapters.frozen import FrozenConfig
    from mvadapter.backbone.clip import Backbone
    from mvadapter.data.origin import missing_captions
    from mvadapter.data.records import fingerprint
    from mvadapter.encoder.checkpoint import load_adapter, read_record
    from mvadapter.encoder.encode import Encoder
    from mvadapter.encoder.precision import choose_precision
    from mvadapter.evaluation.evaluate import EmbeddingSettings, embed_records
    from mvadapter.evaluation.frames import open_frames

    if adapter is None:
        backbone = Backbone.load(backbone_name or "tiny", device=device)
        encoder = Encoder(backbone, build_adapter(FrozenConfig(), backbone))
        training: dict[str, Any] = {}
    else:
        record = read_record(adapter)
        backbone = Backbone.load(backbone_name or record.base_model_name_or_path, device=device)
        encoder, training = load_adapter(adapter, backbone), record.training
    with (
        open_frames(encoder, records, data) as loader,
        console.progress("embedding videos") as advance,
    ):
        settings = EmbeddingSettings(
            precision=choose_precision(precision, encoder),
            unreadable=unreadable,
            on_progress=advance,
        )
        embedded = embed_records(encoder, records, loader, settings)
    missing = missing_captions(data, records[0].split)
    return {
        "encoder": f"{encoder.adapter.config.name} on {backbone.name}",
        "selection": training.get("selection"),
        "split": records[0].split,
        "data_fingerprint": fingerprint(records),
        **_report_table(embedded.report(), len(embedded.videos)),
        "skipped": {record.id: reason for record, reason in embedded.skipped},
        "missing": list(missing),
        "dropped_videos": len(missing) + len(embedded.skipped),
        "dropped_queries": sum(missing.values())
        + sum(len(record.captions) for record, _ in embedded.skipped),
    }


def _evaluate_scores(scores: Path, caption_video: Path | None) -> dict[str, Any]:
    import numpy as np

    from mvadapter.evaluation.metrics import retrieval_metrics

    matrix = _read_array(scores)
    owners = np.arange(len(matrix)) if caption_video is None else _read_array(caption_video)
    if matrix.dtype.kind not in "fiu" or owners.dtype.kind not in "iu":
        raise DataError(
            f"{scores}: scores must be numbers and videos whole numbers, got {matrix.dtype} and "
            f"{owners.dtype}"
        )
    if caption_video is None and matrix.ndim == 2 and matrix.shape[0] != matrix.shape[1]:
        raise DataError(
            f"{scores}: {matrix.shape[0]} captions and {matrix.shape[1]} videos; say with "
            f"--caption-video which video each caption belongs to"
        )
    report = retrieval_metrics(matrix.astype(np.float64), owners.astype(np.int64))
    return {
        "encoder": scores.name,
        "selection": None,
        **_report_table(report, matrix.shape[1]),
        "skipped": {},
        "dropped_videos": 0,
    }


def _read_array(path: Path) -> "np.ndarray":
    import numpy as np

    try:
        return np.load(path, allow_pickle=False)
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file; expected a .npy matrix") from error
    except (ValueError, EOFError, OSError) as error:
        raise DataError(f"{path}: not a .npy array of numbers ({error})") from error


def _report_table(report: "RetrievalReport", num_videos: int) -> dict[str, Any]:
    import dataclasses

    table = dataclasses.asdict(report)
    for direction, metrics in table.items():
        metrics["recall_sum"] = getattr(report, direction).recall_sum
    return {"num_videos": num_videos, "num_captions": report.text_to_video.num_queries, **table}


def _print_table(result: dict[str, Any]) -> None:
    directions = {
        "text_to_video": "text to video",
        "video_to_text": "video to text, best caption of each video",
        "video_to_text_all_captions": "video to text, all captions",
    }
    if result["num_captions"] == result["num_videos"]:
        # With one caption a video the two protocols are one.
        directions = {"text_to_video": "text to video", "video_to_text": "video to text"}
    rows = [
        [
            label,
            *(f"{result[key][f'recall_at_{k}']:.1f}" for k in (1, 5, 10)),
            f"{result[key]['recall_sum']:.1f}",
            f"{result[key]['median_rank']:.1f}",
            f"{result[key]['mean_rank']:.1f}",
        ]
        for key, label in directions.items()
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
    selection = result["selection"] or ""
    if selection.startswith("TEST"):
        console.say(f"note: the adapter was chosen on the {selection}")
