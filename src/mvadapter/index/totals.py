"""What a table holds after its last complete change, in a file beside it, and back.

Each row of a table carries a digest of itself; rows that vanish with a lost version or a damaged
list of deletions are only noticed with this.
"""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from mvadapter.documents.text import DocumentKind
from mvadapter.errors import ConfigError
from mvadapter.files import hash_file, write_text
from mvadapter.index.damage import DamagedTableError
from mvadapter.seals import read_sealed, sealed_text
from mvadapter.settings import table_from_settings


class DamagedTotalsError(DamagedTableError):
    """The totals are damaged; the table itself may be sound."""


_KIND = DocumentKind(
    error=DamagedTotalsError,
    expected="the totals of a table (JSON)",
    # The error itself says what to do.
    advice="the file is damaged",
    # The digest is a number of 64 bits without a sign.
    has_long_integers=True,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """All rows of a table at one version."""

    version: int
    num_segments: int
    digest: int
    """The sum of all digests, modulo 2**64."""
    lists_sha256: dict[str, str]
    """Of LanceDB's lists of the files of this version and of deleted rows: path inside the table ->
    hash of the file."""
    data_sha256: dict[str, str] = field(default_factory=dict)
    """Of its files of data, which are compared only where LanceDB cannot read them."""

    def __post_init__(self) -> None:
        if self.version < 1 or self.num_segments < 0 or not 0 <= self.digest < 2**64:
            raise ConfigError("these cannot be the totals of a table")


def read_totals(folder: Path, name: str) -> Totals | None:
    """Read the totals of a table; None where the last writer was interrupted.

    Raises:
        DamagedTotalsError: They are damaged.
    """
    path = _path(folder, name)
    if not path.is_file():
        return None
    return read_sealed(path, _KIND, Totals)


def check_lists(folder: Path, name: str) -> None:
    """Refuse a table whose lists of files and deletions are damaged, before LanceDB reads them.

    Raises:
        DamagedTableError: One is not the file that was written.
    """
    totals = read_totals(folder, name)
    for path in changed_files(folder, name, {} if totals is None else totals.lists_sha256):
        raise DamagedTableError(f"{path}: is damaged")


def changed_files(folder: Path, name: str, hashes: Mapping[str, str]) -> Iterator[Path]:
    """Find files of a table that are no longer those that were hashed.

    Files that are not there are left out: a later version may have replaced them, whose totals are
    not written yet.

    Args:
        folder: The folder of the tables.
        name: The table.
        hashes: Path inside the table -> hash of the file.

    Raises:
        OSError: A file cannot be read.
    """
    for inside, sha256 in hashes.items():
        path = folder / f"{name}.lance" / inside
        # Not is_file() first: a writer may remove it in between.
        with suppress(FileNotFoundError):
            if hash_file(path) != sha256:
                yield path


def hash_lists(folder: Path, name: str, version: int) -> dict[str, str]:
    """Hash LanceDB's lists of the files of one version, and of deleted rows."""
    table = folder / f"{name}.lance"
    # Later versions come first in the order of names; in tables of earlier releases they do not.
    manifests = (table / "_versions" / f"{v}.manifest" for v in (version, 2**64 - 1 - version))
    lists = [path for path in (*manifests, *table.glob("_deletions/*")) if path.is_file()]
    return {path.relative_to(table).as_posix(): hash_file(path) for path in lists}


def hash_data(folder: Path, name: str) -> dict[str, str]:
    """Hash the files of data of a table; those that the last totals name were never changed."""
    table = folder / f"{name}.lance"
    known: dict[str, str] = {}
    with suppress(DamagedTotalsError):
        totals = read_totals(folder, name)
        known = {} if totals is None else totals.data_sha256
    places = {path.relative_to(table).as_posix(): path for path in table.glob("data/*.lance")}
    return {inside: known.get(inside) or hash_file(path) for inside, path in places.items()}


def write_totals(folder: Path, name: str, totals: Totals) -> None:
    """Write the totals of a table.

    Raises:
        StorageError: The folder cannot be written to.
    """
    write_text(_path(folder, name), sealed_text(table_from_settings(totals)))


def remove_totals(folder: Path, name: str) -> None:
    """Forget what a table held, before another one is made."""
    _path(folder, name).unlink(missing_ok=True)


def _path(folder: Path, name: str) -> Path:
    return folder / f"{name}.totals.json"
