"""An encoder and records in, embeddings and a retrieval report out."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor

from mvadapter.data.batches import FrameBytes, FrameSource, stack_videos
from mvadapter.data.records import Record
from mvadapter.encoder.encode import Encoder
from mvadapter.encoder.precision import Precision, autocast
from mvadapter.errors import DataError, VideoError
from mvadapter.evaluation.metrics import RetrievalReport
from mvadapter.evaluation.ranks import RetrievalRanks, retrieval_ranks
from mvadapter.scoring.blocks import ScoreBlocks
from mvadapter.shapes import CaptionEmbeddings, CaptionVideo, VideoEmbeddings
from mvadapter.world import World

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
    kept: tuple[Record, ...]
    """The records whose videos and captions these are, in order."""
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
    world: World = field(default_factory=World)
    on_progress: OnProgress = field(default=lambda _done, _total: None)


def embed_records(
    encoder: Encoder,
    records: Sequence[Record],
    loader: FrameSource,
    settings: EmbeddingSettings,
) -> EmbeddedRecords:
    """Embed every video and every caption of a dataset.

    Several processes share the batches, and each gets the whole result.

    Args:
        encoder: The encoder.
        records: The dataset.
        loader: Gives the frames of these records.
        settings: How to go about it.

    Raises:
        VideoError: A video gives no frames and the policy is ``error``.
        DataError: No video can be read.
    """
    videos, positions, reasons = _embed_videos(encoder, len(records), loader, settings)
    skipped = tuple((records[position], reason) for position, reason in sorted(reasons.items()))
    kept = [records[position] for position in positions]
    if not kept:
        raise DataError(f"none of the {len(records)} videos can be read; {skipped[0][1]}")
    captions = [caption for record in kept for caption in record.captions]
    owners = [index for index, record in enumerate(kept) for _ in record.captions]
    return EmbeddedRecords(
        videos=videos,
        captions=embed_captions(encoder, captions, settings),
        caption_video=torch.tensor(owners, device=encoder.backbone.device),
        kept=tuple(kept),
        skipped=skipped,
    )


def _embed_videos(
    encoder: Encoder, num_records: int, loader: FrameSource, settings: EmbeddingSettings
) -> tuple[VideoEmbeddings, list[int], dict[int, str]]:
    """Give the embeddings, the positions of their records, and why the other records have none."""
    device = encoder.backbone.device
    videos, positions = [torch.zeros(0, encoder.backbone.dim, device=device)], []
    reasons: dict[int, str] = {}
    batches = _share(num_records, settings.videos_per_batch, settings.world)
    for number, batch in enumerate(batches):
        loader.prefetch([position for ahead in batches[number : number + 2] for position in ahead])
        frames = []
        for position in batch:
            found = _frames_or_reason(loader, position, settings.unreadable)
            if isinstance(found, str):
                reasons[position] = found
            else:
                frames.append(found)
                positions.append(position)
        if frames:
            pixels, mask = stack_videos(frames, encoder.inputs.num_frames, device)
            with torch.inference_mode(), autocast(encoder, settings.precision):
                videos.append(encoder.embed_videos(pixels, mask).float())
        settings.on_progress(len(positions) + len(reasons), sum(map(len, batches)))
    gathered, order = _gather(settings.world, torch.cat(videos), positions)
    for line in settings.world.gather_lines([json.dumps(reason) for reason in reasons.items()]):
        position, reason = json.loads(line)
        reasons[position] = reason
    return gathered, order, reasons


def _share(num_items: int, batch_size: int, world: World) -> list[range]:
    """One process's batches: whole ones, alike however many processes share them."""
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
    """Embed captions in batches, which several processes share."""
    batches = _share(len(captions), settings.captions_per_batch, settings.world)
    parts = [torch.zeros(0, encoder.backbone.dim, device=encoder.backbone.device)]
    with autocast(encoder, settings.precision):
        parts += [
            encoder.embed_texts(captions[batch.start : batch.stop]).float() for batch in batches
        ]
    positions = [position for batch in batches for position in batch]
    return _gather(settings.world, torch.cat(parts), positions)[0]
