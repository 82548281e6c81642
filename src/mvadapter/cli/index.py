"""``mvadapter index``: videos in, a folder out that can be searched."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from mvadapter.cli import console
from mvadapter.errors import ConfigError, DataError

if TYPE_CHECKING:
    from mvadapter.backbone.clip import Backbone
    from mvadapter.backbone.precision import PrecisionChoice
    from mvadapter.encoder.encode import Encoder
    from mvadapter.index.video_index import VideoIndex
    from mvadapter.index.writer import AddReport


def index_videos(
    index: Annotated[Path, typer.Argument(help="Folder of the index; created if there is none.")],
    videos: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Video files, and folders to search for videos; by default all that were ever "
            "added."
        ),
    ] = None,
    adapter: Annotated[
        str | None,
        typer.Option(
            help="An adapter folder, which adds a view to the index, or the name of a view; by "
            "default the latest view, or for a new index CLIP without an adapter."
        ),
    ] = None,
    backbone: Annotated[
        str | None,
        typer.Option(help="The CLIP; by default the index's or the adapter's own, else 'tiny'."),
    ] = None,
    max_segment_seconds: Annotated[
        float | None,
        typer.Option(help="The longest a segment of a new index lasts, by default 8 seconds."),
    ] = None,
    precision: Annotated[
        Literal["auto", "float32", "bfloat16"], typer.Option(help="Numeric precision.")
    ] = "auto",
    device: Annotated[str, typer.Option(help="Device to compute on, as torch names it.")] = "cpu",
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Make videos searchable, or update an index; after Ctrl-C, the same command continues."""
    from mvadapter.backbone.clip import Backbone
    from mvadapter.index.record import RECORD_FILE

    clip = None if backbone is None else Backbone.load(backbone, device=device)
    if (index / RECORD_FILE).exists():
        opened, view = _open(index, adapter, clip, device, max_segment_seconds)
    else:
        _check_videos(index, videos or [])
        seconds = 8.0 if max_segment_seconds is None else max_segment_seconds
        opened, view = _create(index, adapter, clip, device, seconds), None
    report = _add(opened, videos or None, view, precision)
    if as_json:
        console.print_json(report.to_dict())
    else:
        _print_report(index, report)
    if report.skipped or report.incomplete:
        raise typer.Exit(1)


def _open(
    folder: Path,
    adapter: str | None,
    clip: "Backbone | None",
    device: str,
    max_segment_seconds: float | None,
) -> "tuple[VideoIndex, str | None]":
    """Open an index, add the adapter's view where it is new, and return both."""
    from mvadapter.encoder.adapter_folder import WEIGHTS_FILE
    from mvadapter.index.video_index import VideoIndex

    index = VideoIndex.open(folder, backbone=clip, device=device)
    if max_segment_seconds not in (None, index.max_segment_seconds):
        raise ConfigError(
            f"--max-segment-seconds must be {index.max_segment_seconds:g} for {folder}, as it "
            f"was made with, got {max_segment_seconds:g}; leave it out, or make a new index"
        )
    # A folder comes before a view of the same name, because it may have been trained again.
    if adapter is not None and (Path(adapter) / WEIGHTS_FILE).is_file():
        return index, index.add_view(adapter)
    return index, adapter


def _check_videos(index: Path, videos: Sequence[Path]) -> None:
    """Refuse missing videos before an index is made, so that a typing error leaves no folder."""
    from mvadapter.index.find import is_gone

    if not videos:
        raise ConfigError(f"{index}: no index here, and no videos to make one from; name some")
    for path in videos:
        if is_gone(str(path)):
            raise DataError(f"{path}: no such file or folder; check the path of the videos")


def _create(
    folder: Path,
    adapter: str | None,
    clip: "Backbone | None",
    device: str,
    max_segment_seconds: float,
) -> "VideoIndex":
    from mvadapter.index.video_index import VideoIndex
    from mvadapter.index.views import name_of_folder

    return VideoIndex.create(
        folder,
        _encoder(adapter, clip, device),
        name=None if adapter is None else name_of_folder(adapter),
        max_segment_seconds=max_segment_seconds,
    )


def _encoder(adapter: str | None, clip: "Backbone | None", device: str) -> "Encoder":
    from mvadapter.adapters.build import build_adapter
    from mvadapter.adapters.methods.frozen import FrozenConfig
    from mvadapter.backbone.clip import Backbone
    from mvadapter.encoder.adapter_folder import read_record
    from mvadapter.encoder.checkpoint import load_adapter
    from mvadapter.encoder.encode import Encoder

    if adapter is None:
        clip = clip or Backbone.load("tiny", device=device)
        return Encoder(clip, build_adapter(FrozenConfig(), clip))
    clip = clip or Backbone.load(read_record(adapter).base_model_name_or_path, device=device)
    return load_adapter(adapter, clip)


def _add(
    index: "VideoIndex",
    videos: list[Path] | None,
    view: str | None,
    precision: "PrecisionChoice",
) -> "AddReport":
    try:
        with console.progress("indexing") as advance:
            return index.add(videos, view=view, precision=precision, on_progress=advance)
    except KeyboardInterrupt as interrupt:
        console.say("stopped; run the same command again to continue")
        raise typer.Exit(130) from interrupt


def _print_report(folder: Path, report: "AddReport") -> None:
    for kind, problems in (("skipped", report.skipped), ("incomplete", report.incomplete)):
        for problem in problems:
            console.say(f"{kind} {console.show_path(problem.path)}: {problem.reason}")
    counts = {
        "added": report.num_added,
        "changed": report.num_changed,
        "unchanged": report.num_unchanged,
        "moved": report.num_moved,
        "removed": report.num_removed,
        "skipped": len(report.skipped),
        "incomplete": len(report.incomplete),
    }
    done = ", ".join(f"{count} {word}" for word, count in counts.items() if count)
    console.say(
        f"{done or 'no videos found'}; {console.show_path(folder)} holds {report.num_videos} "
        f"videos in {report.num_segments} segments (view {report.view!r})"
    )
