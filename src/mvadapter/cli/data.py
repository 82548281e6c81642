"""``mvadapter data``: a dataset's annotations and videos in, a table or a report out."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from mvadapter.cli import console
from mvadapter.cli.options import JsonOption, OverwriteOption
from mvadapter.cli.outputs import check_output
from mvadapter.datasets.catalog import DATASETS, DatasetName
from mvadapter.errors import ConfigError
from mvadapter.workers import default_num_workers

if TYPE_CHECKING:
    from mvadapter.backbone.recipes import Resize
    from mvadapter.data.frame_store import StoreReport
    from mvadapter.data.frames import FrameSettings
    from mvadapter.datasets.check import CheckReport
    from mvadapter.datasets.prepare import Prepared

_SHOWN_PROBLEMS = 3

data = typer.Typer(
    help="Prepare and check the datasets that papers report on.", no_args_is_help=True
)

DatasetArgument = Annotated[DatasetName, typer.Argument(help="Name of the dataset.")]
AnnotationsOption = Annotated[
    Path, typer.Option(help="Folder of the dataset's annotation files, as published.")
]


@data.command("prepare")
def prepare(
    dataset: DatasetArgument,
    annotations: AnnotationsOption,
    videos: Annotated[
        Path, typer.Option(help="Folder of the dataset's video files; subfolders are searched.")
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="Table (CSV, JSONL, Parquet). [default: DATASET.parquet]"
        ),
    ] = None,
    split: Annotated[
        list[str] | None,
        typer.Option(
            help="Split to prepare; repeatable. [default: every split with annotation files]"
        ),
    ] = None,
    missing: Annotated[
        Literal["error", "skip"],
        typer.Option(help="Stop with an error at a missing video, or skip and report it."),
    ] = "error",
    frames: Annotated[
        bool,
        typer.Option("--frames", help="Also decode every video and store its frames."),
    ] = False,
    num_frames: Annotated[
        int | None,
        typer.Option(help="With --frames: frames per video. [default: the dataset's]", min=1),
    ] = None,
    sampling: Annotated[
        Literal["uniform", "left-edge", "head", "tail"] | None,
        typer.Option(help="With --frames: how frames are chosen. [default: the dataset's]"),
    ] = None,
    backbone: Annotated[
        str | None,
        typer.Option(help="With --frames: CLIP that the frames are resized for, as in training."),
    ] = None,
    image_px: Annotated[
        int | None,
        typer.Option(
            help="With --frames, instead of --backbone: image size of an ordinary CLIP, in pixels. "
            "[default: 224]",
            min=1,
        ),
    ] = None,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
) -> None:
    """Write the table that the other commands read; run again to resume --frames."""
    from mvadapter.data.frames import FrameSettings
    from mvadapter.data.origin import check_origin, has_origin
    from mvadapter.data.table import TABLE_SUFFIXES
    from mvadapter.datasets.annotations import AnnotationFolder
    from mvadapter.datasets.find import VideoFiles
    from mvadapter.datasets.prepare import find_records, write_prepared

    if not frames and (num_frames or sampling or backbone or image_px):
        raise ConfigError("--num-frames, --sampling, --backbone and --image-px need --frames")
    if backbone and image_px:
        raise ConfigError("--image-px cannot be combined with --backbone, which has a size")
    row = DATASETS[dataset]
    table = output or row.default_table
    inputs = [annotations, videos]
    check_output(table, TABLE_SUFFIXES, inputs, is_ours=has_origin, overwrite=overwrite)
    check_origin(table)
    # Before the work, because the CLIP may be mistyped.
    resize = _resize(backbone, image_px) if frames else None
    prepared = find_records(
        row, AnnotationFolder(annotations), VideoFiles(videos), splits=split or (), missing=missing
    )
    write_prepared(row, prepared, table, videos)
    stored = None
    if resize is not None:
        settings = FrameSettings(
            num_frames=num_frames or row.num_frames,
            sampling=sampling or row.sampling,
            resize=resize,
        )
        stored = _store(prepared, table, settings)
    for name, reason in prepared.absent.items():
        console.inform(f"split {name} is not prepared: {reason}")
    skipped = {} if stored is None else stored.skipped
    for name, reason in skipped.items():
        console.inform(f"skipped {name}: {reason}")
    if as_json:
        console.print_json({
            "table": str(table),
            "splits": {name: counts.to_dict() for name, counts in prepared.counts().items()},
            "absent": prepared.absent,
            "frames": None if stored is None else str(stored.folder),
            "skipped": skipped,
        })  # fmt: skip
    else:
        _print_prepared(row.title, prepared)
        console.inform(f"table written to {console.show_path(table)}")
        if stored is not None:
            console.inform(
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
        typer.Option(help="Folder of the dataset's video files. [default: check annotations only]"),
    ] = None,
    split: Annotated[
        list[str] | None, typer.Option(help="Split to check; repeatable. [default: every split]")
    ] = None,
    backbone: Annotated[
        str | None,
        typer.Option(
            help="Count tokens with the tokenizer of this CLIP. [default: estimate by words]"
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Check a dataset's files; exit with code 1 if there are problems."""
    from mvadapter.backbone.clip import Backbone
    from mvadapter.datasets.annotations import AnnotationFolder
    from mvadapter.datasets.check import check_annotations, check_videos, count_long
    from mvadapter.datasets.find import VideoFiles

    row = DATASETS[dataset]
    files = None if videos is None else VideoFiles(videos)
    count_cut = count_long if backbone is None else Backbone.load(backbone).tokenizer.count_cut
    report, captions = check_annotations(
        row, AnnotationFolder(annotations), count_cut, splits=split or ()
    )
    if files is not None:
        with console.progress("checking videos") as advance:
            check_videos(
                row, files, captions, report, num_workers=default_num_workers(), on_progress=advance
            )
    if as_json:
        console.print_json(report.to_dict())
    else:
        _print_report(row.title, report, is_estimate=backbone is None)
    if report.problems:
        raise typer.Exit(1)


