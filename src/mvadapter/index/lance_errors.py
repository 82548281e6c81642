"""What LanceDB raises in, one line that names the file and the way out, out.

LanceDB raises the same kinds of errors for damaged files as for a lack of threads or memory, so
that only the files themselves show whether they are damaged.
"""

import errno
import os
import re
import stat
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa

from mvadapter.errors import IndexFolderError, MvAdapterError
from mvadapter.index.damage import EMBED_AGAIN, DamagedTableError
from mvadapter.index.totals import DamagedTotalsError, changed_files, read_totals
from mvadapter.storage import system_error

# The last bytes of each of its data files and manifests.
_MAGIC = b"LANC"
# What LanceDB says of files of a later version, which nothing is wrong with.
_NEWER = "please upgrade"
# Where in its source code an error was raised.
_RUST = re.compile(r",?\s*\S+\.rs:\d+:\d+")


@contextmanager
def reading(folder: Path, name: str) -> Iterator[None]:
    """Turn what LanceDB raises for a table into one error that names the file.

    Raises:
        IndexFolderError: The table cannot be read, and its files do not show why.
        DamagedTableError: A file of it is missing, cut or changed.
    """
    try:
        yield
    except BaseException as error:
        if isinstance(error, MvAdapterError) or not _is_of_lance(error):
            raise
        problem = _explain(error, folder, name)
        raise problem from error


def refuse_special_files(table: Path) -> None:
    """Refuse a table with a pipe or a device among its files, which LanceDB would wait for.

    Raises:
        IndexFolderError: There is one.
    """
    paths = (Path(folder, name) for folder, _, names in os.walk(table) for name in names)
    if special := next(filter(_is_special, paths), None):
        raise IndexFolderError(
            f"{special}: is not an ordinary file; remove it, and run 'mvadapter index' with this "
            f"index"
        )


def _is_special(path: Path) -> bool:
    try:
        return not stat.S_ISREG(path.stat().st_mode)
    except OSError:
        # A writer may have removed it meanwhile.
        return False


def _is_of_lance(error: BaseException) -> bool:
    """Whether an error is of a kind that damaged files cause; a lack of memory is none."""
    kinds = RuntimeError, ValueError, OSError, pa.ArrowException
    # A panic of the Rust code is no Exception.
    is_panic = type(error).__name__ == "PanicException"
    return is_panic or (isinstance(error, kinds) and not isinstance(error, MemoryError))


def _explain(error: BaseException, folder: Path, name: str) -> IndexFolderError:
    table = folder / f"{name}.lance"
    if _NEWER in str(error):
        return IndexFolderError(
            f"{folder}: a newer version of mvadapter wrote the vectors of {name!r}; update "
            f"mvadapter"
        )
    file = _named_file(error, table)
    number = system_error(error)
    if number is not None and number != errno.ENOENT:
        return IndexFolderError(
            f"{file or table}: the vectors of {name!r} cannot be read "
            f"({os.strerror(number).lower()}); make the index readable, and run the same command "
            f"again"
        )
    try:
        damaged = _damaged_file(folder, name, file)
    except OSError as other:
        return IndexFolderError(
            f"{other.filename or table}: the vectors of {name!r} cannot be read "
            f"({(other.strerror or str(other)).lower()}); make the index readable, and run the "
            f"same command again"
        )
    if damaged is not None:
        reason = "is damaged" if damaged.exists() else "is missing"
        return DamagedTableError(
            f"{damaged}: a file of the vectors of {name!r} {reason}",
            f"{EMBED_AGAIN}, or copy the index again",
        )
    reason = textwrap.shorten(_RUST.split(str(error))[0], 160)
    return IndexFolderError(
        f"{table}: the vectors of {name!r} cannot be used ({reason}), though no damage was found; "
        f"run the same command again, and if that does not help, copy the index again, or delete "
        f"this folder and run 'mvadapter index'"
    )


def _named_file(error: BaseException, table: Path) -> Path | None:
    """The file of a table that an error names."""
    inside = rf"{re.escape(table.name)}[/\\]((?:data|_versions|_deletions)[/\\][\w.-]*\w)"
    found = re.search(inside, str(error))
    return None if found is None else table / found[1]


def _damaged_file(folder: Path, name: str, named: Path | None) -> Path | None:
    """The first file of a table that is missing, cut or changed; None if none is known to be.

    Raises:
        OSError: A file cannot be read.
    """
    table = folder / f"{name}.lance"
    if not table.exists() or not any(table.glob("_versions/*.manifest")):
        return table
    if named is not None and not named.exists():
        return named
    for path in sorted([*table.glob("data/*.lance"), *table.glob("_versions/*.manifest")]):
        if not _is_complete(path):
            return path
    try:
        totals = read_totals(folder, name)
    except DamagedTotalsError:
        return None
    hashes = {} if totals is None else totals.lists_sha256 | totals.data_sha256
    return next(changed_files(folder, name, hashes), None)


def _is_complete(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - len(_MAGIC)))
        return file.read() == _MAGIC
