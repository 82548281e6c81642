"""``mvadapter index``: videos in, a folder out that can be searched."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mvadapter.cli import console
from mvadapter.cli.options import (
    BackboneOption,
    DeviceOption,
    IsolateOption,
    JsonOption,
    PrecisionOption,
)
from mvadapter.errors import ConfigError, DataError
from mvadapter.index.counting import counted

if TYPE_CHECKING:
    from mvadapter.backbone.clip import Backbone
    from mvadapter.backbone.precision import PrecisionChoice
    from mvadapter.index.video_index import VideoIndex
    from mvadapter.index.writer import AddReport


def index_videos(
    index: Annotated[Path, typer.Argument(help="Index folder; created if it does not exist.")],
    videos: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Video files, and folders to search for videos. [default: all that were added "
            "before]"
        ),
    ] = None,
    adapter: Annotated[
        str | None,
        typer.Option(
            help="Adapter folder, which adds a view to the index, or the name of a view. "
            "[default: the newest view, or for a new index CLIP without an adapter]"
        ),
    ] = None,
    backbone: BackboneOption = None,
    max_segment_seconds: Annotated[
        float | None,
        typer.Option(help="Maximum length of a segment in a new index. [default: 8]"),
    ] = None,
    isolate: IsolateOption = False,
    precision: PrecisionOption = "auto",
    device: DeviceOption = "cpu",
    as_json: JsonOption = False,
) -> None:
    """Create or update a search index of videos; run again to resume."""
    from mvadapter.backbone.clip import Backbone
    from mvadapter.index.record import RECORD_FILE

    if (index / RECORD_FILE).exists():
        clip = None if backbone is None else Backbone.load(backbone, device=device)
        opened, view = _open(index, adapter, clip, device, max_segment_seconds)
        is_new = False
    else:
        _check_videos(index, videos or [])
        opened, view = _create(index, adapter, backbone, device, max_segment_seconds), None
        is_new = True
    report = _add(opened, videos or None, view, precision, isolate=isolate)
    if is_new and not report.num_videos:
        _refuse_empty(opened, report)
    if as_json:
        console.print_json(report.to_dict())
    else:
        _print_report(index, report)
    if report.skipped or report.incomplete or report.missing or report.repaired:
        raise typer.Exit(1)


def _refuse_empty(index: "VideoIndex", report: "AddReport") -> None:
    """Remove a new index again in which there is nothing."""
    from mvadapter.index.remove import remove_empty_index

    for problem in report.skipped:
        console.inform(f"skipped {console.show_path(problem.path)}: {problem.reason}")
    remove_empty_index(index.folder)
    raise DataError(
        f"{index.folder}: no index was created, because none of the files is a video that can be "
        f"read; check the path of the videos"
    )


def _open(
    folder: Path,
    adapter: str | None,
    clip: "Backbone | None",
    device: str,
    max_segment_seconds: float | None,
) -> "tuple[VideoIndex, str | None]":
    """Open an index, add a view for a new adapter, and return the index and the view's name."""
    from mvadapter.encoder.adapter_folder import WEIGHTS_FILE
    from mvadapter.index.video_index import VideoIndex

    index = VideoIndex.open(folder, backbone=clip, device=device)
    if max_segment_seconds not in (None, index.max_segment_seconds):
        raise ConfigError(
            f"--max-segment-seconds must be {index.max_segment_seconds:g}, with which {folder} "
            f"was created, got {max_segment_seconds:g}; omit it, or create a new index"
        )
    # A folder is preferred to a view of the same name: it may have been trained again.
    if adapter is not None and (Path(adapter) / WEIGHTS_FILE).is_file():
        return index, index.add_view(adapter)
    return index, adapter


def _check_videos(index: Path, videos: Sequence[Path]) -> None:
    """Check the videos before the index is created, so that a typing error leaves no folder."""
    from mvadapter.documents.text import is_missing
    from mvadapter.index.find import absolute_paths, find_videos

    if not videos:
        raise ConfigError(f"{index}: no index here; to create one, name videos or folders")
    for path in videos:
        if is_missing(path):
            raise DataError(f"{path}: no such file or folder; check the path of the videos")
    scan = find_videos(absolute_paths(videos))
    if not scan.files:
        reason = f" ({scan.problems[0].reason})" if scan.problems else ""
        raise DataError(
            f"{videos[0]}: no videos here{reason}; nothing is indexed and no index is created"
        )


def _create(
    folder: Path,
    adapter: str | None,
    backbone: str | None,
    device: str,
    max_segment_seconds: float | None,
) -> "VideoIndex":
    from mvadapter.embedding.files import SEGMENT_SECONDS
    from mvadapter.encoder.adapter_folder import read_record
    from mvadapter.encoder.encode import Encoder
    from mvadapter.index.video_index import VideoIndex
    from mvadapter.index.views import name_of_folder

    own = "tiny" if adapter is None else read_record(Path(adapter)).base_model_name_or_path
    return VideoIndex.create(
        folder,
        Encoder.load(own if backbone is None else backbone, adapter, device=device),
        name=None if adapter is None else name_of_folder(adapter),
        max_segment_seconds=(
            SEGMENT_SECONDS if max_segment_seconds is None else max_segment_seconds
        ),
    )


def _add(
    index: "VideoIndex",
    videos: list[Path] | None,
    view: str | None,
    precision: "PrecisionChoice",
    *,
    isolate: bool,
) -> "AddReport":
    from mvadapter.isolation import Isolation

    with console.progress("indexing") as advance:
        return index.add(
            videos,
            view=view,
            precision=precision,
            isolation=Isolation() if isolate else None,
            on_progress=advance,
        )


def _print_report(folder: Path, report: "AddReport") -> None:
    if report.repaired:
        console.inform(
            f"repaired {report.repaired}; its videos are embedded again if they are there; run "
            f"'mvadapter index' again when all disks are mounted"
        )
    kinds = {
        "skipped": report.skipped,
        "incomplete": report.incomplete,
        "missing": report.missing,
        "note on": report.remarks,
    }
    for kind, problems in kinds.items():
        for problem in problems:
            console.inform(f"{kind} {console.show_path(problem.path)}: {problem.reason}")
    counts = {
        "added": report.num_added,
        "changed": report.num_changed,
        "unchanged": report.num_unchanged,
        "moved": report.num_moved,
        "removed": report.num_removed,
        "skipped": len(report.skipped),
        "incomplete": len(report.incomplete),
        "missing": report.num_missing,
    }
    done = ", ".join(f"{count} {word}" for word, count in counts.items() if count)
    console.inform(
        f"{done or 'no videos found'}; {console.show_path(folder)} has "
        f"{counted(report.num_videos, 'video')} in {counted(report.num_segments, 'segment')} "
        f"(view {report.view!r})"
    )
