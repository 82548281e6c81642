"""Embedded videos in, a table on disk out that survives a crash at any moment.

One table holds the segments of one view. LanceDB writes a change beside the old data and then
switches over in one step, so that every reader, also after a crash, sees a video with all of its
segments or not at all. Each row has a digest, and a file beside the table the sum of all of them.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
from lancedb.db import LanceDBConnection

from mvadapter.embedding.files import EmbeddedFile
from mvadapter.errors import IndexFolderError
from mvadapter.index.counting import counted
from mvadapter.index.damage import DamagedTableError
from mvadapter.index.find import FileState
from mvadapter.index.lance_errors import reading, refuse_special_files
from mvadapter.index.moments import Segments
from mvadapter.index.rows import (
    RowCheck,
    check_rows,
    moved,
    table_schema,
    to_rows,
    to_segments,
    total_digest,
    vector_dim,
    with_digests,
)
from mvadapter.index.totals import (
    DamagedTotalsError,
    Totals,
    check_lists,
    hash_data,
    hash_lists,
    read_totals,
    remove_totals,
    write_totals,
)
from mvadapter.storage import writing

# Old versions stay this long for processes that are reading them.
_KEPT_VERSIONS = timedelta(minutes=10)
# Each change adds small files, and many hundreds of them make everything slow.
_CHANGES_BETWEEN_OPTIMISING = 100
# A condition that names more paths takes long to parse.
_MAX_PATHS_PER_CHANGE = 500
# Beside its rows, a change writes a version and a transaction.
_CHANGE_BYTES = 64 * 2**10


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CheckedRows:
    """All rows of a table, and what is wrong with them."""

    rows: pa.Table
    check: RowCheck
    version: int
    is_complete: bool | None
    """Whether all rows are there that were written; None where that is not known, because the last
    writer was interrupted or the table comes from an earlier version."""

    @property
    def problem(self) -> str | None:
        """What is wrong; None if nothing is known to be."""
        if damaged := self.check.damaged:
            num = len(damaged) - 1
            others = f" and {counted(num, 'other video')}" if num else ""
            return f"the vectors of {damaged[0]!r}{others} are damaged"
        if self.is_complete is False:
            return "some of its vectors were lost, or their totals are damaged"
        return None


class SegmentTable:
    """The segments of one view on disk.

    Any number of processes may read while one writes; each read returns the latest version.

    Args:
        folder: The folder of the tables of all views.
        name: The view.
        dim: The length of its vectors; None takes it from the table.

    Raises:
        IndexFolderError: The table is missing or damaged, or cannot be read.
    """

    def __init__(self, folder: Path, name: str, dim: int | None = None) -> None:
        self._folder = folder
        self._name = name
        self._num_changes = 0
        refuse_special_files(self.path)
        with self._reading():
            with suppress(DamagedTotalsError):
                check_lists(folder, name)
            self._table = _connect(folder).open_table(name)
            schema = self._table.schema
            found = vector_dim(schema)
            if schema not in {table_schema(found), table_schema(found, is_early=True)}:
                raise ValueError(f"these are no columns of an index: {schema.names}")
        if dim not in {None, found}:
            raise IndexFolderError(
                f"{self.path}: its vectors have {found} numbers, but this encoder's embeddings "
                f"{dim}; build a new index"
            )

    @classmethod
    def create(cls, folder: Path, name: str, rows: pa.Table) -> "SegmentTable":
        """Make a table of these rows, replacing any of its name; not for two processes at once.

        Raises:
            StorageError: The folder cannot be written to.
        """
        remove_totals(folder, name)
        with reading(folder, name), writing(folder / f"{name}.lance", rows.nbytes + _CHANGE_BYTES):
            database = _connect(folder)
            # Not mode="overwrite": LanceDB would warn on stderr where there is nothing to
            # overwrite.
            database.drop_table(name, ignore_missing=True)
            database.create_table(name, rows, schema=rows.schema)
        return cls(folder, name)

    @property
    def path(self) -> Path:
        """Where the table is."""
        return self._folder / f"{self._name}.lance"

    @property
    def version(self) -> int:
        """A number that grows with every change."""
        with self._reading():
            version: int = self._table.version
        return version

    def __len__(self) -> int:
        """The number of segments."""
        with self._reading():
            num_rows: int = self._table.count_rows()
        return num_rows

    def files(self) -> dict[str, FileState]:
        """Path -> file, as it was when its segments were embedded."""
        columns = ["path", "size_bytes", "mtime_ns"]
        rows = self._rows("segment = 0", columns)
        return {row["path"]: FileState(**row) for row in rows.to_pylist()}

    def read(self) -> CheckedRows:
        """Read all rows and compare them with their digests."""
        # Before the rows: a writer that ends in between has later totals, not earlier ones.
        totals, is_complete = None, None
        try:
            totals = read_totals(self._folder, self._name)
        except DamagedTotalsError:
            is_complete = False
        version = self.version
        with self._reading():
            rows = self._table.to_arrow()
        check = check_rows(rows)
        if totals is not None and version < totals.version:
            is_complete = False
        elif totals is not None and totals.version == version == self.version:
            is_complete = (totals.num_segments, totals.digest) == (
                len(rows),
                total_digest(rows["digest"].to_numpy()),
            )
        return CheckedRows(rows=rows, check=check, version=version, is_complete=is_complete)

    def read_sound(self) -> CheckedRows:
        """Read all rows.

        Raises:
            DamagedTableError: Some are damaged or were lost.
        """
        found = self.read()
        if found.problem:
            raise DamagedTableError(f"{self.path}: {found.problem}")
        return found

    def read_part(self, first: int, num_rows: int) -> pa.Table:
        """Read some rows by their place, from the files that hold these."""
        with self._reading():
            query = self._table.search().offset(first).limit(num_rows)
            return query.to_arrow().select(self._table.schema.names)

    def segments(self) -> Segments:
        """Read all segments, as arrays that cannot be written to.

        Raises:
            DamagedTableError: Some are damaged or were lost.
        """
        return to_segments(self.read_sound().rows)

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
        rows = pa.concat_tables([to_rows(file, video) for file, video in videos])
        if old := [file.path for file, _ in videos if file.path in known]:
            self._merge(rows, old)
        else:
            with self._writing(rows.nbytes):
                self._table.add(rows)
        self._count_change()

    def move(self, new_files: Mapping[str, FileState]) -> None:
        """Change the paths of videos: old path -> the file it is now."""
        for paths in _portions(new_files):
            rows = self._rows(_any_of(paths), self._table.schema.names)
            self._merge(moved(rows, new_files), paths)
            self._count_change()

    def remove(self, paths: Collection[str]) -> None:
        """Remove videos."""
        for portion in _portions(paths):
            with self._writing():
                self._table.delete(_any_of(portion))
            self._count_change()

    def keep(self, found: CheckedRows) -> None:
        """Keep the sound rows of those read, each with its digest, and no others; in one change."""
        rows = with_digests(found.rows.filter(pa.array(found.check.is_sound)))
        with self._writing(rows.nbytes):
            self._table = _connect(self._folder).create_table(
                self._name, rows, schema=rows.schema, mode="overwrite"
            )

    def finish(self) -> None:
        """Join small files into large ones, and note what the table holds.

        Versions that no process reads any more are deleted.
        """
        self._optimise()
        rows = self._rows(None, ["digest"])
        version = self.version
        with self._reading():
            totals = Totals(
                version=version,
                num_segments=len(rows),
                digest=total_digest(rows["digest"].to_numpy()),
                lists_sha256=hash_lists(self._folder, self._name, version),
                data_sha256=hash_data(self._folder, self._name),
            )
        write_totals(self._folder, self._name, totals)

    def _optimise(self) -> None:
        with self._writing():
            self._table.optimize(cleanup_older_than=_KEPT_VERSIONS)

    def _rows(self, where: str | None, columns: list[str]) -> pa.Table:
        with self._reading():
            query = self._table.search()
            if where is not None:
                query = query.where(where)
            return query.select(columns).limit(None).to_arrow().select(columns)

    def _merge(self, rows: pa.Table, gone: Collection[str]) -> None:
        """Add rows and remove all others of the paths ``gone``, in one change."""
        with self._writing(rows.nbytes):
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
            self._optimise()

    @contextmanager
    def _reading(self) -> Iterator[None]:
        with reading(self._folder, self._name):
            yield

    @contextmanager
    def _writing(self, num_bytes: int = 0) -> Iterator[None]:
        if not self.path.is_dir():
            # LanceDB would make a new table of this change alone.
            raise IndexFolderError(f"{self.path}: was removed meanwhile; build the index again")
        with self._reading(), writing(self.path, num_bytes + _CHANGE_BYTES):
            yield


def _connect(folder: Path) -> LanceDBConnection:
    # Without an interval of zero, a table would stay at the version it was opened with.
    return LanceDBConnection(folder, read_consistency_interval=timedelta(0))


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
