"""A table of videos and captions in, records out.

CSV, JSONL or Parquet with the columns ``video`` and ``caption`` and, optionally,
``start_seconds``, ``end_seconds``, ``split``, ``id``, ``group``. Rows with one video and span are
several captions of it. Other columns are left alone, unless they look like a misspelt one of these.
"""

import csv
import dataclasses
import json
import math
import os.path
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet

from mvadapter.data.records import Record
from mvadapter.errors import DataError

_REQUIRED = ("video", "caption")
_OPTIONAL = ("start_seconds", "end_seconds", "split", "id", "group")
TABLE_SUFFIXES = (".csv", ".jsonl", ".parquet")


def read_table(path: str | Path, videos: str | Path | None = None) -> list[Record]:
    """Read the records of a table, in the order in which their videos first come.

    Args:
        path: The table; its suffix says which of the three formats it has.
        videos: The folder that the videos' names start from, and that they may not leave; by
            default the table's own.

    Raises:
        DataError: The table or a row of it cannot be used; the message says which line.
    """
    path = Path(path)
    root = path.parent if videos is None else Path(videos)
    groups: dict[tuple[Path, float | None, float | None], Record] = {}
    for line, row in _rows(path):
        where = f"{path}:{line}"
        record = _record(row, root, where)
        key = (record.video, record.start_seconds, record.end_seconds)
        known = groups.get(key)
        groups[key] = record if known is None else _with_caption(known, record, where)
    if not groups:
        raise DataError(f"{path}: the table has no rows; expected columns {', '.join(_REQUIRED)}")
    records = list(groups.values())
    seen: dict[str, Record] = {}
    for record in records:
        if record.id in seen:
            raise DataError(
                f"{path}: id {record.id!r} stands for two segments, {seen[record.id].video} and "
                f"{record.video}; give each its own"
            )
        seen[record.id] = record
    return records


def _rows(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Give each row with the number of its line (of its row, in Parquet).

    Raises:
        DataError: The file is missing, or of another kind than its suffix says.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such file; expected a table ({', '.join(TABLE_SUFFIXES)})")
    match path.suffix.lower():
        case ".csv":
            yield from _csv_rows(path)
        case ".jsonl":
            yield from _jsonl_rows(path)
        case ".parquet":
            yield from _parquet_rows(path)
        case suffix:
            raise DataError(
                f"{path}: tables end in {', '.join(TABLE_SUFFIXES)}, this one in {suffix!r}"
            )


def _csv_rows(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = csv.DictReader(file, strict=True)
        try:
            _check_columns(rows.fieldnames or (), f"{path}:1")
            for row in rows:
                _check_width(row, f"{path}:{rows.line_num}")
                yield rows.line_num, row
        except UnicodeDecodeError as error:
            raise DataError(f"{path}: not UTF-8 text ({error.reason}); save it as UTF-8") from error
        except csv.Error as error:
            raise DataError(f"{path}:{rows.line_num}: not valid CSV: {error}") from error


def _check_width(row: Mapping[Any, Any], where: str) -> None:
    # What DictReader does with a row that is too long or too short.
    if None in row or None in row.values():
        raise DataError(
            f"{where}: the row has more or fewer fields than the header; put captions that hold a "
            f"comma into quotes"
        )


def _jsonl_rows(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for line, text in enumerate(path.read_bytes().splitlines(), start=1):
        if not text.strip():
            continue
        try:
            row = json.loads(text)
        except ValueError as error:
            raise DataError(f"{path}:{line}: not valid JSON: {error}") from error
        if not isinstance(row, dict):
            raise DataError(f"{path}:{line}: expected a JSON object with {', '.join(_REQUIRED)}")
        _check_columns(row, f"{path}:{line}")
        yield line, row


def _parquet_rows(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    try:
        table = pyarrow.parquet.read_table(path)
    except (pyarrow.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0]
        raise DataError(f"{path}: cannot be read as Parquet: {reason}") from error
    _check_columns(table.column_names, str(path))
    yield from enumerate(table.to_pylist(), start=1)


def _check_columns(columns: Any, where: str) -> None:  # noqa: ANN401 - any collection of names
    known = (*_REQUIRED, *_OPTIONAL)
    for column in _REQUIRED:
        if column not in columns:
            raise DataError(
                f"{where}: there is no column {column!r}; found {', '.join(map(str, columns))}"
            )
    for column in columns:
        if column not in known and (close := get_close_matches(str(column), known, 1, cutoff=0.85)):
            raise DataError(f"{where}: column {column!r} is not known; did you mean {close[0]!r}?")


def _record(row: Mapping[str, Any], root: Path, where: str) -> Record:
    name, caption = (_text(row, column, where) for column in _REQUIRED)
    start, end = (_seconds(row, column, where) for column in ("start_seconds", "end_seconds"))
    if start is not None and end is not None and not start < end:
        raise DataError(f"{where}: the segment must end after it starts, got {start} to {end} s")
    span = "" if start is None and end is None else f"@{start}-{end}"
    return Record(
        id=_label(row, "id") or f"{name}{span}",
        video=resolve_video(name, root, where),
        captions=(caption,),
        start_seconds=start,
        end_seconds=end,
        split=_label(row, "split") or "train",
        group=_label(row, "group"),
    )


def resolve_video(name: str, root: Path, where: str) -> Path:
    """Give the path of a video that a file names, refusing one that leaves the videos' folder.

    Raises:
        DataError: It does.
    """
    base = Path(os.path.abspath(root))  # noqa: PTH100 - links inside the folder are the user's own
    path = Path(os.path.normpath(base / name))
    if not path.is_relative_to(base):
        raise DataError(
            f"{where}: {name!r} lies outside {root}; name the folder that holds all videos "
            f"with --videos"
        )
    return path


def _with_caption(known: Record, more: Record, where: str) -> Record:
    if known.split != more.split:
        raise DataError(
            f"{where}: {more.id!r} is in split {more.split!r} here and in {known.split!r} before"
        )
    if known.id != more.id:
        raise DataError(f"{where}: one segment has two ids, {known.id!r} and {more.id!r}")
    return dataclasses.replace(known, captions=known.captions + more.captions)


def _label(row: Mapping[str, Any], column: str) -> str:
    value = row.get(column)
    return "" if value is None else str(value).strip()


def _text(row: Mapping[str, Any], column: str, where: str) -> str:
    value = row.get(column)
    of = f" for {row.get('video')!r}" if column == "caption" else ""
    if value is None or value == "" or (isinstance(value, str) and not value.strip()):
        raise DataError(f"{where}: empty {column}{of}")
    if not isinstance(value, str):
        raise DataError(f"{where}: {column} must be text{of}, got {value!r}")
    return value.strip()


def _seconds(row: Mapping[str, Any], column: str, where: str) -> float | None:
    value = row.get(column)
    if value is None or value == "":
        return None
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        seconds = math.nan
    if not (math.isfinite(seconds) and seconds >= 0):
        raise DataError(f"{where}: {column} must be seconds from 0 on, got {value!r}")
    return seconds
