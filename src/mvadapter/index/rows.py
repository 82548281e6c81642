"""Embedded videos in, the rows of a table out, each with a digest; and the check of rows read."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Int, UInt

from mvadapter.embedding.files import EmbeddedFile
from mvadapter.index.find import FileState
from mvadapter.index.moments import Segments

# The numbers of a row as a digest covers them, without gaps.
_NUMBERS = np.dtype(
    [
        ("segment", "<i4"),
        ("num_segments", "<i4"),
        ("start_seconds", "<f8"),
        ("end_seconds", "<f8"),
        ("size_bytes", "<i8"),
        ("mtime_ns", "<i8"),
        # Its hash.
        ("path", "<u8"),
    ]
)
_ROWS_AT_ONCE = 1024
# Of a vector of float32 that was scaled to unit length.
_UNIT_TOLERANCE = 1e-3
_LATER_COLUMNS = ("num_segments", "digest")
"""Absent from tables without digests."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RowCheck:
    """What is right and wrong with the rows of a table."""

    is_sound: Bool[np.ndarray, " segment"]
    """The rows that are as they were written, of videos that have all their rows."""
    damaged: tuple[str, ...]
    """The videos of the others, by path; a damaged path is shown as it is now."""
    has_digests: bool
    """False for a table of an earlier version: only lengths and numbers of rows were checked."""


def table_schema(dim: int, *, is_early: bool = False) -> pa.Schema:
    """The columns of a table; ``is_early`` is that of an earlier version, without digests."""
    columns = {
        "path": pa.string(),
        "segment": pa.int32(),
        "start_seconds": pa.float64(),
        "end_seconds": pa.float64(),
        "size_bytes": pa.int64(),
        "mtime_ns": pa.int64(),
        "vector": pa.list_(pa.float32(), dim),
    }
    if not is_early:
        # Of its video, to notice a video that has lost some of its rows.
        columns["num_segments"] = pa.int32()
        columns["digest"] = pa.int64()
    return pa.schema([pa.field(name, kind, nullable=False) for name, kind in columns.items()])


def vector_dim(schema: pa.Schema) -> int:
    """The length of the vectors of a table.

    Raises:
        ValueError: It has no vectors.
    """
    if "vector" not in schema.names or not pa.types.is_fixed_size_list(schema.field("vector").type):
        raise ValueError("there is no column of vectors")
    dim: int = schema.field("vector").type.list_size
    return dim


def to_rows(file: FileState, video: EmbeddedFile) -> pa.Table:
    """Make the rows of one video."""
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
    return with_digests(pa.table(columns, schema=table_schema(vectors.shape[1], is_early=True)))


def with_digests(rows: pa.Table) -> pa.Table:
    """Compute the digests of rows again; complete videos only, where they have none yet."""
    schema = table_schema(vector_dim(rows.schema))
    if "num_segments" not in rows.column_names:
        _, video, counts = np.unique(
            rows["path"].to_numpy(), return_inverse=True, return_counts=True
        )
        rows = rows.append_column(
            schema.field("num_segments"), pa.array(counts[video], type=pa.int32())
        )
    rows = rows.select([name for name in schema.names if name != "digest"])
    return rows.append_column(schema.field("digest"), pa.array(_digests(rows)))


def moved(rows: pa.Table, new_files: Mapping[str, FileState]) -> pa.Table:
    """Change the paths of rows: old path -> the file it is now."""
    paths = pa.array([new_files[path].path for path in rows["path"].to_pylist()])
    place = rows.schema.get_field_index("path")
    return with_digests(rows.set_column(place, rows.schema.field("path"), paths))


