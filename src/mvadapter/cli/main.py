"""The ``mvadapter`` command.

Commands import what they need inside their bodies, so that ``--help`` is fast.
Exit codes: 0 done, 1 ran but something was skipped or failed a threshold, 2 bad usage or bad input,
130 stopped with Ctrl-C; run again to continue.
"""

import importlib.metadata
import sys
from typing import Annotated

import typer

from mvadapter.cli import console
from mvadapter.cli.compare import compare
from mvadapter.cli.cut import cut
from mvadapter.cli.data import data
from mvadapter.cli.demo import demo
from mvadapter.cli.evaluate import evaluate
from mvadapter.cli.index import index_videos
from mvadapter.cli.methods import methods
from mvadapter.cli.remove import remove
from mvadapter.cli.search import search
from mvadapter.cli.train import train
from mvadapter.cli.verify import verify
from mvadapter.errors import MvAdapterError

app = typer.Typer(
    name="mvadapter",
    help="Adapt a frozen CLIP to video with a few megabytes of weights, and search video with it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)


def _print_version(is_asked: bool) -> bool:
    if is_asked:
        typer.echo(f"mvadapter {importlib.metadata.version('mvadapter')}")
        raise typer.Exit
    # The value that a callback returns becomes the option's value.
    return is_asked


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    pass


app.command("compare")(compare)
app.command("cut")(cut)
app.add_typer(data, name="data")
app.command("demo")(demo)
app.command("evaluate")(evaluate)
app.command("index")(index_videos)
app.command("methods")(methods)
app.command("remove")(remove)
app.command("search")(search)
app.command("train")(train)
app.command("verify")(verify)


def main() -> None:
    """Run the command line and exit with its code."""
    try:
        app()
    except MvAdapterError as error:
        console.print_error(str(error))
        sys.exit(2)
    except OSError as error:
        # A full disk, a missing permission: the system's own message names the file.
        console.print_error(f"{error.filename or 'the system'}: {error.strerror or error}")
        sys.exit(2)
