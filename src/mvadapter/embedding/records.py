"""Records of a dataset in, the embeddings of their videos and captions out."""

import json
import logging
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Literal, TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor

from mvadapter.backbone.precision import Precision, autocast
from mvadapter.data.frame_reader import FoundFrames, FrameReader, FrameSource
from mvadapter.data.frame_store import FrameStore, stored_folders
from mvadapter.data.records import Record
from mvadapter.embedding.batch import embed_batch
from mvadapter.embedding.inputs import AnyEncoder, frame_settings
from mvadapter.errors import DataError, VideoError
from mvadapter.isolation import Isolation
from mvadapter.scoring.blocks import ScoreBlocks
from mvadapter.shapes import CaptionEmbeddings, CaptionVideo, VideoEmbeddings
from mvadapter.world import World

log = logging.getLogger(__name__)

UnreadablePolicy: TypeAlias = Literal["error", "skip"]
"""What happens to a video that gives no frames: it ends the work, or is left out and reported."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddingOptions:
    """How a dataset is embedded; only ``precision`` changes the result by more than rounding."""

    precision: Precision = "float32"
    videos_per_batch: int = 16
    captions_per_batch: int = 256
    unreadable: UnreadablePolicy = "error"
    world: World = field(default_factory=World)
    on_progress: Callable[[int, int], object] = field(default=lambda _done, _total: None)
    """Called with the number of videos that are done and the number of all."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EmbeddedRecords:
    """The embeddings of a dataset."""

    videos: VideoEmbeddings
    captions: CaptionEmbeddings
    caption_video: CaptionVideo
    kept: tuple[Record, ...]
    """The records whose videos and captions these are, in order."""
    skipped: tuple[tuple[Record, str], ...] = ()
    """Records without frames, and why; neither they nor their captions are embedded."""

    @property
    def scores(self) -> ScoreBlocks:
        """Every caption against every video."""
        return ScoreBlocks.of_embeddings(self.captions, self.videos)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EmbeddedVideos:
    """The embeddings of those of some videos that can be read."""

    videos: VideoEmbeddings
    positions: tuple[int, ...]
    """The position of each of them among all."""
    unreadable: dict[int, str]
    """The positions of the others, and why they have no embedding."""


def open_frames(
    encoder: AnyEncoder,
    records: Sequence[Record],
    table: Path | None = None,
    *,
    num_workers: int = 2,
    cache_bytes: int = 0,
    isolation: Isolation | None = None,
) -> FrameReader:
    """Open the frames of records: stored ones where the table has them, else decoded.

    Args:
        encoder: What the frames are for.
        records: The records, which are asked for by position.
        table: Where the records come from; frames may be stored beside it.
        num_workers: How many records are read at once.
        cache_bytes: Frames up to this size stay in memory for the next time.
        isolation: What a process may take that decodes a video; None decodes in threads.

    Raises:
        DataError: The index of the stored frames is damaged.
    """
    settings = frame_settings(encoder)
    folders = {} if table is None else stored_folders(table)
    store = FrameStore(folders[settings], settings) if settings in folders else None
    if folders and store is None:
        log.warning(
            "%s: frames are stored for other settings (%s), so the videos are decoded; mvadapter "
            "data prepare --frames --num-frames %d --sampling %s --backbone %s stores these too",
            table,
            ", ".join(folder.name for folder in folders.values()),
            settings.num_frames,
            settings.sampling,
            encoder.backbone.name,
        )
    return FrameReader(
        records,
        settings,
        store=store,
        num_workers=num_workers,
        cache_bytes=cache_bytes,
        isolation=isolation,
    )


