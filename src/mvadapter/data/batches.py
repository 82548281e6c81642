"""Records in, batches out: which pairs go together, and their decoded frames."""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol, TypeAlias, runtime_checkable

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from mvadapter.backbone.recipes import PixelRecipe
from mvadapter.data.records import Record
from mvadapter.errors import DataError, VideoError
from mvadapter.shapes import FrameMask, VideoPixels
from mvadapter.video.decode import read_segment
from mvadapter.video.preprocess import normalise, pad_frames, resize_and_crop
from mvadapter.video.sample import Sampling

FrameBytes: TypeAlias = UInt8[Tensor, "_ channel height width"]
"""The frames of one video; videos of a batch may have different numbers of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """One training example: a record and one of its captions, by their positions."""

    record: int
    caption: int


def epoch_batches(
    records: Sequence[Record], batch_size: int, *, seed: int, epoch: int
) -> list[list[Pair]]:
    """Arrange every (video, caption) pair once, in an order that seed and epoch decide.

    No batch holds a record twice, for it would be scored as its own negative: an epoch goes through
    the records in rounds, each with one new caption of every record that has one left. Records of
    one group come in one batch, as far as it can hold them. A round's last pair, if it is left
    alone, joins the batch before it.
    """
    generator = np.random.default_rng([seed, epoch])
    captions = [generator.permutation(len(record.captions)) for record in records]
    batches = []
    for turn in range(max(len(order) for order in captions)):
        groups: dict[object, list[Pair]] = {}
        for position, (record, order) in enumerate(zip(records, captions, strict=True)):
            if turn < len(order):
                pair = Pair(record=position, caption=int(order[turn]))
                groups.setdefault(record.group or position, []).append(pair)
        members = list(groups.values())
        batches += _fill([members[i] for i in generator.permutation(len(members))], batch_size)
    return batches


def _fill(groups: Sequence[list[Pair]], batch_size: int) -> list[list[Pair]]:
    """Put whole groups into batches in their order; only a group larger than a batch is split."""
    batches: list[list[Pair]] = []
    for group in groups:
        if not batches or len(batches[-1]) + len(group) > batch_size:
            batches.append([])
        batches[-1] += group
    parts = [
        batch[i : i + batch_size] for batch in batches for i in range(0, len(batch), batch_size)
    ]
    for position in [i for i, part in enumerate(parts) if len(part) == 1][::-1]:
        # A pair alone has no negative and teaches nothing.
        if len(parts) > 1:
            lone = parts.pop(position)
            parts[position - 1 if position else 0] += lone
    return [part for part in parts if len(part) > 1]


def stack_videos(
    videos: Sequence[FrameBytes], num_frames: int, device: torch.device
) -> tuple[VideoPixels, FrameMask]:
    """Make one batch of pixels, padded with zeros to ``num_frames``, and its mask.

    Raises:
        DataError: There is no video, or one has no frame or too many.
    """
    stack, mask = pad_frames(videos, num_frames)
    # The bytes travel, not the floats: a quarter of the traffic to a GPU.
    stack, mask = stack.to(device), mask.to(device)
    recipe = PixelRecipe.openai(stack.shape[-1])
    return normalise(stack, recipe) * mask[:, :, None, None, None], mask


@runtime_checkable
class FrameSource(Protocol):
    """What gives the frames of a dataset's records, by their positions."""

    def prefetch(self, records: Sequence[int]) -> None:
        """Begin to get records ready that will be asked for soon."""
        ...

    def frames(self, record: int) -> FrameBytes:
        """The frames of a record; a VideoError says why there are none."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameSettings:
    """Which frames of a record are taken, and what becomes of them."""

    num_frames: int
    """Frames per record, fewer for a short video."""
    sampling: Sampling
    """Which ones."""
    image_px: int
    """Side of the square that the model sees."""

    def decode(self, record: Record) -> FrameBytes:
        """Decode the frames of a record and cut them to the model's square.

        Raises:
            VideoError: The video gives none.
        """
        segment = read_segment(
            record.video,
            self.num_frames,
            record.start_seconds,
            record.end_seconds,
            sampling=self.sampling,
        )
        return resize_and_crop(segment.images, self.image_px)


class FrameLoader:
    """Reads frames of records ahead of their use, on threads, and keeps what fits in memory.

    Args:
        records: The records, which are asked for by position.
        read: Gives the frames of one record, such as `FrameSettings.decode`.
        num_threads: How many records are read at once.
        cache_bytes: Frames up to this size stay in memory for the next time.
    """

    def __init__(
        self,
        records: Sequence[Record],
        read: Callable[[Record], FrameBytes],
        *,
        num_threads: int = 2,
        cache_bytes: int = 0,
    ) -> None:
        self._records = records
        self._read = read
        self._free_bytes = cache_bytes
        self._kept: dict[int, FrameBytes] = {}
        self._coming: OrderedDict[int, Future[FrameBytes]] = OrderedDict()
        self._pool = ThreadPoolExecutor(num_threads, thread_name_prefix="frames")

    def __enter__(self) -> "FrameLoader":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop reading."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def prefetch(self, records: Sequence[int]) -> None:
        """Begin to read records that will be asked for soon."""
        for record in records:
            if record not in self._kept and record not in self._coming:
                self._coming[record] = self._pool.submit(self._read, self._records[record])

    def frames(self, record: int) -> FrameBytes:
        """The frames of a record: uint8, cut to the model's square, fewer for a short video.

        Raises:
            VideoError: The video gives none.
        """
        if record in self._kept:
            return self._kept[record]
        self.prefetch([record])
        frames = self._coming.pop(record).result()
        if frames.nbytes <= self._free_bytes:
            self._free_bytes -= frames.nbytes
            self._kept[record] = frames
        return frames

    def first_readable(self, wanted: int) -> list[tuple[int, FrameBytes]]:
        """The frames of the first records that have any, with their positions.

        Raises:
            DataError: None has.
        """
        found: list[tuple[int, FrameBytes]] = []
        reason = ""
        for position in range(len(self._records)):
            if len(found) == wanted:
                break
            try:
                found.append((position, self.frames(position)))
            except VideoError as error:
                reason = reason or str(error)
        if not found:
            raise DataError(
                f"none of the {len(self._records)} videos can be read; {reason} (--videos, or "
                f"data.videos, names the folder that their names start from)"
            )
        return found
