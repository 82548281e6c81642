"""``mvadapter index``: videos in, a folder out that can be searched."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mvadapter.cli import console
from mvadapter.errors import ConfigError

if TYPE_CHECKING:
    from mvadapter.backbone.clip import Backbone
    from mvadapter.encoder.encode import Encoder
    from mvadapter.index.writer import AddReport, VideoIndex


def index_videos(
    index: Annotated[Path, typer.Argument(help="The index, a folder; made where there is none.")],
    videos: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Video files, and folders to search for videos; without any, all that were "
            "ever added."
        ),
    ] = None,
    adapter: Annotated[
        str | None,
        typer.Option(
            help="An adapter folder, or the name of an adapter of the index; without one, the "
            "index's latest, or for a new index the CLIP as it is."
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
    device: Annotated[str, typer.Option(help="Where to compute, as torch names it.")] = "cpu",
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Make videos searchable, or bring an index up to date; stop it with Ctrl-C and go on later."""
    from mvadapter.backbone.clip import Backbone
    from mvadapter.index.record import RECORD_FILE
    from mvadapter.index.writer import VideoIndex, name_of_folder

    clip = None if backbone is None else Backbone.load(backbone, device=device)
    if (index / RECORD_FILE).exists():
        opened = VideoIndex.open(index, backbone=clip, device=device)
        if max_segment_seconds not in (None, opened.max_segment_seconds):
            raise ConfigError(
                f"--max-segment-seconds must be {opened.max_segment_seconds:g} for {index}, as it "
                f"was made with, got {max_segment_seconds:g}; leave it out, or make a new index"
            )
        if adapter is not None:
            opened.use(adapter)
    elif not videos:
        raise ConfigError(f"{index}: no index here, and no videos to make one from; name some")
    else:
        opened = VideoIndex.create(
            index,
            _encoder(adapter, clip, device),
            name=None if adapter is None else name_of_folder(adapter),
            max_segment_seconds=8.0 if max_segment_seconds is None else max_segment_seconds,
        )
    _add(opened, videos or None, as_json=as_json)


def _encoder(adapter: str | None, clip: "Backbone | None", device: str) -> "Encoder":
    from mvadapter.adapters.build import build_adapter
    from mvadapter.adapters.methods.frozen import FrozenConfig
    from mvadapter.backbone.clip import Backbone
    from mvadapter.encoder.checkpoint import load_adapter, read_record
    from mvadapter.encoder.encode import Encoder

    if adapter is None:
        clip = clip or Backbone.load("tiny", device=device)
        return Encoder(clip, build_adapter(FrozenConfig(), clip))
    clip = clip or Backbone.load(read_record(adapter).base_model_name_or_path, device=device)
    return load_adapter(adapter, clip)


def _add(index: "VideoIndex", videos: list[Path] | None, *, as_json: bool) -> None:
    try:
        with console.progress("indexing") as advance:
            report = index.add(videos, on_progress=advance)
    except KeyboardInterrupt as interrupt:
        console.say("stopped; the same command goes on from there")
        raise typer.Exit(130) from interrupt
    problems = {"skipped": report.skipped, "incomplete": report.incomplete}
    if as_json:
        named = {
            kind: [{"path": str(path), "reason": reason} for path, reason in found]
            for kind, found in problems.items()
        }
        holds = {"num_videos": index.num_videos, "num_segments": index.num_segments}
        console.print_json(dataclasses.asdict(report) | named | holds | {"adapter": index.adapter})
    else:
        for kind, found in problems.items():
            for path, reason in found:
                console.say(f"{kind} {console.show_path(path)}: {reason}")
        console.say(_summary(index, report))
    if any(problems.values()):
        raise typer.Exit(1)


def _summary(index: "VideoIndex", report: "AddReport") -> str:
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
    return (
        f"{done or 'no videos found'}; {console.show_path(index.folder)} holds {index.num_videos} "
        f"videos in {index.num_segments} segments, as {index.adapter!r} sees them"
    )
