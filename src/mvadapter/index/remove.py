"""Files and folders in, an index without their videos out."""

import shutil
from collections.abc import Collection, Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from mvadapter.errors import DataError, IndexFolderError
from mvadapter.index.find import AnyPath, absolute_paths, is_in, same_spelling
from mvadapter.index.record import (
    ADAPTERS_FOLDER,
    LOCK_FILE,
    RECORD_FILE,
    VECTORS_FOLDER,
    read_index_record,
)
from mvadapter.index.repair import open_sound
from mvadapter.index.segment_table import SegmentTable
from mvadapter.index.writer import write_lock


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveReport:
    """What `VideoIndex.remove` has done."""

    removed: dict[str, int]
    """Name of the view -> how many videos left it."""
    num_videos: int
    """How many videos left the index, those of several views counted once."""

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self)


def remove_videos(folder: Path, paths: AnyPath | Iterable[AnyPath]) -> RemoveReport:
    """Remove videos from all views of an index; see `VideoIndex.remove`.

    Raises:
        DataError: Nothing of the index is at one of the paths.
        IndexFolderError: Another process is writing to this index, or it is damaged.
        StorageError: The index cannot be written to.
    """
    places = absolute_paths(paths)
    with write_lock(folder):
        record = read_index_record(folder)
        tables = {name: open_sound(folder / VECTORS_FOLDER, name) for name in record.adapters}
        known = {name: table.files().keys() for name, table in tables.items()}
        everything = {*record.sources, *(path for paths in known.values() for path in paths)}
        for place in places:
            if not any(_is_meant(path, place, everything) for path in everything):
                raise DataError(
                    f"{place}: nothing of this index is there; give a path as 'mvadapter search "
                    f"--json' prints it, or a folder above it"
                )
        leaving = {
            name: [
                path
                for path in paths
                if any(_is_meant(path, place, everything) for place in places)
            ]
            for name, paths in known.items()
        }
        for name, table in tables.items():
            table.remove(leaving[name])
            table.finish()
        kept = (s for s in record.sources if not any(is_in(s, place) for place in places))
        replace(record, sources=tuple(kept)).write(folder)
    return RemoveReport(
        removed={name: len(paths) for name, paths in leaving.items()},
        num_videos=len({path for paths in leaving.values() for path in paths}),
    )


def _is_meant(path: str, place: str, everything: Collection[str]) -> bool:
    """Whether a path is a place or inside it; of two spellings of one name, the exact one."""
    if place in everything and same_spelling(path) == same_spelling(place):
        return path == place
    return is_in(path, place)


def remove_empty_index(folder: Path) -> None:
    """Remove an index without videos, and its folder where nothing else is in it.

    Raises:
        IndexFolderError: It has videos, or another process is writing to it.
    """
    with write_lock(folder):
        for name in read_index_record(folder).adapters:
            if len(SegmentTable(folder / VECTORS_FOLDER, name)):
                raise IndexFolderError(f"{folder}: has videos; delete the folder to remove it")
        (folder / RECORD_FILE).unlink()
        shutil.rmtree(folder / ADAPTERS_FOLDER)
        shutil.rmtree(folder / VECTORS_FOLDER)
        # Windows removes no open file; the folder then stays, and takes a new index.
        with suppress(PermissionError):
            (folder / LOCK_FILE).unlink()
    if not any(folder.iterdir()):
        folder.rmdir()
