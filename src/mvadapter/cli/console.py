"""What commands print: data on stdout, everything else on stderr."""

import json
import logging
import os
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

# Control characters, which drive a terminal; line and paragraph separators; what reverses the
# direction of text; and the bytes of a file name that are no UTF-8.
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")

_stdout = Console()
_stderr = Console(stderr=True)
# Longer names are broken into lines too, so that there is room for the other columns.
_NAME_WIDTH = 32


@runtime_checkable
class Advance(Protocol):
    """Called with the progress of long work."""

    def __call__(self, done: int | float, total: int, note: str = "") -> None:
        """Report that ``done`` of ``total`` is done, with a note on the current state."""
        ...


def printable(text: str) -> str:
    """Replace what could drive a terminal or forge a line by visible escapes.

    File names, captions and what foreign libraries report may hold anything. Whatever a command
    prints passes through here; the letters of every script stay as they are.
    """
    return _UNPRINTABLE.sub(lambda found: found.group().encode("unicode_escape").decode(), text)


def inform(message: str) -> None:
    """Print a message for people, in one line on stderr."""
    # As text: rich would read markup in a file name such as "a [b].mp4", and break long lines.
    _stderr.print(Text(printable(message)), soft_wrap=True)


class _LogHandler(logging.Handler):
    """Prints what the library logs, in the main process of several."""

    def emit(self, record: logging.LogRecord) -> None:
        # Here, because it loads torch.
        from mvadapter.world import World

        if World.from_environment().index == 0:
            inform(f"note: {record.getMessage()}")


def loss_note(loss: float | None) -> str:
    """The note beside the progress of training."""
    return "left out" if loss is None else f"loss {loss:.3f}"


def print_error(message: str) -> None:
    """Print an error in one line."""
    inform(f"mvadapter: error: {message}")


def show_path(path: Path) -> str:
    """Write a path relative to the working folder where that is shorter."""
    text = str(path)
    # Windows has no relative path from one drive to another, and a removed folder has none at all.
    with suppress(ValueError, OSError):
        text = min(text, os.path.relpath(path), key=len)
    return text


def show_seconds(seconds: float) -> str:
    """Write a time in a video as minutes and seconds, such as ``2:05.5``."""
    sign, tenths = "-" if seconds < 0 else "", round(abs(seconds) * 10)
    return f"{sign}{tenths // 600}:{tenths % 600 / 10:04.1f}"


def print_json(data: Any) -> None:  # noqa: ANN401 - whatever JSON can hold
    """Print data as JSON, for programs."""
    text = json.dumps(data, indent=2, ensure_ascii=False)
    # As JSON's own escapes, which are read back as the same text; line breaks here are JSON's.
    lines = (_UNPRINTABLE.sub(_json_escape, line) for line in text.split("\n"))
    sys.stdout.write("\n".join(lines) + "\n")


@contextmanager
def shown_log() -> Iterator[None]:
    """Print what the library logs for people, which is a line each."""
    handler, log = _LogHandler(), logging.getLogger("mvadapter")
    before = log.level
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.setLevel(before)


def print_table(
    title: str | Sequence[str],
    columns: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    text_columns: int = 1,
) -> None:
    """Print a table for people; the first ``text_columns`` columns are text, the rest numbers.

    A title may have several lines, and a number too, such as its interval below it; text has one.
    Where the terminal is too narrow for several text columns, only the last of them is broken into
    lines, so that names can be copied.
    """
    lines = [title] if isinstance(title, str) else title
    table = Table(
        title=Text("\n".join(map(printable, lines))),
        title_justify="left",
        title_style="bold",
        header_style="bold",
    )
    rows = [
        [*map(printable, row[:text_columns]), *map(_printable_lines, row[text_columns:])]
        for row in rows
    ]
    for position, column in enumerate(columns):
        is_text = position < text_columns
        longest = max((len(row[position]) for row in rows), default=0)
        table.add_column(
            Text(printable(column)),
            justify="left" if is_text else "right",
            overflow="fold",
            no_wrap=text_columns > 1 and position != text_columns - 1 and longest <= _NAME_WIDTH,
        )
    for row in rows:
        # As text, because rich would read markup in a file name such as "a [b].mp4".
        table.add_row(*map(Text, row))
    _stdout.print(table)


@contextmanager
def progress(title: str) -> Iterator[Advance]:
    """Show a bar with the time left on a terminal; elsewhere, a line at each tenth."""
    if not _stderr.is_terminal:
        yield _plain_progress(title)
        return
    title = escape(printable(title))
    bar = Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
        TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"), console=_stderr, transient=True,
    )  # fmt: skip
    with bar:
        task = bar.add_task(title, total=None, note="")

        def advance(done: int | float, total: int, note: str = "") -> None:
            bar.update(task, completed=done, total=total, note=escape(printable(note)))

        yield advance


class Stages:
    """The progress of several stages, each with its own bar."""

    def __init__(self) -> None:
        self._open = ExitStack()
        self._advance: Advance | None = None

    def begin(self, title: str) -> None:
        """End the current stage and begin the next."""
        self._open.close()
        self._advance = self._open.enter_context(progress(title))

    def advance(self, done: int | float, total: int) -> None:
        """Report the progress of the stage."""
        if self._advance is not None:
            self._advance(done, total)

    def close(self) -> None:
        """End the last stage."""
        self._open.close()


def stages() -> "closing[Stages]":
    """Show one bar after another; lines where there is no terminal."""
    return closing(Stages())


def _printable_lines(text: str) -> str:
    return "\n".join(map(printable, text.split("\n")))


def _json_escape(found: re.Match[str]) -> str:
    return json.dumps(found.group())[1:-1]


def _plain_progress(title: str) -> Advance:
    printed = -1

    def advance(done: int | float, total: int, note: str = "") -> None:
        nonlocal printed
        tenth = int(10 * done / max(total, 1))
        if tenth > printed:
            printed = tenth
            inform(f"{title}: {round(done, 1):g} of {total}{f', {note}' if note else ''}")

    return advance