def check_rows(rows: pa.Table) -> RowCheck:
    """Compare rows with their digests, and the rows of each video with their number."""
    has_digests = all(name in rows.column_names for name in _LATER_COLUMNS)
    vectors = _vectors(rows)
    # A damaged number may be larger than what can be squared.
    with np.errstate(all="ignore"):
        lengths = np.sqrt(np.einsum("rd,rd->r", vectors, vectors))
    # False for NaN too.
    is_sound = np.abs(lengths - 1) <= _UNIT_TOLERANCE
    if has_digests:
        is_sound &= _digests(rows) == rows["digest"].to_numpy()
    codes = rows["path"].combine_chunks().dictionary_encode()
    paths = [
        path.decode(errors="replace") for path in codes.dictionary.cast(pa.binary()).to_pylist()
    ]
    video = codes.indices.to_numpy()
    segment = rows["segment"].to_numpy()
    counts = np.bincount(video, minlength=len(paths))
    wanted = rows["num_segments"].to_numpy() if has_digests else counts[video]
    is_sound &= (wanted == counts[video]) & (segment >= 0) & (segment < wanted)
    # Each number once: a row that is there twice leaves another one out.
    order = np.lexsort((segment, video))
    is_twice = (np.diff(video[order]) == 0) & (np.diff(segment[order]) == 0)
    is_sound[order[1:][is_twice]] = False
    is_good = np.ones(len(paths), dtype=np.bool_)
    is_good[video[~is_sound]] = False
    return RowCheck(
        is_sound=is_good[video],
        damaged=tuple(sorted(path for path, good in zip(paths, is_good, strict=True) if not good)),
        has_digests=has_digests,
    )


def total_digest(digests: Int[np.ndarray, " segment"]) -> int:
    """One number for all rows, in any order."""
    return int(digests.astype(np.uint64).sum(dtype=np.uint64))


def to_segments(rows: pa.Table) -> Segments:
    """Order rows by path and time, as arrays that cannot be written to."""
    codes = rows["path"].combine_chunks().dictionary_encode()
    names = np.array(codes.dictionary.to_pylist(), dtype=object)
    by_name = np.argsort(names)
    place = np.empty(len(names), dtype=np.int64)
    place[by_name] = np.arange(len(names))
    video = place[codes.indices.to_numpy()]
    order = np.lexsort((rows["segment"].to_numpy(), video))
    return Segments(
        paths=tuple(names[by_name]),
        video=_read_only(video[order]),
        start_seconds=_read_only(rows["start_seconds"].to_numpy()[order]),
        end_seconds=_read_only(rows["end_seconds"].to_numpy()[order]),
        vectors=_read_only(_vectors(rows)[order]),
    )


def _digests(rows: pa.Table) -> Int[np.ndarray, " segment"]:
    """Multiply all 32-bit words of each row by random odd numbers of 64 bits, and add.

    A change of one word always changes the sum; of several, with all but certainty. Hashing each
    row by itself would take ten times as long, whenever an index is opened.
    """
    numbers = np.empty(len(rows), dtype=_NUMBERS)
    for name in _NUMBERS.names or ():
        if name != "path":
            numbers[name] = rows[name].to_numpy()
    codes = rows["path"].combine_chunks().dictionary_encode()
    # As bytes, because damaged ones may be no text.
    paths = [
        int.from_bytes(hashlib.blake2b(path, digest_size=8).digest(), "little")
        for path in codes.dictionary.cast(pa.binary()).to_pylist()
    ]
    numbers["path"] = np.array(paths, dtype=np.uint64)[codes.indices.to_numpy()]
    words = numbers.view("<u4").reshape(len(rows), _NUMBERS.itemsize // 4)
    vectors = np.ascontiguousarray(_vectors(rows)).view(np.uint32)
    num_words = words.shape[1]
    factors = _factors(num_words + vectors.shape[1])
    found = np.empty(len(rows), dtype=np.uint64)
    for first in range(0, len(rows), _ROWS_AT_ONCE):
        part = slice(first, first + _ROWS_AT_ONCE)
        found[part] = _sums(words[part], factors[:num_words])
        found[part] += _sums(vectors[part], factors[num_words:])
    return found.view(np.int64)


def _sums(
    words: UInt[np.ndarray, "segment word"], factors: UInt[np.ndarray, " word"]
) -> UInt[np.ndarray, " segment"]:
    sums: np.ndarray = np.einsum("rw,w->r", words.astype(np.uint64), factors)
    return sums


def _factors(num: int) -> UInt[np.ndarray, " word"]:
    # The same on every machine and with every numpy.
    drawn = hashlib.shake_128(b"mvadapter rows").digest(8 * num)
    return np.frombuffer(drawn, dtype="<u8").astype(np.uint64) | np.uint64(1)


def _vectors(rows: pa.Table) -> np.ndarray:
    return rows["vector"].combine_chunks().flatten().to_numpy().reshape(-1, vector_dim(rows.schema))


def _read_only(array: np.ndarray) -> np.ndarray:
    array.setflags(write=False)
    return array
