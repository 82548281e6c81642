"""Records in, their frames on disk; later the frames out, without decoding a video again.

Beside a table is ``TABLE.frames/``, with one folder for each number of frames, sampling and
size, such as ``12-uniform-224px``. It holds shards, Arrow files whose rows are the JPEGs of one
record each, and ``index.parquet``, which maps records to shards. A shard is written completely
before the index that names it, so the index is valid even after a crash.
"""

import hashlib
import io
import json
import logging
import re
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeAlias, get_args

import numpy as np
import pyarrow
import pyarrow.ipc
import pyarrow.parquet
import torch
from PIL import Image
from pydantic import TypeAdapter

from mvadapter.backbone.recipes import Resize
from mvadapter.data.frames import FrameBytes, FrameSettings
from mvadapter.data.records import Record
from mvadapter.documents.text import DocumentKind
from mvadapter.errors import ConfigError, DataError, VideoError
from mvadapter.files import atomic_write, locked
from mvadapter.settings import check_range, plain_value
from mvadapter.storage import make_folder
from mvadapter.video.sample import Sampling
from mvadapter.workers import map_in_order

log = logging.getLogger(__name__)

_INDEX = "index.parquet"
_LOCK = "lock"
_IMAGES = "images"
_DIGEST = b"sha256"
# What is lost when the process is killed is at most one shard.
_SHARD_BYTES = 64 * 2**20
_SHARD_SECONDS = 30.0
_JPEG_QUALITY = 95

# What `_name` writes.
_NAME = re.compile(
    rf"(?P<num_frames>\d+)-(?P<sampling>{'|'.join(get_args(Sampling))})-(?P<size>\d+)px"
    r"(-of-(?P<short>\d+)px)?(?P<squash>-squash)?(?P<bilinear>-bilinear)?"
)

