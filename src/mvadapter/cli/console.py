"""How commands speak: data on stdout, everything else on stderr."""

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

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

_stdout = Console()
_stderr = Console(stderr=True)


class Advance(Protocol):
    """What long work calls to say how far it is."""

    def __call__(self, done: int, total: int, note: str = "") -> None:
        """Say that ``done`` of ``total`` is done, with a word about the present state."""
        ...


def say(message: str) -> None:
    """Tell a person something, on stderr."""
    _stderr.print(message, highlight=False, markup=False, soft_wrap=True)


def print_error(message: str) -> None:
    """Say in one line what went wrong."""
    say(f"mvadapter: error: {message}")


def print_json(data: Any) -> None:  # noqa: ANN401 - whatever JSON can hold
    """Print data for machines."""
    sys.stdout.write(json.dumps(data, indent=2, ensure_ascii=False) + "\n")


def print_table(
    title: str,
    columns: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    text_columns: int = 1,
) -> None:
    """Print a table for people; the first ``text_columns`` columns are text, the rest numbers."""
    table = Table(title=title, title_justify="left", title_style="bold", header_style="bold")
    for position, column in enumerate(columns):
        is_text = position < text_columns
        table.add_column(column, justify="left" if is_text else "right", overflow="fold")
    for row in rows:
        table.add_row(*row)
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

        def advance(done: int, total: int, note: str = "") -> None:
            bar.update(task, completed=done, total=total, note=note)

        yield advance


def _plain_progress(title: str) -> Advance:
    said = -1

    def advance(done: int, total: int, note: str = "") -> None:
        nonlocal said
        tenth = 10 * done // max(total, 1)
        if tenth > said:
            said = tenth
            say(f"{title}: {done} of {total}{f', {note}' if note else ''}")

    return advance
