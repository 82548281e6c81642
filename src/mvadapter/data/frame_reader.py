"""Positions of records in, their frames out: read ahead of their use, and kept where they fit."""

from collections.abc import Generator, Iterable, Sequence
from itertools import islice
from typing import Protocol, TypeAlias, runtime_checkable

from mvadapter.data.frame_store import FrameStore
from mvadapter.data.frames import FrameBytes, FrameSettings
from mvadapter.data.records import Record
from mvadapter.errors import DataError, VideoError
from mvadapter.workers import map_in_order

FoundFrames: TypeAlias = FrameBytes | VideoError
"""The frames of a record, or why there are none."""

# A batch of the paper's size, if memory allows.
_MAX_WAITING = 128


@runtime_checkable
class FrameSource(Protocol):
    """What gives the frames of a dataset's records, by their positions."""

    def read(self, positions: Iterable[int]) -> Generator[FoundFrames, None, None]:
        """Give the frames of these records, in this order."""
        ...


class FrameReader:
    """Reads the frames of records in threads: stored ones where there are some, else decoded.

    Args:
        records: The records, which are asked for by position.
        settings: Which frames.
        store: Where frames of these settings are stored, if anywhere.
        num_workers: How many records are read at once.
        cache_bytes: Frames up to this size stay in memory for the next time.
    """

    def __init__(
        self,
        records: Sequence[Record],
        settings: FrameSettings,
        *,
        store: FrameStore | None = None,
        num_workers: int = 2,
        cache_bytes: int = 0,
    ) -> None:
        self._records = records
        self._read = settings.decode if store is None else store.frames
        self._num_workers = num_workers
        self._max_waiting = settings.max_waiting(_MAX_WAITING)
        self._free_bytes = cache_bytes
        self._kept: dict[int, FrameBytes] = {}

    def read(self, positions: Iterable[int]) -> Generator[FoundFrames, None, None]:
        """Give the frames of these records, in this order, reading the next ones meanwhile.

        Frames are uint8, resized for the model, and fewer for a short video. A record that gives
        none gives the error instead.
        """
        return map_in_order(
            self._find, positions, num_workers=self._num_workers, max_waiting=self._max_waiting
        )

    def first_readable(self, count: int) -> list[tuple[int, FrameBytes]]:
        """The frames of the first records that have any, with their positions.

        Raises:
            DataError: None has.
        """
        reasons: list[str] = []

        def readable() -> Generator[tuple[int, FrameBytes], None, None]:
            for position, frames in enumerate(self.read(range(len(self._records)))):
                if isinstance(frames, VideoError):
                    reasons.append(str(frames))
                else:
                    yield position, frames

        found = list(islice(readable(), count))
        if not found:
            raise DataError(
                f"none of the {len(self._records)} videos can be read; {reasons[0]} (videos, in a "
                f"recipe data.videos, is the folder that their names are relative to)"
            )
        return found

    def _find(self, position: int) -> FoundFrames:
        if position in self._kept:
            return self._kept[position]
        try:
            frames = self._read(self._records[position])
        except VideoError as error:
            return error
        # Two threads may keep a little too much between them, never too little.
        if frames.nbytes <= self._free_bytes and position not in self._kept:
            self._free_bytes -= frames.nbytes
            self._kept[position] = frames
        return frames