_Key: TypeAlias = tuple[str, float | None, float | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    """Where the frames of one record are."""

    id: str
    start_seconds: float | None
    end_seconds: float | None
    size_bytes: int
    """Of the video file that they were decoded from; another size means another video."""
    shard: str
    row: int
    sha256: str
    """Of the stored images, one after the other."""

    def __post_init__(self) -> None:
        check_range("row", self.row, 0)
        check_range("size_bytes", self.size_bytes, 0)

    @property
    def key(self) -> _Key:
        return self.id, self.start_seconds, self.end_seconds


_ENTRIES = TypeAdapter(list[_Entry])


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreReport:
    """The result of storing frames."""

    folder: Path
    num_stored: int
    """Records whose frames are there now."""
    num_new: int
    """Those that were not there before."""
    num_bytes: int
    """The size of the folder."""
    skipped: dict[str, str]
    """Record id -> why its video gives no frames."""


class FrameStore:
    """The stored frames of a table's records.

    Args:
        folder: One of `stored_folders`, or a new one.
        settings: What was, or will be, stored there.

    Raises:
        DataError: The index is damaged.
    """

    def __init__(self, folder: Path, settings: FrameSettings) -> None:
        self.folder = folder
        self._settings = settings
        self._shards: dict[str, pyarrow.Table | None] = {}
        self._entries = _read_index(folder / _INDEX)

    def frames(self, record: Record) -> FrameBytes | None:
        """The stored frames of a record; None where they are not stored, or are damaged."""
        images = self.stored(record)
        return None if images is None else _unpacked(images)

    def stored(self, record: Record) -> list[bytes] | None:
        """The images of a record as they are stored; None where they are not, or are damaged."""
        entry = self._entries.get(_key(record))
        if entry is None or not _is_made_from(entry, record.video):
            return None
        shard = self._shard(entry.shard)
        if shard is not None and entry.row < len(shard):
            images: list[bytes] = shard.column(_IMAGES)[entry.row].as_py()
            if _checksum(images) == entry.sha256:
                return images
        log.warning(
            "%s: the stored frames of %s are damaged, so its video is decoded; "
            "mvadapter data prepare --frames stores them again",
            self.folder / entry.shard,
            record.id,
        )
        return None

    def add(self, records: Sequence[Record], images: Sequence[list[bytes]]) -> None:
        """Store the images of records as one more shard.

        Raises:
            OSError: The folder cannot be written to.
        """
        # Not one that the index names; one that it does not name was cut short and is replaced.
        taken = [int(Path(entry.shard).stem) for entry in self._entries.values()]
        name = f"{max(taken, default=-1) + 1:06}.arrow"
        shard = pyarrow.table({_IMAGES: pyarrow.array(images, pyarrow.list_(pyarrow.binary()))})
        with (
            atomic_write(self.folder / name, shard.nbytes) as aside,
            pyarrow.ipc.new_file(aside, shard.schema) as file,
        ):
            file.write_table(shard)
        self._shards.pop(name, None)
        for row, (record, stored) in enumerate(zip(records, images, strict=True)):
            entry = _Entry(
                id=record.id,
                start_seconds=record.start_seconds,
                end_seconds=record.end_seconds,
                size_bytes=record.video.stat().st_size,
                shard=name,
                row=row,
                sha256=_checksum(stored),
            )
            self._entries[entry.key] = entry
        rows = [asdict(entry) for entry in self._entries.values()]
        index = pyarrow.Table.from_pylist(rows)
        index = index.replace_schema_metadata({_DIGEST: _rows_digest(rows)})
        with atomic_write(self.folder / _INDEX, index.nbytes) as aside:
            pyarrow.parquet.write_table(index, aside)

    def _shard(self, name: str) -> pyarrow.Table | None:
        if name not in self._shards:
            self._shards[name] = self._read_shard(self.folder / name)
        return self._shards[name]

    @staticmethod
    def _read_shard(path: Path) -> pyarrow.Table | None:
        # A pipe would be waited for.
        if not path.is_file():
            return None
        try:
            # Rows are copied out of the mapped file when they are asked for.
            with pyarrow.memory_map(str(path)) as file:
                shard = pyarrow.ipc.open_file(file).read_all()
            # Damaged offsets would otherwise be followed out of the file.
            shard.validate(full=True)
        except (pyarrow.ArrowException, OSError):
            return None
        return shard


class _ShardWriter:
    """Collects images and adds them to a store, a shard at a time."""

    def __init__(self, store: FrameStore) -> None:
        self._store = store
        self._start_over()

    def __enter__(self) -> "_ShardWriter":
        return self

    def __exit__(self, *_: object) -> None:
        # Also after Ctrl-C, so that nothing decoded is lost.
        self._flush()

    def add(self, record: Record, images: list[bytes]) -> None:
        self._records.append(record)
        self._images.append(images)
        self._num_bytes += sum(map(len, images))
        waited = time.monotonic() - self._began_at
        if self._num_bytes >= _SHARD_BYTES or waited >= _SHARD_SECONDS:
            self._flush()

    def _flush(self) -> None:
        if self._records:
            self._store.add(self._records, self._images)
        self._start_over()

    def _start_over(self) -> None:
        self._records: list[Record] = []
        self._images: list[list[bytes]] = []
        self._num_bytes = 0
        self._began_at = time.monotonic()


def store_frames(
    table: Path,
    records: Sequence[Record],
    settings: FrameSettings,
    *,
    num_workers: int,
    on_progress: Callable[[int, int], object] = lambda _done, _total: None,
) -> StoreReport:
    """Decode the videos of records once and store their frames beside the table.

    What is stored already stays, unless it is damaged or the video has changed. After an
    interruption at any time, the same call continues.

    Args:
        table: The table that the records come from.
        records: The records; a segment that is in several splits is stored once.
        settings: Which frames.
        num_workers: How many videos are decoded at once.
        on_progress: Called with how many are done and how many there are.

    Raises:
        DataError: The index of what was stored before is damaged, or another process is storing.
        OSError: The folder cannot be written to.
    """
    home = _home(table)
    make_folder(home)
    folder = home / _name(settings)
    refusal = DataError(f"{home}: another process is storing frames here; let it finish first")
    with locked(home / _LOCK, refusal):
        store = FrameStore(folder, settings)
        once = list({_key(record): record for record in records}.values())
        todo = [record for record in once if store.stored(record) is None]

        def advance(num_done: int) -> None:
            on_progress(len(once) - len(todo) + num_done, len(once))

        skipped = _store_all(store, todo, settings, num_workers, advance)
    return StoreReport(
        folder=folder,
        num_stored=len(once) - len(skipped),
        num_new=len(todo) - len(skipped),
        num_bytes=sum(path.stat().st_size for path in folder.glob("*")),
        skipped=skipped,
    )


def _store_all(
    store: FrameStore,
    records: Sequence[Record],
    settings: FrameSettings,
    num_workers: int,
    on_progress: Callable[[int], object],
) -> dict[str, str]:
    """Store the frames of records; those that have none come back with the reason."""

    def images_of(record: Record) -> list[bytes] | VideoError:
        try:
            return packed(settings.decode(record))
        except VideoError as error:
            return error

    skipped: dict[str, str] = {}
    images = map_in_order(
        images_of,
        records,
        num_workers=num_workers,
        max_waiting=settings.max_waiting(2 * num_workers),
    )
    with closing(images), _ShardWriter(store) as writer:
        for num_done, (record, found) in enumerate(zip(records, images, strict=True), start=1):
            if isinstance(found, VideoError):
                skipped[record.id] = str(found)
            else:
                writer.add(record, found)
            on_progress(num_done)
    return skipped


def stored_folders(table: Path) -> dict[FrameSettings, Path]:
    """What is stored beside a table, and where."""
    found = {}
    for index in sorted(_home(table).glob(f"*/{_INDEX}")):
        if match := _NAME.fullmatch(index.parent.name):
            settings = FrameSettings(
                num_frames=int(match["num_frames"]),
                sampling=match["sampling"],  # type: ignore[arg-type]  # one of the pattern's
                resize=Resize(
                    size_px=int(match["size"]),
                    short_side_px=int(match["short"] or match["size"]),
                    fit="squash" if match["squash"] else "crop",
                    interpolation="bilinear" if match["bilinear"] else "bicubic",
                ),
            )
            found[settings] = index.parent
    return found


def packed(frames: FrameBytes) -> list[bytes]:
    """Compress the frames of one record, each to a JPEG."""
    images = []
    # frame channel height width -> frame height width channel
    for frame in frames.permute(0, 2, 3, 1).numpy():
        file = io.BytesIO()
        # Without subsampling, so that colour stays as sharp as the decoder gave it.
        Image.fromarray(frame).save(file, "JPEG", quality=_JPEG_QUALITY, subsampling=0)
        images.append(file.getvalue())
    return images


def _unpacked(images: list[bytes]) -> FrameBytes:
    frames = [np.asarray(Image.open(io.BytesIO(image))) for image in images]
    return torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2).contiguous()


