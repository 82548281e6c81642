"""A table that may be damaged in, one to write into out, in which damaged videos are missing."""

from pathlib import Path

import pyarrow as pa

from mvadapter.index.damage import DamagedTableError
from mvadapter.index.rows import check_rows, table_schema
from mvadapter.index.segment_table import SegmentTable, damaged_copy

# Rows that cannot be read are looked for in ever smaller parts, down to this.
_SMALLEST_PART = 8


def open_repaired(folder: Path, name: str, dim: int) -> tuple[SegmentTable, str | None]:
    """Open a table to write into it, without what is damaged.

    A table that cannot be read is replaced by one of its sound rows; the damaged one is deleted
    when the new one is finished.

    Returns:
        The table, in which damaged videos are missing, and what was wrong; None if nothing was.

    Raises:
        IndexFolderError: The table cannot be read for another reason than damage.
    """
    path, aside = folder / f"{name}.lance", damaged_copy(folder, name)
    if aside.exists() and not path.exists():
        aside.rename(path)
    problem = f"{path}: its last repair was interrupted" if aside.exists() else None
    try:
        table = SegmentTable(folder, name, dim)
        found = table.read()
    except DamagedTableError as error:
        rows = _sound_rows(folder, name, dim)
        return SegmentTable.create_again(folder, name, rows), error.problem
    if found.problem:
        problem = f"{path}: {found.problem}"
    if found.problem or not found.check.has_digests:
        table.keep(found)
    return table, problem


def open_sound(folder: Path, name: str) -> SegmentTable:
    """Open a table to write into it, with a digest of each row.

    Raises:
        DamagedTableError: It is damaged.
        IndexFolderError: It cannot be read.
    """
    table = SegmentTable(folder, name)
    found = table.read_sound()
    if not found.check.has_digests:
        table.keep(found)
    return table


def _sound_rows(folder: Path, name: str, dim: int) -> pa.Table:
    """Read what can be read of a damaged table: the videos that have all their rows."""
    none = table_schema(dim).empty_table()
    try:
        table = SegmentTable(folder, name, dim)
        rows = pa.concat_tables([none, *_readable(table, 0, len(table))])
    except (DamagedTableError, pa.ArrowInvalid):
        # The second is a table of an earlier version, which cannot show that rows were lost.
        return none
    return rows.filter(pa.array(check_rows(rows).is_sound))


def _readable(table: SegmentTable, first: int, num_rows: int) -> list[pa.Table]:
    try:
        return [table.read_part(first, num_rows)] if num_rows else []
    except DamagedTableError:
        if num_rows <= _SMALLEST_PART:
            return []
    half = num_rows // 2
    return [
        *_readable(table, first, half),
        *_readable(table, first + half, num_rows - half),
    ]