def _resize(backbone: str | None, image_px: int | None) -> "Resize":
    """How frames are resized for a CLIP, or for an ordinary one of that size."""
    from mvadapter.backbone.clip import Backbone
    from mvadapter.backbone.recipes import Resize

    if backbone is not None:
        return Backbone.load(backbone).pixels.resize
    return Resize.crop(image_px or 224)


def _store(prepared: "Prepared", table: Path, settings: "FrameSettings") -> "StoreReport":
    from mvadapter.data.frame_store import store_frames

    with console.progress("storing frames") as advance:
        return store_frames(
            table,
            prepared.records,
            settings,
            num_workers=default_num_workers(),
            on_progress=advance,
        )


def _print_prepared(title: str, prepared: "Prepared") -> None:
    rows = [
        [split, str(counts.videos), str(counts.captions), str(len(counts.missing))]
        for split, counts in prepared.counts().items()
    ]
    console.print_table(title, ["split", "videos", "captions", "missing"], rows)


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
    cut = "too long (at least)" if is_estimate else "too long"
    console.print_table(title, ["split", "videos", "expected", "captions", "expected", cut], rows)
    shown = []
    for kind, texts in report.by_kind().items():
        shown += [
            [kind if first else "", str(len(texts)) if first else "", text]
            for text, first in zip(texts[:_SHOWN_PROBLEMS], (True, False, False), strict=False)
        ]
    if shown:
        console.print_table(
            f"Problems: {len(report.problems)} (the first {_SHOWN_PROBLEMS} of each kind; "
            f"--json lists all)",
            ["kind", "count", "problem"],
            shown,
            text_columns=3,
        )
    else:
        console.inform("no problems found")
    if report.estimate is not None:
        estimate = report.estimate
        console.inform(
            f"storing the frames of {estimate.num_videos} videos would take about "
            f"{estimate.seconds:.0f} seconds, as this check did, and "
            f"{estimate.num_bytes / 2**20:.0f} MiB"
        )
