"""``mvadapter data``: a dataset's annotations and videos in, a table or a report on them out."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from mvadapter.cli import console
from mvadapter.datasets.catalog import DATASETS, DatasetName
from mvadapter.errors import ConfigError
from mvadapter.workers import default_num_workers

if TYPE_CHECKING:
    from mvadapter.data.frame_store import StoreReport
    from mvadapter.data.frames import FrameSettings
    from mvadapter.datasets.check import CheckReport, CountCut
    from mvadapter.datasets.prepare import Prepared

_SHOWN_PROBLEMS = 10

data = typer.Typer(
    help="Prepare and check the datasets that papers report on.", no_args_is_help=True
)

DatasetArgument = Annotated[DatasetName, typer.Argument(help="Which dataset.")]
AnnotationsOption = Annotated[
    Path, typer.Option(help="The folder with the dataset's annotation files, as published.")
]


@data.command("prepare")
def prepare(
    dataset: DatasetArgument,
    annotations: AnnotationsOption,
    videos: Annotated[
        Path, typer.Option(help="The folder with its video files, in folders or not.")
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="The table (CSV, JSONL, Parquet); by default DATASET.parquet."
        ),
    ] = None,
    split: Annotated[
        list[str] | None,
        typer.Option(help="A split; by default all whose files are there. Repeatable."),
    ] = None,
    missing: Annotated[
        Literal["error", "skip"],
        typer.Option(help="A video without a file is an 'error', or 'skip' it; results say so."),
    ] = "error",
    frames: Annotated[
        bool,
        typer.Option("--frames", help="Also decode every video once and store its frames."),
    ] = False,
    num_frames: Annotated[
        int | None,
        typer.Option(help="With --frames: how many a video. [default: the dataset's]", min=1),
    ] = None,
    sampling: Annotated[
        Literal["uniform", "left-edge", "head", "tail"] | None,
        typer.Option(help="With --frames: which ones. [default: the dataset's]"),
    ] = None,
    image_px: Annotated[
        int, typer.Option(help="With --frames: side of the square that the CLIP takes.", min=1)
    ] = 224,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Write one table that every other command reads; stop --frames with Ctrl-C and go on later."""
    from mvadapter.backbone.recipes import Resize
    from mvadapter.data.frames import FrameSettings
    from mvadapter.data.table import check_suffix
    from mvadapter.datasets.annotations import AnnotationFolder
    from mvadapter.datasets.find import VideoFiles
    from mvadapter.datasets.prepare import find_records, write_prepared

    if not frames and (num_frames or sampling):
        raise ConfigError("--num-frames and --sampling say which --frames are stored; add it")
    row = DATASETS[dataset]
    table = output or row.default_table
    check_suffix(table)
    prepared = find_records(
        row, AnnotationFolder(annotations), VideoFiles(videos), splits=split or (), policy=missing
    )
    write_prepared(row, prepared, table, videos)
    stored = None
    if frames:
        settings = FrameSettings(
            num_frames=num_frames or row.num_frames,
            sampling=sampling or row.sampling,
            resize=Resize.crop(image_px),
        )
        stored = _store(prepared, table, settings)
    for name, reason in prepared.absent.items():
        console.say(f"left out {name}: {reason}")
    skipped = {} if stored is None else stored.skipped
    for name, reason in skipped.items():
        console.say(f"skipped {name}: {reason}")
    if as_json:
        console.print_json({
            "table": str(table),
            "splits": _prepared_counts(prepared),
            "absent": prepared.absent,
            "frames": None if stored is None else str(stored.folder),
            "skipped": skipped,
        })  # fmt: skip
    else:
        _print_prepared(row.title, prepared)
        console.say(f"table written to {console.show_path(table)}")
        if stored is not None:
            console.say(
                f"frames of {stored.num_stored} videos ({stored.num_new} new) in "
                f"{console.show_path(stored.folder)}, {stored.num_bytes / 2**20:.1f} MiB"
            )
    if prepared.absent or prepared.missing or skipped:
        raise typer.Exit(1)


