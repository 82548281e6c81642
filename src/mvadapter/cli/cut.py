"""``mvadapter cut``: a query in, its best moments out as files."""

import errno
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

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
from mvadapter.cli.search import open_view, report_nothing_found
from mvadapter.errors import ConfigError, MvAdapterError, StorageError

if TYPE_CHECKING:
    from mvadapter.index.cut import MomentCut

_ABOUT_NAMES = (errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ)


def cut(
    index: IndexArgument,
    query: QueryArgument,
    top: Annotated[int, typer.Option(help="Number of moments to cut.")] = 1,
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", help="Output folder, or for one moment a file name that ends in .mp4."
        ),
    ] = Path(),
    pad_seconds: Annotated[
        float, typer.Option(help="Seconds to add before and after each moment.", min=0.0)
    ] = 0.0,
    adapter: ViewOption = None,
    backbone: BackboneOption = None,
    device: DeviceOption = "cpu",
    as_json: JsonOption = False,
) -> None:
    """Write the moments that match a query to mp4 files."""
    from mvadapter.index.cut import cut_moment

    _check_output(output, top)
    view = open_view(index, adapter, backbone, device)
    moments = view.search(query, top)
    if not moments:
        report_nothing_found(index, view)
    cuts = []
    for moment in moments:
        try:
            done = cut_moment(moment, output, pad_seconds=pad_seconds)
        except StorageError as error:
            # Another name may be possible where this one is not; a full disk takes no other file.
            if error.errno not in _ABOUT_NAMES:
                raise
            console.inform(f"skipped {error}")
            continue
        except MvAdapterError as error:
            console.inform(f"skipped {error}")
            continue
        cuts.append(done)
        console.inform(_describe(done))
    if as_json:
        console.print_json([done.to_dict() for done in cuts])
    if len(cuts) < len(moments):
        raise typer.Exit(1)


def _check_output(output: Path, top: int) -> None:
    """Refuse an output that cannot be used before the CLIP is loaded."""
    from mvadapter.index.cut import check_output, is_mp4_file

    check_output(output)
    if is_mp4_file(output) and top != 1:
        raise ConfigError(f"--output must be a folder for {top} moments, got the file {output}")


def _describe(done: "MomentCut") -> str:
    moment, cut = done.moment, done.cut
    return (
        f"wrote {console.show_path(cut.path)}: {console.show_path(moment.path)} "
        f"{console.show_seconds(cut.start_seconds)} - {console.show_seconds(cut.end_seconds)}, "
        f"score {moment.score:.3f}"
    )
