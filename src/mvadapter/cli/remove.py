"""``mvadapter remove``: paths in, an index without their videos out."""

from pathlib import Path
from typing import Annotated

import typer

from mvadapter.cli import console
from mvadapter.cli.options import IndexArgument, JsonOption
from mvadapter.index.counting import counted


def remove(
    index: IndexArgument,
    videos: Annotated[
        list[Path],
        typer.Argument(help="Video files, and folders whose videos are removed; they may be gone."),
    ],
    as_json: JsonOption = False,
) -> None:
    """Remove videos from an index; the files themselves stay."""
    from mvadapter.index.find import absolute
    from mvadapter.index.remove import remove_videos

    report = remove_videos(absolute(index), videos)
    if as_json:
        console.print_json(report.to_dict())
    else:
        removed = counted(report.num_videos, "video")
        console.inform(f"{removed} removed from {console.show_path(index)}")
