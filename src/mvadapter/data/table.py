"""A table of videos and captions in, records out; and the other way round.

CSV, JSONL or Parquet with the columns ``video`` and ``caption`` and, optionally,
``start_seconds``, ``end_seconds``, ``split``, ``id``, ``group``. Rows with one video, span and
split are several captions of it. Other columns are left alone, unless they look like a misspelt one
of these.
"""

import csv
import dataclasses
import json
import math
import os.path
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet

from mvadapter.data.origin import read_origin
from mvadapter.data.records import Record
from mvadapter.errors import DataError
from mvadapter.files import atomic_write

_REQUIRED = ("video", "caption")
_OPTIONAL = ("start_seconds", "end_seconds", "split", "id", "group")
TABLE_SUFFIXES = (".csv", ".jsonl", ".parquet")


def read_table(path: str | Path, videos: str | Path | None = None) -> list[Record]:
    """Read the records of a table, in the order in which their videos first come.

    Args:
        path: The table; its suffix gives the format.
        videos: The folder that the videos' names are relative to, and that they may not leave; by
            default the one that it was prepared from, or else the table's own.

    Raises:
        DataError: The table or a row of it cannot be used; the message names the line.
    """
    path = Path(path)
    origin = read_origin(path)
    if videos is not None:
        root = Path(videos)
    else:
        root = path.parent if origin is None else path.parent / origin.videos
    drafts: dict[tuple[object, ...], tuple[Record, list[str]]] = {}
    # The same by the content of a row, so that only the first row of a segment is parsed.
    known: dict[tuple[str, ...], tuple[Record, list[str]]] = {}
    for line, row in _rows(path):
        where = f"{path}:{line}"
        cells = tuple(repr(row.get(column)) for column in ("video", *_OPTIONAL))
        if cells not in known:
            record = _record(row, root, where)
            segment = (record.video, record.start_seconds, record.end_seconds, record.split)
            known[cells] = drafts.setdefault(segment, (record, []))
            if record.id != (first := known[cells][0].id):
                raise DataError(f"{where}: one segment has two ids, {first!r} and {record.id!r}")
        known[cells][1].append(_text(row, "caption", where))
    if not drafts:
        raise DataError(f"{path}: the table has no rows; expected columns {', '.join(_REQUIRED)}")
    records = [dataclasses.replace(record, captions=tuple(c)) for record, c in drafts.values()]
    _check_ids(records, path)
    return records


def write_table(path: Path, records: Sequence[Record], videos: Path) -> None:
    """Write records as a table, completely or not at all; `read_table` reads it.

    Args:
        path: The table; its suffix gives the format.
        records: The records; at least one.
        videos: The folder that the videos' names are relative to.

    Raises:
        DataError: The file name does not end in the suffix of a table.
        OSError: The folder cannot be made or written to.
    """
    used = [name for name in _OPTIONAL if any(_cell(record, name) for record in records)]
    rows: list[dict[str, str | float | None]] = [
        {
            "video": record.video.relative_to(videos).as_posix(),
            "caption": caption,
            **{name: _cell(record, name) for name in used},
        }
        for record in records
        for caption in record.captions
    ]
    check_suffix(path)
    with atomic_write(path) as aside:
        match path.suffix.lower():
            case ".csv":
                with aside.open("w", encoding="utf-8", newline="") as file:
                    writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
                    writer.writeheader()
                    writer.writerows(rows)
            case ".jsonl":
                lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
                aside.write_text("".join(lines), encoding="utf-8")
            case _:
                pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), aside)


def check_suffix(path: Path) -> None:
    """Refuse a file whose name is not that of a table.

    Raises:
        DataError: It is not.
    """
    if path.suffix.lower() not in TABLE_SUFFIXES:
        raise DataError(
            f"{path}: tables end in {', '.join(TABLE_SUFFIXES)}, this one in {path.suffix!r}"
        )


def _cell(record: Record, column: str) -> str | float | None:
    value: str | float | None = getattr(record, column)
    return value


def _check_ids(records: Sequence[Record], path: Path) -> None:
    seen: dict[tuple[str, str], Record] = {}
    for record in records:
        other = seen.setdefault((record.split, record.id), record)
        if other is not record:
            raise DataError(
                f"{path}: id {record.id!r} is used for two segments, {other.video} and "
                f"{record.video}; use one id per segment"
            )


def _rows(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Give each row with the number of its line (of its row, in Parquet).

    Raises:
        DataError: The file is missing, or is not in the format of its suffix.
    """
    if not path.is_file():
        raise DataError(
            f"{path}: no such file; expected a table ({', '.join(TABLE_SUFFIXES)}) with columns "
            f"video and caption; for a published dataset, 'mvadapter data prepare' writes one"
        )
    check_suffix(path)
    match path.suffix.lower():
        case ".csv":
            yield from _csv_rows(path)
        case ".jsonl":
            yield from _jsonl_rows(path)
        case _:
            yield from _parquet_rows(path)


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
            f"{where}: the row has more or fewer fields than the header; put captions with a "
            f"comma in quotes"
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
            raise DataError(f"{where}: no column {column!r}; found {', '.join(map(str, columns))}")
    for column in columns:
        if column not in known and (close := get_close_matches(str(column), known, 1, cutoff=0.85)):
            raise DataError(f"{where}: column {column!r} is not known; did you mean {close[0]!r}?")


def _record(row: Mapping[str, Any], root: Path, where: str) -> Record:
    name = _text(row, "video", where)
    start, end = (_seconds(row, column, where) for column in ("start_seconds", "end_seconds"))
    if start is not None and end is not None and not start < end:
        raise DataError(f"{where}: the segment must end after it starts, got {start} to {end} s")
    span = "" if start is None and end is None else f"@{start}-{end}"
    return Record(
        id=_label(row, "id") or f"{name}{span}",
        video=resolve_video(name, root, where),
        captions=(),
        start_seconds=start,
        end_seconds=end,
        split=_label(row, "split") or "train",
        group=_label(row, "group"),
    )


def resolve_video(name: str, root: Path, where: str) -> Path:
    """Return the path of a video, and refuse a name that points outside the videos' folder.

    Raises:
        DataError: It does.
    """
    base = Path(os.path.abspath(root))  # noqa: PTH100 - links inside the folder are the user's own
    path = Path(os.path.normpath(base / name))
    if not path.is_relative_to(base):
        raise DataError(
            f"{where}: {name!r} is outside {root}; set videos (in a recipe: "
            f"data.videos) to the folder of all videos"
        )
    return path


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
        raise DataError(f"{where}: {column} must be seconds, at least 0, got {value!r}")
    return seconds
