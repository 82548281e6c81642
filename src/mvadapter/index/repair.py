"""A table that may be damaged in, one to write into out, in which damaged videos are missing."""

import shutil
from pathlib import Path

import pyarrow as pa

from mvadapter.index.damage import DamagedTableError
from mvadapter.index.rows import check_rows, table_schema
from mvadapter.index.segment_table import SegmentTable
from mvadapter.storage import writing

# Rows that cannot be read are looked for in ever smaller parts, down to this.
_SMALLEST_PART = 8


def open_repaired(folder: Path, name: str, dim: int) -> tuple[SegmentTable, str | None]:
    """Open a table to write into it, without what is damaged.

    A table that cannot be read is replaced by one of its sound rows, and stays beside it until
    `finish_repair`.

    Returns:
        The table, in which damaged videos are missing, and what was wrong; None if nothing was.

    Raises:
        IndexFolderError: The table cannot be read for another reason than damage.
        StorageError: The folder cannot be written to.
    """
    path, aside = folder / f"{name}.lance", _damaged_copy(folder, name)
    if aside.exists() and not any(path.glob("_versions/*.manifest")):
        # The repair stopped before the new table was there.
        with writing(path):
            shutil.rmtree(path, ignore_errors=True)
            aside.rename(path)
    problem = interrupted_repair(folder, name)
    try:
        table = SegmentTable(folder, name, dim)
        found = table.read()
    except DamagedTableError as error:
        rows = _sound_rows(folder, name, dim)
        if path.exists():
            with writing(path):
                shutil.rmtree(aside, ignore_errors=True)
                path.rename(aside)
        return SegmentTable.create(folder, name, rows), error.problem
    if found.problem:
        problem = f"{path}: {found.problem}"
    if found.problem or not found.check.has_digests:
        table.keep(found)
    return table, problem


def finish_repair(table: SegmentTable) -> None:
    """Delete the damaged table that a finished one replaces, if there is one."""
    shutil.rmtree(_damaged_copy(table.path.parent, table.path.stem), ignore_errors=True)


def interrupted_repair(folder: Path, name: str) -> str | None:
    """What to report where a repair was begun and not finished; None elsewhere."""
    if not _damaged_copy(folder, name).exists():
        return None
    return f"{folder / f'{name}.lance'}: its last repair was interrupted"


def open_sound(folder: Path, name: str) -> SegmentTable:
    """Open a table to write into it, with a digest of each row.

    Raises:
        DamagedTableError: It is damaged, or its repair is not finished.
        IndexFolderError: It cannot be read.
    """
    if problem := interrupted_repair(folder, name):
        raise DamagedTableError(problem)
    table = SegmentTable(folder, name)
    found = table.read_sound()
    if not found.check.has_digests:
        table.keep(found)
    return table


def _damaged_copy(folder: Path, name: str) -> Path:
    """Where a damaged table is kept while it is repaired."""
    # Not the name of any view's table, for those end in ".lance".
    return folder / f"{name}.lance.damaged"


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
