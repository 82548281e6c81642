"""The origin of a prepared table and the videos it lacks, in a file beside it.

The three formats of tables have no common place for this, so it is stored in
``TABLE.origin.json``. A table that was not prepared from a dataset has none.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from mvadapter.documents.text import DocumentKind
from mvadapter.documents.values import read_json_object
from mvadapter.errors import DataError
from mvadapter.files import hash_file, write_text
from mvadapter.seals import read_sealed, sealed_text
from mvadapter.settings import check_range, table_from_settings

ORIGIN_SUFFIX = ".origin.json"
_AGAIN = (
    "run 'mvadapter data prepare' again, or delete it and set videos (in a recipe: data.videos)"
)
_KIND = DocumentKind(error=DataError, expected="the origin of a table (JSON)", advice=_AGAIN)


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """The origin of a table."""

    dataset: str
    """The dataset's name."""
    videos: str
    """The folder that the videos' names are relative to, seen from the table's folder."""
    table_sha256: str
    """Of the table that this belongs to."""
    missing_policy: Literal["error", "skip"] = "error"
    """What was done about videos without a file when the table was prepared."""
    missing: dict[str, dict[str, int]] = field(default_factory=dict)
    """Split -> videos that had no file -> how many captions each would have."""

    def __post_init__(self) -> None:
        for split, videos in self.missing.items():
            for video, num_captions in videos.items():
                check_range(f"missing.{split}.{video}", num_captions, 0)


def read_origin(table: Path) -> Origin | None:
    """Read the origin of a table; None if it was not prepared.

    Raises:
        DataError: The file beside it is damaged, or belongs to another version of the table.
    """
    path = _beside(table)
    if not (path.exists() and table.is_file()):
        return None
    origin = read_sealed(path, _KIND, Origin)
    if origin.table_sha256 != hash_file(table):
        raise DataError(f"{path}: belongs to another version of {table.name}; {_AGAIN}")
    return origin


def has_origin(table: Path) -> bool:
    """Whether a table is as `mvadapter data prepare` wrote it."""
    try:
        return read_origin(table) is not None
    except DataError:
        return False


def check_origin(table: Path) -> None:
    """Refuse to prepare a table where somebody else's file has the name of its origin.

    Raises:
        DataError: One has.
    """
    path = _beside(table)
    if path.exists() and "table_sha256" not in read_json_object(path, _KIND):
        raise DataError(f"{path}: is not the origin of a table; move it, or choose another table")


def missing_captions(table: Path, split: str) -> dict[str, int]:
    """The videos that a split lacks, with how many captions each would have.

    Raises:
        DataError: The origin's file is damaged, or belongs to another version of the table.
    """
    origin = read_origin(table)
    return {} if origin is None else origin.missing.get(split, {})


def write_origin(table: Path, origin: Origin) -> None:
    """Write the origin of a table, completely or not at all.

    Raises:
        OSError: The folder cannot be written to.
    """
    write_text(_beside(table), sealed_text(table_from_settings(origin)))


def _beside(table: Path) -> Path:
    # Not with_name, which "." has none for.
    return table.parent / f"{table.name}{ORIGIN_SUFFIX}"
