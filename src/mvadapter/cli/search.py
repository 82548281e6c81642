"""``mvadapter search``: a query in, a list of moments out."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from mvadapter.cli import console

if TYPE_CHECKING:
    from mvadapter.index.moments import Moment
    from mvadapter.index.writer import VideoIndex


def search(
    index: Annotated[Path, typer.Argument(help="The index that 'mvadapter index' made.")],
    query: Annotated[str, typer.Argument(help="What to look for, in words.")],
    top: Annotated[int, typer.Option(help="The most moments to list.")] = 10,
    group: Annotated[
        Literal["moment", "video"],
        typer.Option(help="List every moment, or of each video only its best."),
    ] = "moment",
    min_score: Annotated[
        float | None, typer.Option(help="Leave out moments that score less.")
    ] = None,
    adapter: Annotated[
        str | None, typer.Option(help="Which adapter of the index; by default its latest.")
    ] = None,
    backbone: Annotated[
        str | None, typer.Option(help="The CLIP; by default the one that the index names.")
    ] = None,
    device: Annotated[str, typer.Option(help="Where to compute, as torch names it.")] = "cpu",
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Find the moments of indexed videos that a query describes."""
    opened = open_index(index, adapter, backbone, device)

    from mvadapter.index.find import is_gone

    moments = opened.search(query, top, group=group, min_score=min_score)
    if as_json:
        console.print_json([
            {
                "path": str(moment.path),
                "start_seconds": moment.start_seconds,
                "end_seconds": moment.end_seconds,
                "score": moment.score,
            }
            for moment in moments
        ])  # fmt: skip
    elif moments:
        _print_moments(moments, f"{query!r}, as {opened.adapter!r} sees it")
    else:
        say_nothing_found(opened)
    if num_gone := len({moment.path for moment in moments if is_gone(str(moment.path))}):
        console.say(
            f"{num_gone} of these videos are no longer where they were indexed; "
            f"index the folder where they are now, and they are recognised"
        )


def open_index(
    folder: Path, adapter: str | None, backbone: str | None, device: str
) -> "VideoIndex":
    """Open an index as the options say."""
    from mvadapter.index.record import read_index_record

    # Before the imports and the CLIP, which take seconds, for a mistyped folder to be told at once.
    read_index_record(folder)

    from mvadapter.backbone.clip import Backbone
    from mvadapter.index.writer import VideoIndex

    clip = None if backbone is None else Backbone.load(backbone, device=device)
    return VideoIndex.open(folder, adapter=adapter, backbone=clip, device=device)


def say_nothing_found(index: "VideoIndex") -> None:
    """Say why there is no moment to list."""
    folder = console.show_path(index.folder)
    if index.num_videos:
        console.say(f"no moment in {folder} scores that high; lower --min-score")
    else:
        console.say(
            f"{folder} holds no videos as {index.adapter!r} sees them; "
            f"add some with: mvadapter index {folder} VIDEOS..."
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
