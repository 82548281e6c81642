"""Positions of records in, their frames out: read ahead of their use, and kept where they fit."""

from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Never, Protocol, TypeAlias, runtime_checkable

import numpy as np
import torch
from jaxtyping import UInt8

from mvadapter.data.frame_store import FrameStore
from mvadapter.data.frames import FrameBytes, FrameSettings
from mvadapter.data.records import Record
from mvadapter.errors import DataError, VideoError
from mvadapter.isolation import Isolation, Processes
from mvadapter.video.complaint import complaint
from mvadapter.workers import map_in_order

FoundFrames: TypeAlias = FrameBytes | VideoError
"""The frames of a record, or why there are none."""

_Decoded: TypeAlias = UInt8[np.ndarray, "_ channel height width"] | VideoError

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
        isolation: What a process may take that decodes a video; None decodes in the threads.
    """

    def __init__(
        self,
        records: Sequence[Record],
        settings: FrameSettings,
        *,
        store: FrameStore | None = None,
        num_workers: int = 2,
        cache_bytes: int = 0,
        isolation: Isolation | None = None,
    ) -> None:
        self._records = records
        self._settings = settings
        self._store = store
        self._isolation = isolation
        self._num_workers = num_workers
        self._max_waiting = settings.max_waiting(_MAX_WAITING)
        self._free_bytes = cache_bytes
        self._kept: dict[int, FrameBytes] = {}

    def read(self, positions: Iterable[int]) -> Generator[FoundFrames, None, None]:
        """Give the frames of these records, in this order, reading the next ones meanwhile.

        Frames are uint8, resized for the model, and fewer for a short video. A record that gives
        none gives the error instead.
        """
        decoder = _Decoder(self._settings, self._isolation)
        return map_in_order(
            partial(self._find, decoder),
            positions,
            num_workers=self._num_workers,
            max_waiting=self._max_waiting,
            stop=decoder.close,
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

    def _find(self, decoder: "_Decoder", position: int) -> FoundFrames:
        if position in self._kept:
            return self._kept[position]
        record = self._records[position]
        try:
            stored = None if self._store is None else self._store.frames(record)
            frames = decoder.decode(record) if stored is None else stored
        except VideoError as error:
            return error
        # Two threads may keep a little too much between them, never too little.
        if frames.nbytes <= self._free_bytes and position not in self._kept:
            self._free_bytes -= frames.nbytes
            self._kept[position] = frames
        return frames


class _Decoder:
    """Decodes the frames of records, in processes where they are to be isolated."""

    def __init__(self, settings: FrameSettings, isolation: Isolation | None) -> None:
        self._settings = settings
        self._processes = None if isolation is None else Processes(isolation)

    def decode(self, record: Record) -> FrameBytes:
        if self._processes is None:
            return self._settings.decode(record)
        found = self._processes.run(_RecordFrames(record, self._settings))
        if isinstance(found, VideoError):
            raise found
        return torch.from_numpy(found)

    def close(self) -> None:
        if self._processes is not None:
            self._processes.close()


@dataclass(frozen=True, slots=True)
class _RecordFrames:
    """A work item: decode the frames of a record."""

    record: Record
    settings: FrameSettings

    def run(self) -> Generator[Never, None, _Decoded]:
        """Give the frames, or why there are none, as the summary."""
        yield from ()
        # An array, which unlike a tensor can go from process to process without shared memory.
        try:
            return self.settings.decode(self.record).numpy()
        except VideoError as error:
            return error

    def lost(self, reason: str) -> VideoError:
        """The error of a video that could not be read to its end."""
        return VideoError(complaint(self.record.video, reason, "convert it, or leave it out"))
