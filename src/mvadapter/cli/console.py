"""What commands print: data on stdout, everything else on stderr."""

import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from rich.console import Console
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


def inform(message: str) -> None:
    """Print a message for people, on stderr."""
    _stderr.print(message, highlight=False, markup=False, soft_wrap=True)


def loss_note(loss: float | None) -> str:
    """The note beside the progress of training."""
    return "left out" if loss is None else f"loss {loss:.3f}"


def print_error(message: str) -> None:
    """Print an error in one line."""
    inform(f"mvadapter: error: {message}")


def show_path(path: Path) -> str:
    """Write a path relative to the working folder where that is shorter."""
    text = str(path)
    # Windows has no relative path from one drive to another.
    with suppress(ValueError):
        text = min(text, os.path.relpath(path), key=len)
    return text.encode("utf-8", "backslashreplace").decode()


def show_seconds(seconds: float) -> str:
    """Write a time in a video as minutes and seconds, such as ``2:05.5``."""
    sign, tenths = "-" if seconds < 0 else "", round(abs(seconds) * 10)
    return f"{sign}{tenths // 600}:{tenths % 600 / 10:04.1f}"


def print_json(data: Any) -> None:  # noqa: ANN401 - whatever JSON can hold
    """Print data as JSON, for programs."""
    text = json.dumps(data, indent=2, ensure_ascii=False)
    # A file name that is not UTF-8 becomes a JSON escape, which is read back as the same name.
    sys.stdout.write(text.encode("utf-8", "backslashreplace").decode() + "\n")


def print_table(
    title: str,
    columns: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    text_columns: int = 1,
) -> None:
    """Print a table for people; the first ``text_columns`` columns are text, the rest numbers.

    Where the terminal is too narrow for several text columns, only the last of them is broken into
    lines, so that names can be copied.
    """
    table = Table(title=Text(title), title_justify="left", title_style="bold", header_style="bold")
    rows = list(rows)
    for position, column in enumerate(columns):
        is_text = position < text_columns
        longest = max((len(row[position]) for row in rows), default=0)
        table.add_column(
            column,
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
    bar = Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
        TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"), console=_stderr, transient=True,
    )  # fmt: skip
    with bar:
        task = bar.add_task(title, total=None, note="")

        def advance(done: int | float, total: int, note: str = "") -> None:
            bar.update(task, completed=done, total=total, note=note)

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


def _plain_progress(title: str) -> Advance:
    printed = -1

    def advance(done: int | float, total: int, note: str = "") -> None:
        nonlocal printed
        tenth = int(10 * done / max(total, 1))
        if tenth > printed:
            printed = tenth
            inform(f"{title}: {round(done, 1):g} of {total}{f', {note}' if note else ''}")

    return advance
