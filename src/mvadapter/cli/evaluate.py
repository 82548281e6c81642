"""``mvadapter evaluate``: an adapter and data, or a matrix of scores, in; a table out."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

import typer

from mvadapter.cli import console
from mvadapter.cli.data import prepared_table
from mvadapter.data.datasets import DATASETS, DatasetName
from mvadapter.errors import ConfigError, DataError

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from mvadapter.data.records import Record
    from mvadapter.encoder.encode import Encoder
    from mvadapter.encoder.precision import Precision, PrecisionChoice
    from mvadapter.evaluation.evaluate import UnreadablePolicy
    from mvadapter.evaluation.measure import Evaluation
    from mvadapter.scoring.blocks import ScoreBlocks
    from mvadapter.shapes import FrameImages
    from mvadapter.world import World


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Subject:
    """What is to be measured."""

    about: dict[str, Any]
    """What the result says of it."""
    scores: "ScoreBlocks"
    caption_video: "Tensor | np.ndarray"
    captions: Sequence[str]
    """What each caption is called."""
    videos: Sequence[str]
    """What each video is called."""
    bank: "ScoreBlocks | None"
    """The scores of the captions of a query bank."""
    records: "Sequence[Record]" = ()
    """Whose videos these are; none for a matrix of scores."""
    skipped: dict[str, str] = field(default_factory=dict)
    """Videos that give no frames, and why."""
    dropped: dict[str, int] = field(default_factory=dict)
    """These and the ones that had no file when the table was made, with their captions' number."""


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
    from mvadapter.data.folder import read_records
    from mvadapter.evaluation.measure import CONFIDENCE_PERCENT, evaluate_scores
    from mvadapter.evaluation.rank_table import (
        check_rank_suffix,
        compare_ranks,
        rank_table,
        read_rank_table,
        write_rank_table,
    )
    from mvadapter.world import World

    # Before the work, which may take hours.
    if ranks is not None:
        check_rank_suffix(ranks)
    other_ranks = None if against is None else read_rank_table(against)
    if dataset is not None and scores is None:
        data = prepared_table(dataset, data)
        split = split or DATASETS[dataset].test_split
    if data is not None and caption_video is not None:
        raise ConfigError("--caption-video belongs to --scores; a table names its own videos")
    world = World.from_environment()
    if scores is not None and data is None:
        _refuse_beside_scores({
            "ADAPTER": adapter, "DATASET": dataset, "--videos": videos, "--split": split,
            "--backbone": backbone,
        })  # fmt: skip
        subject = _read_scores(scores, caption_video, query_bank)
    elif data is not None and scores is None:
        everything, training = read_records(data, videos), _training_of(adapter)
        records = _choose_split(training, data, everything, split)
        bank = _choose_bank(data, everything, query_bank, records[0].split)
        with world.joined():
            encoder = _load_encoder(adapter, backbone, device, world)
            subject = _embed(encoder, data, records, bank, unreadable, precision, world)
        subject.about.update(
            selection=training.get("selection"),
            trained_on=_trained_on(training, everything, records),
        )
    else:
        raise ConfigError("give either --data (a table or a folder) or --scores (a .npy matrix)")
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


def _refuse_beside_scores(options: dict[str, object]) -> None:
    """Refuse what a matrix of scores has no use for, rather than pass over it."""
    for name, value in options.items():
        if value is not None:
            raise ConfigError(f"{name} says nothing about --scores, which are measured as they are")


def _training_of(adapter: Path | None) -> dict[str, Any]:
    """What an adapter folder says of its training; nothing for the frozen CLIP."""
    from mvadapter.encoder.checkpoint import read_record

    return {} if adapter is None else read_record(adapter).training


def _choose_split(
    training: dict[str, Any], data: Path, records: "list[Record]", split: str | None
) -> "list[Record]":
    from mvadapter.errors import UnknownNameError

    splits = {record.split for record in records}
    if split is None:
        usual = training.get("recipe", {}).get("data", {}).get("test_split", "test")
        split = next(iter(splits)) if len(splits) == 1 else usual
    if split not in splits:
        raise UnknownNameError(f"split of {data}", split, splits)
    return [record for record in records if record.split == split]


def _choose_bank(
    data: Path, records: "list[Record]", split: str | None, evaluated: str
) -> tuple[str, ...]:
    """The captions of the split that is to be the query bank."""
    if split is None:
        return ()
    if split == evaluated:
        raise ConfigError(
            f"--query-bank {split} is the split that is evaluated; a bank holds training captions"
        )
    bank = _choose_split({}, data, records, split)
    return tuple(caption for record in bank for caption in record.captions)


def _trained_on(
    training: dict[str, Any], everything: "list[Record]", evaluated: "list[Record]"
) -> int:
    """How many of the evaluated videos are in the split that the adapter was trained on.

    Splits of one dataset may overlap: MSR-VTT's 9k train split holds most of its full test split.
    """
    split = training.get("recipe", {}).get("data", {}).get("train_split", "train")
    if not training:
        return 0
    trained = {record.video for record in everything if record.split == split}
    return len(trained & {record.video for record in evaluated})


