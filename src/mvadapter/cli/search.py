"""``mvadapter search``: a query in, a list of moments out."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from mvadapter.cli import console

if TYPE_CHECKING:
    from mvadapter.index.moments import Moment
    from mvadapter.index.reader import IndexView


def search(
    index: Annotated[Path, typer.Argument(help="The index that 'mvadapter index' made.")],
    query: Annotated[str, typer.Argument(help="What to look for, in words.")],
    top: Annotated[int, typer.Option(help="The most moments to list.")] = 10,
    group: Annotated[
        Literal["moment", "video"],
        typer.Option(help="List every moment, or only the best of each video."),
    ] = "moment",
    min_score: Annotated[
        float | None, typer.Option(help="Leave out moments that score less.")
    ] = None,
    adapter: Annotated[
        str | None,
        typer.Option(help="The view to search, by the name of its adapter; by default the latest."),
    ] = None,
    backbone: Annotated[
        str | None, typer.Option(help="The CLIP; by default the one that the index names.")
    ] = None,
    device: Annotated[str, typer.Option(help="Device to compute on, as torch names it.")] = "cpu",
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Find the moments of indexed videos that a query describes."""
    view = open_view(index, adapter, backbone, device)
    moments = view.search(query, top, group=group, min_score=min_score)
    if as_json:
        console.print_json([moment.to_dict() for moment in moments])
    elif moments:
        _print_moments(moments, f"{query!r} (view {view.name!r})")
    else:
        report_nothing_found(index, view)
    _report_gone(moments)


def open_view(folder: Path, adapter: str | None, backbone: str | None, device: str) -> "IndexView":
    """Open the view of an index that the options name."""
    from mvadapter.index.record import read_index_record

    # Before the imports and the CLIP, which take seconds, so that a typing error is reported fast.
    read_index_record(folder).view_name(adapter)

    from mvadapter.backbone.clip import Backbone
    from mvadapter.index.video_index import VideoIndex

    clip = None if backbone is None else Backbone.load(backbone, device=device)
    return VideoIndex.open(folder, backbone=clip, device=device).view(adapter)


def report_nothing_found(folder: Path, view: "IndexView") -> None:
    """Explain why there is no moment to list."""
    shown = console.show_path(folder)
    if view.num_videos:
        console.say(f"no moment in {shown} scores that high; lower --min-score")
    else:
        console.say(
            f"{shown} holds no videos in view {view.name!r}; "
            f"add some with: mvadapter index {shown} VIDEOS..."
        )


def _report_gone(moments: "Sequence[Moment]") -> None:
    from mvadapter.index.find import is_gone

    if num_gone := sum(map(is_gone, {str(moment.path) for moment in moments})):
        console.say(
            f"{num_gone} of these videos are no longer where they were indexed; "
            f"index the folder where they are now, and they are recognised"
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