def embed_records(
    encoder: AnyEncoder,
    records: Sequence[Record],
    source: FrameSource,
    options: EmbeddingOptions,
) -> EmbeddedRecords:
    """Embed every video and every caption of a dataset.

    Several processes share the batches, and each gets the complete result.

    Args:
        encoder: The encoder.
        records: The dataset.
        source: Gives the frames of these records.
        options: How to embed them.

    Raises:
        VideoError: A video gives no frames and the policy is ``error``.
        DataError: No video can be read.
    """
    found = embed_all_videos(encoder, len(records), source, options)
    skipped = tuple((records[position], reason) for position, reason in found.unreadable.items())
    kept = [records[position] for position in found.positions]
    if not kept:
        raise DataError(f"none of the {len(records)} videos can be read; {skipped[0][1]}")
    captions = [caption for record in kept for caption in record.captions]
    owners = [index for index, record in enumerate(kept) for _ in record.captions]
    return EmbeddedRecords(
        videos=found.videos,
        captions=embed_all_captions(encoder, captions, options),
        caption_video=torch.tensor(owners, device=encoder.backbone.device),
        kept=tuple(kept),
        skipped=skipped,
    )


def embed_all_videos(
    encoder: AnyEncoder, num_videos: int, source: FrameSource, options: EmbeddingOptions
) -> EmbeddedVideos:
    """Embed the videos of a source; several processes share the batches.

    Raises:
        VideoError: A video gives no frames and the policy is ``error``.
    """
    device = encoder.backbone.device
    parts, positions = [torch.zeros(0, encoder.backbone.dim, device=device)], []
    unreadable: dict[int, str] = {}
    batches = _share(num_videos, options.videos_per_batch, options.world)
    total = sum(map(len, batches))
    for batch, found in _read_batches(source, batches):
        readable = []
        for position, frames in zip(batch, found, strict=True):
            if not isinstance(frames, VideoError):
                readable.append(frames)
                positions.append(position)
            elif options.unreadable == "error":
                raise frames
            else:
                unreadable[position] = str(frames)
        if readable:
            parts.append(embed_batch(encoder, readable, options.precision))
        options.on_progress(len(positions) + len(unreadable), total)
    videos, order = _gather(options.world, torch.cat(parts), positions)
    lines = [json.dumps(item) for item in unreadable.items()]
    reasons: dict[int, str] = dict(map(json.loads, options.world.gather_lines(lines)))
    return EmbeddedVideos(
        videos=videos, positions=tuple(order), unreadable=dict(sorted(reasons.items()))
    )


def _read_batches(
    source: FrameSource, batches: Sequence[range]
) -> Generator[tuple[range, list[FoundFrames]], None, None]:
    positions = (position for batch in batches for position in batch)
    with closing(source.read(positions)) as found:
        for batch in batches:
            yield batch, list(islice(found, len(batch)))


def embed_all_captions(
    encoder: AnyEncoder, captions: Sequence[str], options: EmbeddingOptions
) -> CaptionEmbeddings:
    """Embed captions in batches, which several processes share."""
    device = encoder.backbone.device
    batches = _share(len(captions), options.captions_per_batch, options.world)
    parts = [torch.zeros(0, encoder.backbone.dim, device=device)]
    with autocast(device, options.precision):
        parts += [
            encoder.embed_captions(captions[batch.start : batch.stop]).float() for batch in batches
        ]
    positions = [position for batch in batches for position in batch]
    return _gather(options.world, torch.cat(parts), positions)[0]


class ReversedFrames:
    """A source whose videos run backwards."""

    def __init__(self, source: FrameSource) -> None:
        self._source = source

    def read(self, positions: Iterable[int]) -> Generator[FoundFrames, None, None]:
        """Give the frames of these records, in this order, the last frame of each first."""
        for found in self._source.read(positions):
            yield found if isinstance(found, VideoError) else found.flip(0)


def _share(num_items: int, batch_size: int, world: World) -> list[range]:
    """One process's batches, which hold the same items however many processes share them."""
    batches = [
        range(start, min(start + batch_size, num_items))
        for start in range(0, num_items, batch_size)
    ]
    return batches[world.index :: world.size]


def _gather(
    world: World, embeddings: Float[Tensor, "item dim"], positions: Sequence[int]
) -> tuple[Float[Tensor, "all_items dim"], list[int]]:
    """Put the embeddings of all processes into the order of their positions."""
    gathered = world.gather(embeddings)
    found = world.gather(torch.tensor(positions, dtype=torch.long))
    ordered = found.sort()
    return gathered[ordered.indices.to(gathered.device)], ordered.values.tolist()