def _load_encoder(
    adapter: Path | None, backbone_name: str | None, device: str, world: "World"
) -> "Encoder":
    from mvadapter.adapters.build import build_adapter
    from mvadapter.adapters.frozen import FrozenConfig
    from mvadapter.backbone.clip import Backbone
    from mvadapter.encoder.checkpoint import load_adapter, read_record
    from mvadapter.encoder.encode import Encoder

    if device == "cuda" and world.size > 1:
        device = f"cuda:{world.local_index}"
    if adapter is None:
        backbone = Backbone.load(backbone_name or "tiny", device=device)
        return Encoder(backbone, build_adapter(FrozenConfig(), backbone))
    named = read_record(adapter).base_model_name_or_path
    return load_adapter(adapter, Backbone.load(backbone_name or named, device=device))


def _embed(
    encoder: "Encoder",
    data: Path,
    records: "list[Record]",
    bank: Sequence[str],
    unreadable: "UnreadablePolicy",
    precision: "PrecisionChoice",
    world: "World",
) -> _Subject:
    from mvadapter.data.origin import missing_captions, read_origin
    from mvadapter.data.records import fingerprint
    from mvadapter.encoder.precision import choose_precision
    from mvadapter.evaluation.evaluate import EmbeddingSettings, embed_captions, embed_records
    from mvadapter.evaluation.frames import open_frames
    from mvadapter.scoring.blocks import ScoreBlocks

    origin, split = read_origin(data), records[0].split
    missing = missing_captions(data, split)
    about: dict[str, Any] = {
        "encoder": f"{encoder.adapter.config.name} on {encoder.backbone.name}",
        "split": split,
        "data_fingerprint": fingerprint(records),
    }
    dataset = None if origin is None else DATASETS.get(origin.dataset)
    if dataset is not None and dataset.joins_captions:
        about["protocol"] = "paragraph"
    # Each process would time its own; all take what the first one found.
    choices = world.gather_lines([choose_precision(precision, encoder)])
    with (
        open_frames(encoder, records, data) as loader,
        _progress(world) as advance,
    ):
        settings = EmbeddingSettings(
            precision=cast("Precision", choices[0]),
            unreadable=unreadable,
            on_progress=advance,
            world=world,
        )
        embedded = embed_records(encoder, records, loader, settings)
        bank_captions = embed_captions(encoder, bank, settings)
    return _Subject(
        about=about,
        scores=embedded.scores,
        caption_video=embedded.caption_video,
        captions=[caption for record in embedded.kept for caption in record.captions],
        videos=[record.id for record in embedded.kept],
        bank=ScoreBlocks.of_embeddings(bank_captions, embedded.videos) if bank else None,
        records=embedded.kept,
        skipped={record.id: reason for record, reason in embedded.skipped},
        dropped=missing | {record.id: len(record.captions) for record, _ in embedded.skipped},
    )


def _progress(world: "World") -> AbstractContextManager[console.Advance]:
    """Show how far it is, once for all processes."""
    if world.index == 0:
        return console.progress("embedding videos")
    return nullcontext(lambda _done, _total, _note="": None)


def _read_scores(scores: Path, caption_video: Path | None, query_bank: str | None) -> _Subject:
    import numpy as np

    from mvadapter.scoring.blocks import ScoreBlocks

    matrix = _read_matrix(scores)
    if caption_video is not None:
        owners = _read_array(caption_video)
    elif matrix.shape[0] == matrix.shape[1]:
        owners = np.arange(len(matrix))
    else:
        raise DataError(
            f"{scores}: {matrix.shape[0]} captions and {matrix.shape[1]} videos; say with "
            f"--caption-video which video each caption belongs to"
        )
    if owners.dtype.kind not in "iu":
        raise DataError(f"{caption_video}: videos must be whole numbers, got {owners.dtype}")
    bank = None if query_bank is None else _read_matrix(Path(query_bank))
    return _Subject(
        about={"encoder": scores.name, "selection": None},
        scores=ScoreBlocks.of_matrix(matrix),
        caption_video=owners.astype(np.int64),
        captions=[f"caption {number}" for number in range(matrix.shape[0])],
        videos=[f"video {number}" for number in range(matrix.shape[1])],
        bank=None if bank is None else ScoreBlocks.of_matrix(bank),
    )


def _read_matrix(path: Path) -> "np.ndarray":
    matrix = _read_array(path)
    if matrix.dtype.kind not in "fiu":
        raise DataError(f"{path}: scores must be numbers, got {matrix.dtype}")
    if matrix.ndim != 2:
        raise DataError(f"{path}: scores must be [caption video], got {list(matrix.shape)}")
    return matrix


def _read_array(path: Path) -> "np.ndarray":
    import numpy as np

    try:
        # Where it lies: a matrix may be larger than memory.
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file; expected a .npy matrix") from error
    except (ValueError, EOFError, OSError) as error:
        raise DataError(f"{path}: not a .npy array of numbers ({error})") from error


def _result(
    subject: _Subject, evaluation: "Evaluation", temperature: float | None
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
    if evaluation.dual_softmax is not None:
        result["dual_softmax"] = {
            "temperature": temperature,
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
    path: Path, result: dict[str, Any], evaluation: "Evaluation", subject: _Subject
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
