"""Embedded videos in, a table on disk out that survives a crash at any moment.

One table holds the segments of one view. LanceDB writes a change beside the old data and then
switches over in one step, so that every reader, also after a crash, sees a video with all of its
segments or not at all.
"""

from collections.abc import Collection, Iterable, Mapping
from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
from lancedb.db import LanceDBConnection

from mvadapter.embedding.files import EmbeddedFile
from mvadapter.errors import IndexFolderError
from mvadapter.index.find import FileState
from mvadapter.index.moments import Segments

# Old versions stay this long for processes that are reading them.
_KEPT_VERSIONS = timedelta(minutes=10)
# Each change adds small files, and many hundreds of them make everything slow.
_CHANGES_BETWEEN_OPTIMISING = 100
# A condition that names more paths takes long to parse.
_MAX_PATHS_PER_CHANGE = 500


class SegmentTable:
    """The segments of one view on disk.

    Any number of processes may read while one writes; each read returns the latest version.

    Args:
        folder: The folder of the tables of all views.
        name: The view.
        dim: The length of its vectors.

    Raises:
        IndexFolderError: The table is missing or damaged.
    """

    def __init__(self, folder: Path, name: str, dim: int) -> None:
        self._schema = _schema(dim)
        self._num_changes = 0
        try:
            self._table = _connect(folder).open_table(name)
            schema = self._table.schema
        except (OSError, RuntimeError, ValueError) as error:
            raise IndexFolderError(
                f"{folder}: the vectors of {name!r} cannot be read "
                f"({str(error).splitlines()[0]}); copy the index again or build a new one"
            ) from error
        if schema != self._schema:
            raise IndexFolderError(
                f"{folder}: the vectors of {name!r} are not those of this encoder, whose "
                f"embeddings have {dim} numbers; build a new index"
            )

    @classmethod
    def create(cls, folder: Path, name: str, dim: int) -> "SegmentTable":
        """Make an empty table, replacing any of this name; not for two processes at once."""
        database = _connect(folder)
        # Not mode="overwrite": LanceDB would warn on stderr where there is nothing to overwrite.
        database.drop_table(name, ignore_missing=True)
        database.create_table(name, schema=_schema(dim))
        return cls(folder, name, dim)

    @property
    def version(self) -> int:
        """A number that grows with every change."""
        version: int = self._table.version
        return version

    def __len__(self) -> int:
        """The number of segments."""
        num_rows: int = self._table.count_rows()
        return num_rows

    def files(self) -> dict[str, FileState]:
        """Path -> file, as it was when its segments were embedded."""
        columns = ["path", "size_bytes", "mtime_ns"]
        rows = self._table.search().where("segment = 0").select(columns).limit(None).to_arrow()
        return {row["path"]: FileState(**row) for row in rows.select(columns).to_pylist()}

    def segments(self) -> Segments:
        """Read all segments, as arrays that cannot be written to."""
        return _to_segments(self._table.to_arrow())

    def replace(
        self, videos: Iterable[tuple[FileState, EmbeddedFile]], known: Collection[str]
    ) -> None:
        """Add videos, each replacing the video of the same path, in one change.

        Args:
            videos: The videos to add.
            known: The paths that the table holds.
        """
        videos = list(videos)
        if not videos:
            return
        rows = pa.concat_tables([_to_rows(file, video, self._schema) for file, video in videos])
        if old := [file.path for file, _ in videos if file.path in known]:
            self._merge(rows, old)
        else:
            self._table.add(rows)
        self._count_change()

    def move(self, new_files: Mapping[str, FileState]) -> None:
        """Change the paths of videos: old path -> the file it is now."""
        for paths in _portions(new_files):
            rows = self._table.search().where(_any_of(paths)).limit(None).to_arrow()
            rows = rows.select(self._schema.names)
            moved = pa.array([new_files[path].path for path in rows["path"].to_pylist()])
            rows = rows.set_column(0, self._schema.field("path"), moved)
            self._merge(rows, paths)
            self._count_change()

    def remove(self, paths: Collection[str]) -> None:
        """Remove videos."""
        for portion in _portions(paths):
            self._table.delete(_any_of(portion))
            self._count_change()

    def optimise(self) -> None:
        """Join small files into large ones and delete versions that no process reads any more."""
        self._table.optimize(cleanup_older_than=_KEPT_VERSIONS)

    def _merge(self, rows: pa.Table, gone: Collection[str]) -> None:
        """Add rows and remove all others of the paths ``gone``, in one change."""
        (
            self._table.merge_insert(["path", "segment"])
            .when_matched_update_all()
            .when_not_matched_insert_all()
            .when_not_matched_by_source_delete(_any_of(gone))
            .execute(rows)
        )

    def _count_change(self) -> None:
        self._num_changes += 1
        if self._num_changes % _CHANGES_BETWEEN_OPTIMISING == 0:
            self.optimise()


def _connect(folder: Path) -> LanceDBConnection:
    # Without an interval of zero, a table would stay at the version it was opened with.
    return LanceDBConnection(folder, read_consistency_interval=timedelta(0))


def _schema(dim: int) -> pa.Schema:
    columns = {
        "path": pa.string(),
        "segment": pa.int32(),
        "start_seconds": pa.float64(),
        "end_seconds": pa.float64(),
        "size_bytes": pa.int64(),
        "mtime_ns": pa.int64(),
        "vector": pa.list_(pa.float32(), dim),
    }
    return pa.schema([pa.field(name, kind, nullable=False) for name, kind in columns.items()])


def _to_rows(file: FileState, video: EmbeddedFile, schema: pa.Schema) -> pa.Table:
    num_rows = len(video.spans)
    vectors = video.vectors.numpy()
    columns = {
        "path": [file.path] * num_rows,
        "segment": range(num_rows),
        "start_seconds": [span.start_seconds for span in video.spans],
        "end_seconds": [span.end_seconds for span in video.spans],
        "size_bytes": [file.size_bytes] * num_rows,
        "mtime_ns": [file.mtime_ns] * num_rows,
        "vector": pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), vectors.shape[1]),
    }
    return pa.table(columns, schema=schema)


def _to_segments(rows: pa.Table) -> Segments:
    codes = rows["path"].combine_chunks().dictionary_encode()
    names = np.array(codes.dictionary.to_pylist(), dtype=object)
    by_name = np.argsort(names)
    place = np.empty(len(names), dtype=np.int64)
    place[by_name] = np.arange(len(names))
    video = place[codes.indices.to_numpy()]
    order = np.lexsort((rows["segment"].to_numpy(), video))
    dim = rows.schema.field("vector").type.list_size
    vectors = rows["vector"].combine_chunks().flatten().to_numpy().reshape(-1, dim)
    return Segments(
        paths=tuple(names[by_name]),
        video=_read_only(video[order]),
        start_seconds=_read_only(rows["start_seconds"].to_numpy()[order]),
        end_seconds=_read_only(rows["end_seconds"].to_numpy()[order]),
        vectors=_read_only(vectors[order]),
    )


def _read_only(array: np.ndarray) -> np.ndarray:
    array.setflags(write=False)
    return array


def _portions(paths: Iterable[str]) -> list[list[str]]:
    paths = list(paths)
    return [
        paths[first : first + _MAX_PATHS_PER_CHANGE]
        for first in range(0, len(paths), _MAX_PATHS_PER_CHANGE)
    ]


def _any_of(paths: Collection[str]) -> str:
    """SQL that is true for rows of these paths."""
    quoted = ", ".join("'" + path.replace("'", "''") + "'" for path in paths)
    return f"path IN ({quoted})"
