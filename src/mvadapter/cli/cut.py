"""``mvadapter cut``: a query in, its best moments out as files."""

from itertools import chain, count
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mvadapter.cli import console
from mvadapter.cli.search import open_index, say_nothing_found
from mvadapter.errors import ConfigError, VideoError

if TYPE_CHECKING:
    from mvadapter.index.moments import Moment


def cut(
    index: Annotated[Path, typer.Argument(help="The index that 'mvadapter index' made.")],
    query: Annotated[str, typer.Argument(help="What to look for, in words.")],
    top: Annotated[int, typer.Option(help="How many moments to cut out.")] = 1,
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", help="A folder, or for one moment a file that ends in .mp4."
        ),
    ] = Path(),
    pad_seconds: Annotated[
        float, typer.Option(help="Seconds to leave before and after each moment.", min=0.0)
    ] = 0.0,
    adapter: Annotated[
        str | None, typer.Option(help="Which adapter of the index; by default its latest.")
    ] = None,
    backbone: Annotated[
        str | None, typer.Option(help="The CLIP; by default the one that the index names.")
    ] = None,
    device: Annotated[str, typer.Option(help="Where to compute, as torch names it.")] = "cpu",
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Write the moments that a query describes as mp4 files."""
    from mvadapter.video.cut import cut_segment

    is_file = output.suffix.lower() == ".mp4" and not output.is_dir()
    if is_file and top != 1:
        raise ConfigError(f"--output must be a folder for {top} moments, got the file {output}")
    if is_file and output.exists():
        raise ConfigError(f"--output {output} is there already; name another file, or remove it")
    opened = open_index(index, adapter, backbone, device)
    moments = opened.search(query, top)
    if not moments:
        say_nothing_found(opened)
    (output.parent if is_file else output).mkdir(parents=True, exist_ok=True)
    written, num_failed = [], 0
    for moment in moments:
        target = output if is_file else _free_file(output, moment)
        # Not before 0, where nearly all videos begin.
        start = max(moment.start_seconds - pad_seconds, min(0.0, moment.start_seconds))
        try:
            done = cut_segment(moment.path, start, moment.end_seconds + pad_seconds, target)
        except VideoError as error:
            console.say(f"skipped {error}")
            num_failed += 1
            continue
        written.append({
            "path": str(done.path),
            "source": str(moment.path),
            "start_seconds": done.start_seconds,
            "end_seconds": done.end_seconds,
            "score": moment.score,
        })  # fmt: skip
        console.say(
            f"wrote {console.show_path(done.path)}: {console.show_path(moment.path)} "
            f"{console.show_seconds(done.start_seconds)} - "
            f"{console.show_seconds(done.end_seconds)}, score {moment.score:.3f}"
        )
    if as_json:
        console.print_json(written)
    if num_failed:
        raise typer.Exit(1)


def _free_file(folder: Path, moment: "Moment") -> Path:
    """Name a cut after its video and times, and where such a file is there, with a number."""
    start, end = (f"{t:.1f}" for t in (moment.start_seconds, moment.end_seconds))
    # No character that a file system may refuse.
    name = f"{moment.path.stem}_{start}-{end}s"
    # Videos of two folders may share a name, and an earlier cut or a file of the user's is kept.
    names = chain([name], (f"{name}_{number}" for number in count(2)))
    return next(path for name in names if not (path := folder / f"{name}.mp4").exists())
