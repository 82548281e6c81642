"""A table that may be damaged in, one to write into out, in which damaged videos are missing."""

from pathlib import Path

from mvadapter.index.damage import DamagedTableError
from mvadapter.index.segment_table import SegmentTable


def open_repaired(folder: Path, name: str, dim: int) -> tuple[SegmentTable, str | None]:
    """Open a table to write into it, without what is damaged.

    Returns:
        The table, in which damaged videos are missing, and what was wrong; None if nothing was.

    Raises:
        IndexFolderError: The table cannot be read for another reason than damage.
    """
    try:
        table = SegmentTable(folder, name, dim)
        found = table.read()
    except DamagedTableError as error:
        return SegmentTable.create(folder, name, dim), str(error).split(";")[0]
    problem = None
    if not found.is_sound:
        num = len(found.check.damaged)
        problem = f"{table.path}: the entries of {num} videos are damaged"
        if not num:
            problem = f"{table.path}: entries were lost"
    if problem or not found.check.has_digests:
        table.keep(found)
    return table, problem
