"""What a table holds after its last complete change, in a file beside it, and back.

Each row of a table carries a digest of itself; rows that vanish with a lost version or a damaged
list of deletions are only noticed with this.
"""

from dataclasses import dataclass
from pathlib import Path

from mvadapter.documents.text import DocumentKind
from mvadapter.errors import ConfigError
from mvadapter.files import hash_file, write_text
from mvadapter.index.damage import EMBED_AGAIN, DamagedTableError
from mvadapter.seals import read_sealed, sealed_text
from mvadapter.settings import table_from_settings


class DamagedTotalsError(DamagedTableError):
    """The totals are damaged; the table itself may be sound."""


_KIND = DocumentKind(
    error=DamagedTotalsError,
    expected="the totals of a table (JSON)",
    advice=EMBED_AGAIN,
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
    for inside, sha256 in {} if totals is None else totals.lists_sha256.items():
        path = folder / f"{name}.lance" / inside
        # A later version may have replaced it, whose totals are not written yet.
        if path.is_file() and hash_file(path) != sha256:
            raise DamagedTableError(f"{path}: is damaged; {EMBED_AGAIN}")


def hash_lists(folder: Path, name: str, version: int) -> dict[str, str]:
    """Hash LanceDB's lists of the files of one version, and of deleted rows."""
    table = folder / f"{name}.lance"
    # Later versions come first in the order of names; in tables of earlier releases they do not.
    manifests = (table / "_versions" / f"{v}.manifest" for v in (version, 2**64 - 1 - version))
    lists = [path for path in (*manifests, *table.glob("_deletions/*")) if path.is_file()]
    return {path.relative_to(table).as_posix(): hash_file(path) for path in lists}


def write_totals(folder: Path, name: str, totals: Totals) -> None:
    """Write the totals of a table.

    Raises:
        StorageError: The folder cannot be written to.
    """
    write_text(_path(folder, name), sealed_text(table_from_settings(totals)))


def remove_totals(folder: Path, name: str) -> None:
    """Forget what a table held, before it is made anew."""
    _path(folder, name).unlink(missing_ok=True)


def _path(folder: Path, name: str) -> Path:
    return folder / f"{name}.totals.json"
