"""An encoder and records in, embeddings and a retrieval report out."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import torch

from mvadapter.data.batches import FrameBytes, FrameSource, stack_videos
from mvadapter.data.records import Record
from mvadapter.encoder.encode import Encoder
from mvadapter.encoder.precision import Precision, autocast
from mvadapter.errors import DataError, VideoError
from mvadapter.evaluation.metrics import RetrievalReport
from mvadapter.evaluation.ranks import RetrievalRanks, retrieval_ranks
from mvadapter.scoring.blocks import ScoreBlocks
from mvadapter.shapes import CaptionEmbeddings, CaptionVideo, VideoEmbeddings

UnreadablePolicy: TypeAlias = Literal["error", "skip"]
"""What a video that gives no frames does to an evaluation."""

OnProgress: TypeAlias = Callable[[int, int], object]
"""Called with how many are done and how many there are."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EmbeddedRecords:
    """The embeddings of a dataset."""

    videos: VideoEmbeddings
    captions: CaptionEmbeddings
    caption_video: CaptionVideo
    skipped: tuple[tuple[Record, str], ...] = ()
    """Records without frames, and why; neither they nor their captions are embedded."""

    @property
    def scores(self) -> ScoreBlocks:
        """Every caption against every video."""
        return ScoreBlocks.of_embeddings(self.captions, self.videos)

    def ranks(self) -> RetrievalRanks:
        """Rank the right item of every query in both directions."""
        return retrieval_ranks(self.scores, self.caption_video)

    def report(self) -> RetrievalReport:
        """Measure retrieval in both directions."""
        return RetrievalReport.from_ranks(self.ranks())


@dataclass(slots=True, kw_only=True)
class EmbeddingSettings:
    """How a dataset is embedded; none of it changes the result by more than rounding."""

    precision: Precision = "float32"
    videos_per_batch: int = 16
    captions_per_batch: int = 256
    unreadable: UnreadablePolicy = "error"
    on_progress: OnProgress = field(default=lambda _done, _total: None)


def embed_records(
    encoder: Encoder,
    records: Sequence[Record],
    loader: FrameSource,
    settings: EmbeddingSettings,
) -> EmbeddedRecords:
    """Embed every video and every caption of a dataset.

    Args:
        encoder: The encoder.
        records: The dataset.
        loader: Gives the frames of these records.
        settings: How to go about it.

    Raises:
        VideoError: A video gives no frames and the policy is ``error``.
        DataError: No video can be read.
    """
    videos, kept, skipped = [], [], []
    size = settings.videos_per_batch
    loader.prefetch(range(min(size, len(records))))
    for start in range(0, len(records), size):
        loader.prefetch(range(start, min(start + 2 * size, len(records))))
        frames = []
        for position in range(start, min(start + size, len(records))):
            found = _frames_or_reason(loader, position, settings.unreadable)
            if isinstance(found, str):
                skipped.append((records[position], found))
            else:
                frames.append(found)
                kept.append(records[position])
        if frames:
            pixels, mask = stack_videos(frames, encoder.inputs.num_frames, encoder.backbone.device)
            with torch.inference_mode(), autocast(encoder, settings.precision):
                videos.append(encoder.embed_videos(pixels, mask).float())
        settings.on_progress(min(start + size, len(records)), len(records))
    if not kept:
        raise DataError(f"none of the {len(records)} videos can be read; {skipped[0][1]}")
    captions = [caption for record in kept for caption in record.captions]
    owners = [index for index, record in enumerate(kept) for _ in record.captions]
    return EmbeddedRecords(
        videos=torch.cat(videos),
        captions=embed_captions(encoder, captions, settings),
        caption_video=torch.tensor(owners, device=encoder.backbone.device),
        skipped=tuple(skipped),
    )


def _frames_or_reason(
    loader: FrameSource, position: int, policy: UnreadablePolicy
) -> FrameBytes | str:
    try:
        return loader.frames(position)
    except VideoError as error:
        if policy == "error":
            raise
        return str(error)


def embed_captions(
    encoder: Encoder, captions: Sequence[str], settings: EmbeddingSettings
) -> CaptionEmbeddings:
    """Embed captions in batches."""
    size = settings.captions_per_batch
    with autocast(encoder, settings.precision):
        parts = [
            encoder.embed_texts(captions[start : start + size]).float()
            for start in range(0, len(captions), size)
        ]
    return torch.cat(parts)
