"""A table of videos and captions in, records out; and the other way round.

CSV, JSONL or Parquet with the columns ``video`` and ``caption`` and, optionally,
``start_seconds``, ``end_seconds``, ``split``, ``id``, ``group``, also under the other names in
`mvadapter.data.columns`. Rows with one video, span and split are several captions of it.
"""

import dataclasses
import json
import logging
import os.path
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import pyarrow
import pyarrow.parquet

from mvadapter.data.cells import label_cell, seconds_cell, text_cell
from mvadapter.data.columns import OPTIONAL, REQUIRED, describe_columns, find_columns
from mvadapter.data.origin import read_origin
from mvadapter.data.records import Record
from mvadapter.documents.csv_tables import csv_text, parse_csv, unguard_cell
from mvadapter.documents.text import TABLE_BYTES, DocumentKind, open_ordinary, read_text
from mvadapter.documents.values import read_json_lines
from mvadapter.errors import DataError
from mvadapter.files import atomic_write

TABLE_SUFFIXES = (".csv", ".jsonl", ".parquet")
_KIND = DocumentKind(
    error=DataError,
    expected=(
        f"a table ({', '.join(TABLE_SUFFIXES)}) with columns video and caption; for a published "
        f"dataset, 'mvadapter data prepare' writes one"
    ),
    advice="correct the table",
    max_bytes=TABLE_BYTES,
)

log = logging.getLogger(__name__)

Row: TypeAlias = Mapping[str, Any]
"""Our name of a column -> the cell."""


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
    for where, row in _rows(path):
        cells = tuple(repr(row.get(column)) for column in ("video", *OPTIONAL))
        if cells not in known:
            record = _record(row, root, where)
            segment = (record.video, record.start_seconds, record.end_seconds, record.split)
            known[cells] = drafts.setdefault(segment, (record, []))
            if record.id != (first := known[cells][0].id):
                raise DataError(f"{where}: one segment has two ids, {first!r} and {record.id!r}")
        known[cells][1].append(text_cell(row, "caption", where))
    if not drafts:
        raise DataError(f"{path}: the table has no rows; expected columns {', '.join(REQUIRED)}")
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
    used = [name for name in OPTIONAL if any(_cell(r, name) not in (None, "") for r in records)]
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
                aside.write_text(csv_text(list(rows[0]), rows), encoding="utf-8", newline="")
            case ".jsonl":
                lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
                aside.write_text("".join(lines), encoding="utf-8", newline="")
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


def _rows(path: Path) -> Iterator[tuple[str, Row]]:
    """Give each row with its place: the number of its line, or in Parquet of the row.

    Raises:
        DataError: The file is missing, or is not in the format of its suffix.
    """
    with open_ordinary(path, _KIND):
        check_suffix(path)
    match path.suffix.lower():
        case ".csv":
            yield from _csv_rows(path)
        case ".jsonl":
            yield from _jsonl_rows(path)
        case _:
            yield from _parquet_rows(path)


def _csv_rows(path: Path) -> Iterator[tuple[str, Row]]:
    lines = parse_csv(read_text(path, _KIND), path, _KIND)
    where, cells = next(lines, (f"{path}:1", []))
    header = [unguard_cell(cell) for cell in cells]
    found = _find_columns(header, where, path)
    positions = [(ours, header.index(column)) for ours, column in found.items()]
    for where, cells in lines:
        yield where, {ours: unguard_cell(cells[position]) for ours, position in positions}


def _jsonl_rows(path: Path) -> Iterator[tuple[str, Row]]:
    known: dict[tuple[str, ...], dict[str, str]] = {}
    for where, row in read_json_lines(path, _KIND):
        header = tuple(row)
        if header not in known:
            known[header] = _find_columns(header, where, path)
        yield where, {ours: row[key] for ours, key in known[header].items()}


def _parquet_rows(path: Path) -> Iterator[tuple[str, Row]]:
    try:
        header = pyarrow.parquet.read_schema(path).names
        found = _find_columns(header, str(path), path)
        table = pyarrow.parquet.read_table(path, columns=list(found.values()))
        # Text that is no UTF-8 and lists whose lengths do not add up are not noticed before.
        table.validate(full=True)
        columns = {ours: table[column].to_pylist() for ours, column in found.items()}
    except DataError:
        raise
    # Arrow raises Python's errors too, of whatever the damage leads to.
    except (pyarrow.ArrowException, OSError, ValueError, TypeError, OverflowError) as error:
        reason = str(error).partition("\n")[0]
        raise DataError(f"{path}: cannot be read as Parquet: {reason}") from error
    for number, cells in enumerate(zip(*columns.values(), strict=True), start=1):
        yield f"{path}:{number}", dict(zip(columns, cells, strict=True))


def _find_columns(header: Sequence[str], where: str, path: Path) -> dict[str, str]:
    found = find_columns(header, where)
    # A table that has our names alone leaves no doubt.
    level = logging.DEBUG if list(header) == list(found) else logging.INFO
    log.log(level, "%s: %s", path, describe_columns(found, header))
    return found


def _record(row: Mapping[str, Any], root: Path, where: str) -> Record:
    name = text_cell(row, "video", where)
    start, end = (seconds_cell(row, column, where) for column in ("start_seconds", "end_seconds"))
    if start is not None and end is not None and not start < end:
        raise DataError(f"{where}: the segment must end after it starts, got {start} to {end} s")
    span = "" if start is None and end is None else f"@{start}-{end}"
    return Record(
        id=label_cell(row, "id", where) or f"{name}{span}",
        video=resolve_video(name, root, where),
        captions=(),
        start_seconds=start,
        end_seconds=end,
        split=label_cell(row, "split", where) or "train",
        group=label_cell(row, "group", where),
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
