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
        "split": ("split", "subset", "partition", "data_split", "dataset_split"),
        "id": ("id",),
        "group": ("group",),
    }
)  # fmt: skip
"""Our column -> the names that it may have; only letters and digits count, and no capitals, so that
"Start Time", "startTime" and "start [time]" are "start_time"."""


def _plain(column: str) -> str:
    return re.sub(r"[\W_]+", "", column.casefold())


_OURS = {_plain(name): ours for ours, names in COLUMN_NAMES.items() for name in names}
# Times that are no seconds, or a beginning and an end in one cell.
_OTHER_TIMES = re.compile(
    r"(start|begin|end|stop|from|to)(time)?(ms|msecs?|millis|milliseconds?|us|ns|frames?|frameidx|"
    r"frameindex|framenumber|idx|index|pts|min|minutes?|stamp|timecode|tc|at|offset|pos|position)"
    r"|frame(start|begin|end|stop)|timestamps?|timespans?|spans?|intervals?"
)
# A word of a longer name, such as "clip_start", that says that the column holds times.
_TIME_WORDS = frozenset({
    "begin", "beginning", "begins", "end", "ended", "ending", "ends", "endtime", "onset", "ss",
    "start", "started", "starting", "starts", "starttime", "stop", "stops",
})  # fmt: skip
_OTHER_TIME_NAMES = frozenset(
    {"inpoint", "outpoint", "t0", "t1", "tend", "times", "tstart", "window"}
)
_LENGTHS = frozenset({"dur", "duration", "len", "length"})
_OTHER_SPLITS = frozenset({"fold", "istest", "istrain", "phase", "set", "traintest", "usage"})
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
    _refuse_half_a_span(found, plain, where)
    return found


def _refuse_half_a_span(found: Mapping[str, str], plain: set[str], where: str) -> None:
    start, end = found.get("start_seconds"), found.get("end_seconds")
    if start and not end and (length := sorted(_LENGTHS & plain)):
        raise DataError(
            f"{where}: the column {length[0]!r} beside {start!r} is not read; write end_seconds"
        )
    for one, other, pair in ((start, end, ("from", "to")), (end, start, ("to", "from"))):
        if one and _plain(one) == pair[0] and (not other or _plain(other) != pair[1]):
            raise DataError(
                f"{where}: the column {one!r} is read as a time only beside {pair[1]!r}; write "
                f"start_seconds and end_seconds, or rename it"
            )


def describe_columns(found: Mapping[str, str], header: Sequence[str]) -> str:
    """Describe in words which columns are used, as what, and which are left alone."""
    used = ", ".join(
        ours if ours == column else f"{column} as {ours}" for ours, column in found.items()
    )
    others = [column for column in header if column not in found.values()]
    return f"columns used: {used}" + (f"; left alone: {', '.join(others)}" if others else "")


def _refuse_nearly_right(column: str, name: str, where: str) -> None:
    if name in _OTHER_SPLITS:
        raise DataError(
            f"{where}: the column {column!r} may be the split, but is not read as it; write split, "
            f"or rename it"
        )
    is_time = _OTHER_TIMES.fullmatch(name) or name in _OTHER_TIME_NAMES
    if not is_time and (close := get_close_matches(name, _OURS, 1, cutoff=_NEARLY)):
        ours = _OURS[close[0]]
        raise DataError(f"{where}: column {column!r} is not known; did you mean {ours!r}?")
    if is_time or _words(column) & _TIME_WORDS:
        raise DataError(
            f"{where}: the column {column!r} is not read, because times are read in seconds only; "
            f"write start_seconds and end_seconds, or rename it"
        )


def _words(column: str) -> set[str]:
    """The words of a name, such as "clip" and "start" of "clipStart1"."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", column)
    return {word.strip("0123456789").casefold() for word in re.split(r"[\W_]+", spaced)}


def _missing(ours: str, header: Sequence[str], where: str) -> str:
    message = f"{where}: no column {ours!r}; found {', '.join(header) or 'none'}"
    if len(header) == 1 and (mark := re.search(r"[;\t|]", header[0])):
        message += f" (separate columns with commas, not with {mark[0]!r})"
    return message
