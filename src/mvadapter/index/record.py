"""``index.json`` in, the record of an index out, and back.

The folder of an index needs nothing from outside but the CLIP, and the videos at their paths::

    index.json             what was indexed, with which CLIP and which adapters
    adapters/<view>/       a copy of the adapter of each view
    vectors/<view>.lance/  the segments of all videos, as that adapter embeds them
    lock                   held by the process that is writing
"""

import importlib.metadata
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mvadapter.documents.text import DocumentKind, is_missing
from mvadapter.documents.values import read_json_object
from mvadapter.encoder.adapter_folder import AdapterRecord
from mvadapter.errors import ConfigError, IndexFolderError, UnknownNameError
from mvadapter.files import write_text
from mvadapter.seals import sealed_text, settings_of, unsealed
from mvadapter.settings import table_from_settings

RECORD_FILE = "index.json"
ADAPTERS_FOLDER = "adapters"
VECTORS_FOLDER = "vectors"
LOCK_FILE = "lock"
_KIND = DocumentKind(
    error=IndexFolderError,
    expected="the record of an index (JSON)",
    advice="copy the index again or build a new one",
)
_FORMAT = 2
_LAST_UNSEALED = 1
"""In format 1 there were no digests."""
_READABLE = (_LAST_UNSEALED, _FORMAT)


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewRecord:
    """What decides the embeddings of a view beside the CLIP and the segments."""

    method: str
    settings: dict[str, Any]
    inputs: dict[str, Any]
    """Frames, tokens and sampling."""
    weights_sha256: str

    @classmethod
    def of(cls, saved: AdapterRecord) -> "ViewRecord":
        """Take it from the record of an adapter."""
        return cls(
            method=saved.method,
            settings=saved.settings,
            inputs=saved.inputs,
            weights_sha256=saved.weights_sha256,
        )

    def difference(self, other: "ViewRecord") -> str | None:
        """The first setting in which another view differs, with both values; None if none does."""
        mine, theirs = _flat(self), _flat(other)
        for key in sorted(mine.keys() | theirs.keys()):
            if mine.get(key) != theirs.get(key):
                return f"{key} {_short(mine.get(key))}, not {_short(theirs.get(key))}"
        return None


def _flat(view: ViewRecord) -> dict[str, Any]:
    return {
        "method": view.method,
        "weights": view.weights_sha256,
        **{f"settings.{key}": value for key, value in view.settings.items()},
        **{f"inputs.{key}": value for key, value in view.inputs.items()},
    }


def _short(value: object) -> str:
    return value[:12] if isinstance(value, str) else repr(value)


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexRecord:
    """The content of ``index.json``."""

    format: int = _FORMAT
    """Version of the folder's layout."""
    mvadapter_version: str = field(default_factory=lambda: importlib.metadata.version("mvadapter"))
    backbone_name: str
    """The CLIP of all its views: a folder, a hub id or "tiny"."""
    backbone_fingerprint: str
    backbone_parts: dict[str, str] = field(default_factory=dict)
    """A hash of each part of the fingerprint; empty for an index of an earlier version."""
    max_segment_seconds: float
    """Videos are cut into as few equal segments as possible, none longer than this."""
    adapters: dict[str, str] = field(default_factory=dict)
    """Name of the view -> SHA-256 of its adapter's weights, oldest first."""
    views: dict[str, ViewRecord] = field(default_factory=dict)
    """Name of the view -> what decides its embeddings; without views of an earlier version."""
    sources: tuple[str, ...] = ()
    """The files and folders that were added, absolute and sorted."""

    def __post_init__(self) -> None:
        if self.views.keys() - self.adapters.keys():
            raise ConfigError(f"views must be among adapters, got {sorted(self.views)}")
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
            IndexFolderError: The folder was removed.
            StorageError: It cannot be written to.
        """
        if not folder.is_dir():
            raise IndexFolderError(f"{folder}: was removed meanwhile; build the index again")
        table = table_from_settings(self) | {"format": _FORMAT}
        write_text(folder / RECORD_FILE, sealed_text(table))


def read_index_record(folder: Path) -> IndexRecord:
    """Read the record of an index folder.

    Raises:
        IndexFolderError: It is not an index folder, is damaged, or comes from a newer mvadapter.
    """
    path = folder / RECORD_FILE
    if is_missing(path):
        raise IndexFolderError(
            f"{folder}: no index here ({RECORD_FILE} is missing); "
            f"create one with: mvadapter index {folder} VIDEOS... (in Python: VideoIndex.create)"
        )
    table = read_json_object(path, _KIND)
    _refuse_format(table, path)
    plain = unsealed(table, path, _KIND, has_seal=table["format"] > _LAST_UNSEALED)
    record = settings_of(IndexRecord, plain, path, _KIND)
    if not record.adapters:
        raise IndexFolderError(f"{path}: names no adapter; copy the index again or build a new one")
    return record


def _refuse_format(table: Mapping[str, Any], path: Path) -> None:
    """Refuse the layout of another version.

    Raises:
        IndexFolderError: It is one that this version does not read.
    """
    if table.get("format") not in _READABLE:
        raise IndexFolderError(
            f"{path}: written in format {table.get('format')!r}, this mvadapter reads format "
            f"{' and '.join(map(str, _READABLE))}; update mvadapter"
        )
