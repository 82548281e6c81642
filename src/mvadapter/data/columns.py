"""The header of a table in, which of its columns are ours out.

Other programs name the same things otherwise, so each of our columns has a closed list of names. A
column that is nearly right is refused rather than left alone, for what it says would be lost
without a word.
"""

import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from types import MappingProxyType

from mvadapter.errors import DataError

REQUIRED = ("video", "caption")
OPTIONAL = ("start_seconds", "end_seconds", "split", "id", "group")

COLUMN_NAMES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "video": (
            "video", "video_id", "video_path", "video_file", "video_name", "path", "file",
            "file_name", "filename",
        ),
        "caption": ("caption", "text", "sentence", "description"),
        "start_seconds": (
            "start_seconds", "start_secs", "start_sec", "start_s", "start_time",
            "start", "begin_seconds", "begin_sec", "begin_time", "begin", "from",
        ),
        "end_seconds": (
            "end_seconds", "end_secs", "end_sec", "end_s", "end_time", "end",
            "stop_seconds", "stop_sec", "stop_time", "stop", "to",
        ),
        "split": ("split", "subset", "partition"),
        "id": ("id",),
        "group": ("group",),
    }
)  # fmt: skip
"""Our column -> the names that it may have; capitals, spaces, hyphens and underscores do not count,
so that "Start Time" and "startTime" are "start_time"."""


def _plain(column: str) -> str:
    return re.sub(r"[\s_-]+", "", column.casefold())


_OURS = {_plain(name): ours for ours, names in COLUMN_NAMES.items() for name in names}
# Times that are no seconds, or a beginning and an end in one cell.
_OTHER_TIMES = re.compile(
    r"(start|begin|end|stop|from|to)(time)?(ms|msecs?|millis|milliseconds?|us|ns|frames?|frameidx|"
    r"frameindex|framenumber|idx|index|pts|min|minutes?|stamp|timecode|tc|at|offset|pos|position)"
    r"|frame(start|begin|end|stop)|timestamps?|timespans?|spans?|intervals?"
)
_NEARLY = 0.85


def find_columns(header: Sequence[str], where: str) -> dict[str, str]:
    """Find our columns in a header.

    Args:
        header: All names of columns.
        where: What the header is called in an error.

    Returns:
        Our name -> the table's, for the columns that are there.

    Raises:
        DataError: A column is missing, comes twice, comes under two names, or is nearly right.
    """
    found: dict[str, str] = {}
    plain: set[str] = set()
    for column in header:
        name = _plain(column)
        if name in plain:
            raise DataError(f"{where}: the column {column!r} comes twice; remove one")
        plain.add(name)
        ours = _OURS.get(name)
        if ours is None:
            _refuse_nearly_right(column, name, where)
        elif ours in found:
            raise DataError(
                f"{where}: the columns {found[ours]!r} and {column!r} can both be {ours}; remove "
                f"or rename one"
            )
        else:
            found[ours] = column
    for ours in REQUIRED:
        if ours not in found:
            raise DataError(_missing(ours, header, where))
    if "start_seconds" in found and "end_seconds" not in found and "duration" in plain:
        raise DataError(
            f"{where}: the column 'duration' beside {found['start_seconds']!r} is not read; write "
            f"end_seconds"
        )
    return found


def describe_columns(found: Mapping[str, str], header: Sequence[str]) -> str:
    """Describe in words which columns are used, as what, and which are left alone."""
    used = ", ".join(
        ours if ours == column else f"{column} as {ours}" for ours, column in found.items()
    )
    others = [column for column in header if column not in found.values()]
    return f"columns used: {used}" + (f"; left alone: {', '.join(others)}" if others else "")


def _refuse_nearly_right(column: str, name: str, where: str) -> None:
    if _OTHER_TIMES.fullmatch(name):
        raise DataError(
            f"{where}: the column {column!r} is not read, because times are read in seconds only; "
            f"write start_seconds and end_seconds, or rename it"
        )
    if close := get_close_matches(name, map(_plain, COLUMN_NAMES), 1, cutoff=_NEARLY):
        ours = _OURS[close[0]]
        raise DataError(f"{where}: column {column!r} is not known; did you mean {ours!r}?")


def _missing(ours: str, header: Sequence[str], where: str) -> str:
    message = f"{where}: no column {ours!r}; found {', '.join(header) or 'none'}"
    if len(header) == 1 and (mark := re.search(r"[;\t|]", header[0])):
        message += f" (separate columns with commas, not with {mark[0]!r})"
    return message
