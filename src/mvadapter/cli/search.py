"""``mvadapter search``: a query in, a list of moments out."""

from collections.abc import Sequence
from pathlib import Path
from textwrap import shorten
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from mvadapter.cli import console
from mvadapter.cli.options import (
    BackboneOption,
    DeviceOption,
    IndexArgument,
    JsonOption,
    QueryArgument,
    ViewOption,
)

_SHOWN_CHARACTERS = 200

if TYPE_CHECKING:
    from mvadapter.index.moments import Moment
    from mvadapter.index.reader import IndexView


def search(
    index: IndexArgument,
    query: QueryArgument,
    top: Annotated[int, typer.Option(help="Maximum number of moments.")] = 10,
    group: Annotated[
        Literal["moment", "video"],
        typer.Option(help="List every moment, or only the best one per video."),
    ] = "moment",
    min_score: Annotated[
        float | None, typer.Option(help="Omit moments with a lower score.")
    ] = None,
    adapter: ViewOption = None,
    backbone: BackboneOption = None,
    device: DeviceOption = "cpu",
    as_json: JsonOption = False,
) -> None:
    """Find the moments in indexed videos that match a query."""
    view = open_view(index, adapter, backbone, device)
    moments = view.search(query, top, group=group, min_score=min_score)
    if as_json:
        console.print_json([moment.to_dict() for moment in moments])
    elif moments:
        _print_moments(moments, f"{shorten(query, _SHOWN_CHARACTERS)!r} (view {view.name!r})")
    else:
        report_nothing_found(index, view)
    _report_gone(moments)


def open_view(folder: Path, adapter: str | None, backbone: str | None, device: str) -> "IndexView":
    """Open the view that the options name."""
    from mvadapter.index.record import read_index_record

    # Before the imports and the CLIP, which take seconds, so that a typing error is reported fast.
    read_index_record(folder).view_name(adapter)

    from mvadapter.backbone.clip import Backbone
    from mvadapter.index.video_index import VideoIndex

    clip = None if backbone is None else Backbone.load(backbone, device=device)
    return VideoIndex.open(folder, backbone=clip, device=device).view(adapter)


def report_nothing_found(folder: Path, view: "IndexView") -> None:
    """Report why there is no moment to list."""
    shown = console.show_path(folder)
    if view.num_videos:
        console.inform(f"no moment in {shown} reaches this score; use a lower --min-score")
    else:
        console.inform(
            f"{shown} has no videos in view {view.name!r}; "
            f"add some with: mvadapter index {shown} VIDEOS..."
        )


def _report_gone(moments: "Sequence[Moment]") -> None:
    from mvadapter.documents.text import is_missing

    if num_gone := sum(map(is_missing, {moment.path for moment in moments})):
        console.inform(
            f"{num_gone} of these videos have moved or been deleted; "
            f"run 'mvadapter index' with their new folder to update the paths"
        )


def _print_moments(moments: "Sequence[Moment]", title: str) -> None:
    rows = [
        (
            str(rank),
            console.show_path(moment.path),
            f"{console.show_seconds(moment.start_seconds)} - "
            f"{console.show_seconds(moment.end_seconds)}",
            f"{moment.score:.3f}",
        )
        for rank, moment in enumerate(moments, start=1)
    ]
    console.print_table(title, ("rank", "video", "moment", "score"), rows, text_columns=2)
