"""``index.json`` in, the record of an index out, and back.

The folder of an index needs nothing from outside but the CLIP, and the videos at their paths::

    index.json             what was indexed, with which CLIP and which adapters
    adapters/<view>/       a copy of the adapter of each view
    vectors/<view>.lance/  the segments of all videos, as that adapter embeds them
    lock                   held by the process that is writing
"""

import importlib.metadata
import json
from dataclasses import dataclass, field
from pathlib import Path

from mvadapter.documents.text import DocumentKind
from mvadapter.documents.values import read_json_object
from mvadapter.errors import ConfigError, IndexFolderError, UnknownNameError
from mvadapter.files import write_text
from mvadapter.index.find import is_gone
from mvadapter.settings import settings_from_table, table_from_settings

RECORD_FILE = "index.json"
ADAPTERS_FOLDER = "adapters"
VECTORS_FOLDER = "vectors"
LOCK_FILE = "lock"
_FORMAT = 1
_KIND = DocumentKind(
    error=IndexFolderError,
    expected="the record of an index (JSON)",
    advice="copy the index again or build a new one",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexRecord:
    """The content of ``index.json``."""

    format: int = _FORMAT
    """Version of the folder's layout."""
    mvadapter_version: str = field(default_factory=lambda: importlib.metadata.version("mvadapter"))
    backbone_name: str
    """The CLIP of all its views: a folder, a hub id or "tiny"."""
    backbone_fingerprint: str
    max_segment_seconds: float
    """Videos are cut into as few equal segments as possible, none longer than this."""
    adapters: dict[str, str] = field(default_factory=dict)
    """Name of the view -> SHA-256 of its adapter's weights, oldest first."""
    sources: tuple[str, ...] = ()
    """The files and folders that were added, absolute and sorted."""

    def __post_init__(self) -> None:
        if not 0 < self.max_segment_seconds < float("inf"):
            raise ConfigError(
                f"max_segment_seconds must be a number above 0, got {self.max_segment_seconds}"
            )

    def view_name(self, name: str | None) -> str:
        """Check the name of a view; None is the newest.

        Raises:
            UnknownNameError: The index has no such view.
        """
        if name is None:
            return list(self.adapters)[-1]
        if name not in self.adapters:
            raise UnknownNameError("view", name, self.adapters)
        return name

    def write(self, folder: Path) -> None:
        """Write it into an index folder, completely or not at all.

        Raises:
            OSError: The folder cannot be written to.
        """
        write_text(folder / RECORD_FILE, json.dumps(table_from_settings(self), indent=2) + "\n")


def read_index_record(folder: Path) -> IndexRecord:
    """Read the record of an index folder.

    Raises:
        IndexFolderError: It is not an index folder, is damaged, or comes from a newer mvadapter.
    """
    path = folder / RECORD_FILE
    if is_gone(str(path)):
        raise IndexFolderError(
            f"{folder}: no index here ({RECORD_FILE} is missing); "
            f"create one with: mvadapter index {folder} VIDEOS... (in Python: VideoIndex.create)"
        )
    table = read_json_object(path, _KIND)
    if table.get("format") != _FORMAT:
        raise IndexFolderError(
            f"{path}: written in format {table.get('format')!r}, this mvadapter reads format "
            f"{_FORMAT}; update mvadapter"
        )
    try:
        record = settings_from_table(IndexRecord, table, str(path))
    except ConfigError as error:
        raise IndexFolderError(str(error)) from error
    if not record.adapters:
        raise IndexFolderError(f"{path}: names no adapter; copy the index again or build a new one")
    return record
