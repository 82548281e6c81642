"""What a table holds after its last complete change, in a file beside it, and back.

Each row of a table carries a digest of itself; rows that vanish with a lost version or a damaged
list of deletions are only noticed with this.
"""

from dataclasses import dataclass
from pathlib import Path

from mvadapter.errors import ConfigError
from mvadapter.files import write_text
from mvadapter.index.damage import DamagedTableError
from mvadapter.seals import read_object, sealed_text, unsealed
from mvadapter.settings import settings_from_table, table_from_settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """All rows of a table at one version."""

    version: int
    num_segments: int
    digest: int
    """The sum of all digests, modulo 2**64."""

    def __post_init__(self) -> None:
        if self.version < 1 or self.num_segments < 0 or not 0 <= self.digest < 2**64:
            raise ConfigError("these cannot be the totals of a table")


def read_totals(folder: Path, name: str) -> Totals | None:
    """Read the totals of a table; None where the last writer was interrupted.

    Raises:
        DamagedTableError: They are damaged.
    """
    path = _path(folder, name)
    if not path.is_file():
        return None
    try:
        table = unsealed(read_object(path), str(path))
        return settings_from_table(Totals, table, str(path))
    except (ConfigError, OSError) as error:
        raise DamagedTableError(f"{error}; run 'mvadapter index' with this index") from error


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