def _home(table: Path) -> Path:
    # Not with_name, which "." has none for.
    return table.parent / f"{table.name}.frames"


def _name(settings: FrameSettings) -> str:
    """Name the folder of some settings; the usual resizing goes without saying."""
    how = settings.resize
    name = f"{settings.num_frames}-{settings.sampling}-{how.size_px}px"
    if how.short_side_px != how.size_px:
        name += f"-of-{how.short_side_px}px"
    if how.fit == "squash":
        name += "-squash"
    return name if how.interpolation == "bicubic" else f"{name}-{how.interpolation}"


def _key(record: Record) -> _Key:
    return record.id, record.start_seconds, record.end_seconds


def _is_made_from(entry: _Entry, video: Path) -> bool:
    try:
        return video.stat().st_size == entry.size_bytes
    except OSError:
        # The videos may be gone, which is one thing that stored frames are for.
        return True


def _checksum(images: Sequence[bytes]) -> str:
    digest = hashlib.sha256()
    for image in images:
        digest.update(image)
    return digest.hexdigest()


def _rows_digest(rows: Sequence[Mapping[str, object]]) -> bytes:
    return hashlib.sha256(json.dumps(rows, sort_keys=True).encode()).hexdigest().encode()


def _read_index(path: Path) -> dict[_Key, _Entry]:
    if not path.is_file():
        return {}
    kind = DocumentKind(
        error=DataError,
        expected="the index of stored frames (Parquet)",
        advice=f"delete {path.parent} and run 'mvadapter data prepare --frames' again",
    )
    try:
        index = pyarrow.parquet.read_table(path)
        rows = index.to_pylist()
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise kind.fault(path, f"the index of stored frames cannot be read ({reason})") from error
    try:
        entries = plain_value(_ENTRIES.validate_json, rows, str(path))
    except ConfigError as error:
        raise kind.error(f"{error}; {kind.advice}") from error
    if (index.schema.metadata or {}).get(_DIGEST) != _rows_digest(rows):
        raise kind.fault(path, "is damaged (its sha256 is missing or another)")
    return {entry.key: entry for entry in entries}
