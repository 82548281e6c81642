"""The ``mvadapter`` command.

Commands import what they need inside their bodies, so that ``--help`` is fast.
Exit codes: 0 done, 1 ran but something was skipped or failed a threshold, 2 bad usage or bad input,
130 and 143 stopped by Ctrl-C and SIGTERM; run again to continue.
"""

import importlib.metadata
import sys
import traceback
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
from mvadapter.cli.stopping import StopSignal
from mvadapter.cli.train import train
from mvadapter.cli.verify import verify
from mvadapter.errors import MvAdapterError

_DEBUG = "--debug"

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
    debug: Annotated[
        bool,
        typer.Option(_DEBUG, help="Show the traceback of an error; works after a command too."),
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
    arguments = sys.argv[1:]
    is_debugging = _DEBUG in arguments
    with console.shown_log():
        sys.exit(_run([each for each in arguments if each != _DEBUG], is_debugging=is_debugging))


def _run(arguments: list[str], *, is_debugging: bool) -> int:
    """Run a command and return its exit code; every error is printed in one line."""
    try:
        code: int | None = typer.main.get_command(app).main(arguments, standalone_mode=False)
    except typer.TyperException as error:
        return _print_usage_error(error)
    except StopSignal as stop:
        console.inform(f"mvadapter: {stop}; run the same command to continue")
        return stop.exit_code
    except Exception as error:  # noqa: BLE001 - people are never shown a traceback unasked
        if is_debugging:
            for line in "".join(traceback.format_exception(error)).splitlines():
                console.inform(line)
        console.print_error(_describe(error))
        return 2
    return code or 0


def _print_usage_error(error: typer.TyperException) -> int:
    message = error.format_message()
    context = getattr(error, "ctx", None)
    # Without a message, the help was asked for by giving no arguments, and is printed already.
    if message:
        hint = f"; see '{context.command_path} --help'" if context is not None else ""
        console.print_error(message.removesuffix(".") + hint)
    code: int = error.exit_code
    return code


def _describe(error: Exception) -> str:
    """One line for an error of ours, of the system, or that nobody foresaw."""
    if isinstance(error, MvAdapterError):
        return str(error)
    if isinstance(error, OSError):
        # A full disk, a missing permission: the system's own message names the file.
        return f"{error.filename or 'the system'}: {error.strerror or error}"
    reason = (str(error).strip() or "no message").splitlines()[0]
    return (
        f"unexpected {type(error).__name__}: {reason}; this is a fault of mvadapter: please report "
        f"it with what {_DEBUG} prints"
    )
