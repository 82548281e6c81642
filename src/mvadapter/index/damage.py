"""What LanceDB raises in, one line that names the file and the way out, out."""

import errno
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa

from mvadapter.errors import IndexFolderError, MvAdapterError
from mvadapter.storage import system_error

_FILE = re.compile(r"/?([^\s:]+\.lance/[^\s:,]+)")
# The last bytes of each of its data files and manifests.
_MAGIC = b"LANC"
EMBED_AGAIN = "run 'mvadapter index' with this index to embed again what is missing"


# What LanceDB says of files of a later version, which nothing is wrong with.
_NEWER = "please upgrade"


class DamagedTableError(IndexFolderError):
    """A table whose files are missing, cut or changed; embedding its videos again repairs it."""


@contextmanager
def reading(folder: Path, name: str) -> Iterator[None]:
    """Turn what LanceDB raises for a table into one error that names the file.

    Raises:
        IndexFolderError: The table cannot be read.
        DamagedTableError: A file of it is missing, cut or changed.
    """
    try:
        yield
    except BaseException as error:
        if isinstance(error, MvAdapterError) or not _is_of_lance(error):
            raise
        if _NEWER in str(error):
            raise IndexFolderError(
                f"{folder}: a newer version of mvadapter wrote the vectors of {name!r}; update "
                f"mvadapter"
            ) from error
        path = _file_of(error, folder, name)
        number = system_error(error)
        if number is not None and number != errno.ENOENT:
            raise IndexFolderError(
                f"{path}: the vectors of {name!r} cannot be read ({os.strerror(number).lower()}); "
                f"make the index readable, and run the same command again"
            ) from error
        reason = "is damaged" if path.exists() else "is missing"
        raise DamagedTableError(
            f"{path}: a file of the vectors of {name!r} {reason}; {EMBED_AGAIN}, or copy the index "
            f"again"
        ) from error


def _is_of_lance(error: BaseException) -> bool:
    """Whether an error is of a kind that damaged files cause; a lack of memory is none."""
    kinds = RuntimeError, ValueError, OSError, pa.ArrowException
    # A panic of the Rust code is no Exception.
    is_panic = type(error).__name__ == "PanicException"
    return is_panic or (isinstance(error, kinds) and not isinstance(error, MemoryError))


def refuse_damaged(path: Path, damaged: Sequence[str], *, is_whole: bool) -> None:
    """Refuse rows that are not those that were written.

    Args:
        path: The table.
        damaged: The videos whose rows are damaged.
        is_whole: Whether all rows that were written are there.

    Raises:
        DamagedTableError: There are damaged or missing rows.
    """
    if damaged:
        others = f" and {len(damaged) - 1} other videos" if len(damaged) > 1 else ""
        raise DamagedTableError(
            f"{path}: the vectors of {damaged[0]!r}{others} are damaged; {EMBED_AGAIN}"
        )
    if not is_whole:
        raise DamagedTableError(
            f"{path}: some of its vectors were lost, or their totals are damaged; {EMBED_AGAIN}"
        )


def _file_of(error: BaseException, folder: Path, name: str) -> Path:
    """The file that is damaged, where the error or the file itself shows it; else the table."""
    table = folder / f"{name}.lance"
    if found := _FILE.search(str(error)):
        inside = found[1].rsplit(f"{name}.lance/", maxsplit=1)
        if len(inside) == 2:
            return table / inside[1]
    for path in sorted([*table.glob("data/*.lance"), *table.glob("_versions/*.manifest")]):
        if not _is_complete(path):
            return path
    return table


def _is_complete(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - len(_MAGIC)))
            return file.read() == _MAGIC
    except OSError:
        return False