@data.command("check")
def check(
    dataset: DatasetArgument,
    annotations: AnnotationsOption,
    videos: Annotated[
        Path | None,
        typer.Option(help="The folder with its video files; without, only annotations."),
    ] = None,
    backbone: Annotated[
        str | None,
        typer.Option(help="Count tokens with this CLIP's tokenizer; without, estimate by words."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Look for what is wrong with a dataset's files; exit code 1 when something is."""
    from mvadapter.datasets.annotations import AnnotationFolder
    from mvadapter.datasets.check import check_annotations, check_videos, count_long
    from mvadapter.datasets.find import VideoFiles

    row = DATASETS[dataset]
    files = None if videos is None else VideoFiles(videos)
    count_cut = count_long if backbone is None else _token_counter(backbone)
    report, captions = check_annotations(row, AnnotationFolder(annotations), count_cut)
    if files is not None:
        with console.progress("checking videos") as advance:
            check_videos(
                row, files, captions, report, num_workers=default_num_workers(), on_progress=advance
            )
    if as_json:
        console.print_json(_as_table(report))
    else:
        _print_report(row.title, report, is_estimate=backbone is None)
    if report.problems:
        raise typer.Exit(1)


def _store(prepared: "Prepared", table: Path, settings: "FrameSettings") -> "StoreReport":
    from mvadapter.data.frame_store import store_frames

    try:
        with console.progress("storing frames") as advance:
            return store_frames(
                table,
                prepared.records,
                settings,
                num_workers=default_num_workers(),
                on_progress=advance,
            )
    except KeyboardInterrupt as interrupt:
        console.say("stopped; the same command goes on from there")
        raise typer.Exit(130) from interrupt


def _prepared_counts(prepared: "Prepared") -> dict[str, Any]:
    counts: dict[str, Any] = {}
    for record in prepared.records:
        entry = counts.setdefault(record.split, {"videos": 0, "captions": 0})
        entry["videos"] += 1
        entry["captions"] += len(record.captions)
    for split, missing in prepared.missing.items():
        counts.setdefault(split, {"videos": 0, "captions": 0})["missing"] = list(missing)
    return counts


def _print_prepared(title: str, prepared: "Prepared") -> None:
    rows = [
        [split, str(entry["videos"]), str(entry["captions"]), str(len(entry.get("missing", ())))]
        for split, entry in _prepared_counts(prepared).items()
    ]
    console.print_table(title, ["split", "videos", "captions", "missing"], rows)


def _token_counter(backbone: str) -> "CountCut":
    from mvadapter.backbone.clip import Backbone

    tokenizer = Backbone.load(backbone).tokenizer

    def count_cut(captions: Any, max_tokens: int) -> int:  # noqa: ANN401 - a CountCut
        # One place more than there is room for: what fills it would be cut.
        _, mask = tokenizer.encode(captions, max_tokens + 1)
        return int(mask[:, max_tokens].sum())

    return count_cut


def _as_table(report: "CheckReport") -> dict[str, Any]:
    estimate = report.estimate
    return {
        "splits": {
            name: {"videos": part.found.videos, "captions": part.found.captions}
            for name, part in report.splits.items()
            if part.found is not None
        },
        "problems": [str(problem) for problem in report.problems],
        "cut_captions": {
            name: part.num_cut for name, part in report.splits.items() if part.found is not None
        },
        "frames": None
        if estimate is None
        else {
            "videos": estimate.num_videos,
            "seconds": round(estimate.seconds, 1),
            "bytes": estimate.num_bytes,
        },
    }


def _print_report(title: str, report: "CheckReport", *, is_estimate: bool) -> None:
    rows = []
    for name, part in report.splits.items():
        expected, found = part.expected, part.found
        seen = ["-", "-", "-"]
        if found is not None:
            seen = [str(found.videos), str(found.captions), str(part.num_cut)]
        rows.append([
            name, seen[0], str(expected.videos), seen[1], str(expected.captions), seen[2],
        ])  # fmt: skip
    cut = "too long, at least" if is_estimate else "too long"
    console.print_table(title, ["split", "videos", "expected", "captions", "expected", cut], rows)
    shown = []
    for kind in dict.fromkeys(problem.kind for problem in report.problems):
        texts = [problem.text for problem in report.problems if problem.kind == kind]
        shown += [[kind, text] for text in texts[:_SHOWN_PROBLEMS]]
        if len(texts) > _SHOWN_PROBLEMS:
            shown.append([kind, f"... and {len(texts) - _SHOWN_PROBLEMS} more; --json lists all"])
    if shown:
        console.print_table(
            f"Problems: {len(report.problems)}", ["kind", "what"], shown, text_columns=2
        )
    else:
        console.say("nothing is wrong")
    if report.estimate is not None:
        estimate = report.estimate
        console.say(
            f"storing the frames of {estimate.num_videos} videos would take about as long as this "
            f"check, {estimate.seconds:.0f} seconds, and {estimate.num_bytes / 2**20:.0f} MiB"
        )
