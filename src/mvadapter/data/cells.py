"""A cell of a table in, its text or seconds out."""

import math
from collections.abc import Mapping
from typing import Any

from mvadapter.documents.text import has_lone_surrogate
from mvadapter.errors import DataError

# What other programs write where there is no value.
_NO_VALUE = {"nan", "nat", "<na>", "none", "null", "n/a", "#n/a"}
_SHOWN = 60


def text_cell(row: Mapping[str, Any], column: str, where: str) -> str:
    """The text of a cell that may not be empty, without spaces around it.

    Raises:
        DataError: It is empty, no text, or text that no file can hold.
    """
    value = row.get(column)
    of = f" for {_shown(row.get('video'))}" if column == "caption" else ""
    if _is_empty(value):
        raise DataError(f"{where}: empty {column}{of}")
    if not isinstance(value, str):
        raise DataError(f"{where}: {column} must be text{of}, got {_shown(value)}")
    text = value.strip()
    _refuse_no_value(text, column, where)
    if "\0" in text:
        raise DataError(f"{where}: {column} contains a NUL character{of}; remove it")
    # A file name that is not valid UTF-8 has such halves.
    if column != "video" and has_lone_surrogate(text):
        raise DataError(f"{where}: {column} contains half a character{of}; write it as UTF-8 text")
    return text


def label_cell(row: Mapping[str, Any], column: str, where: str) -> str:
    """The text or number of a cell as text; empty where there is none.

    Raises:
        DataError: It is neither.
    """
    value = row.get(column)
    if _is_empty(value):
        return ""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise DataError(f"{where}: {column} must be text or a number, got {_shown(value)}")
    return text_cell({column: str(value)}, column, where)


def seconds_cell(row: Mapping[str, Any], column: str, where: str) -> float | None:
    """The seconds of a cell; None where it is empty.

    Raises:
        DataError: They are no number, below 0 or not finite.
    """
    value: Any = row.get(column)
    if _is_empty(value):
        return None
    seconds = math.nan
    # Python would read the text "1_0" as 10.
    if not isinstance(value, bool) and "_" not in str(value):
        try:
            seconds = float(value)
        except (TypeError, ValueError, OverflowError):
            seconds = math.nan
    if not (math.isfinite(seconds) and seconds >= 0):
        raise DataError(f"{where}: {column} must be seconds, at least 0, got {_shown(value)}")
    return seconds


def _is_empty(value: object) -> bool:
    """Whether there is no value; pandas writes NaN there."""
    if isinstance(value, float):
        return math.isnan(value)
    return value is None or (isinstance(value, str) and not value.strip())


def _refuse_no_value(text: str, column: str, where: str) -> None:
    if text.casefold() in _NO_VALUE:
        raise DataError(
            f"{where}: {column} is the text {text!r}, which programs write for a missing value; "
            f"leave the cell empty or remove the row"
        )


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
