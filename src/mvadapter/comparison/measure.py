"""A trained adapter in, its numbers on the test split out; and what a method costs."""

import dataclasses
import resource
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mvadapter.data.batches import stack_videos
from mvadapter.data.records import Record
from mvadapter.data.stories import NEEDS, reverse_caption
from mvadapter.data.synthetic import need_of
from mvadapter.encoder.encode import Encoder
from mvadapter.encoder.precision import autocast, choose_precision
from mvadapter.evaluation.evaluate import EmbeddingSettings, embed_records
from mvadapter.evaluation.frames import open_frames
from mvadapter.evaluation.metrics import RetrievalReport
from mvadapter.evaluation.reversal import measure_reversal
from mvadapter.training.loss import symmetric_info_nce
from mvadapter.training.optimizer import build_optimizer
from mvadapter.training.recipe import Recipe

_TIMED = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One adapter on the test split; hits are in percent, a number a query."""

    metrics: dict[str, dict[str, float]]
    """Direction -> the fields of `RetrievalMetrics`, and ``recall_sum``."""
    hits: dict[str, list[float]]
    """Measure -> per query: "text_to_video" and "video_to_text" (R@1), and for drawn videos
    "reversal"."""
    caption_video: list[int]
    """For each query of "text_to_video", its video: the captions of one are not independent."""
    needs: dict[str, dict[str, float]] = field(default_factory=dict)
    """For drawn videos: need -> measure -> mean over the queries of that need."""
    skipped: dict[str, str] = field(default_factory=dict)
    """Videos without frames: record id -> reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What one method costs beside this CLIP, on this machine."""

    seconds_per_step: float
    """Median of one training step at the recipe's batch, decoding left out."""
    peak_bytes: int
    """Memory that training took at its peak, CLIP and optimiser included."""
    videos_per_second: float
    """Embedded without gradients, decoding left out."""


def measure(encoder: Encoder, records: Sequence[Record], recipe: Recipe) -> Measured:
    """Measure an adapter on a test split.

    Args:
        encoder: The adapter beside its CLIP.
        records: The test split.
        recipe: Says whether the videos are drawn, and then need reversal.
    """
    settings = EmbeddingSettings(unreadable="skip")
    with open_frames(encoder, records, Path(recipe.data.path)) as loader:
        embedded = embed_records(encoder, records, loader, settings)
        hits = {}
        if recipe.data.is_drawn:
            reversal = measure_reversal(
                encoder, records, loader, embedded, reverse_caption, settings
            )
            hits["reversal"] = 100 * reversal.cpu().numpy()
    ranks = embedded.ranks()
    hits["text_to_video"] = 100 * ranks.text_to_video.hits(1)
    hits["video_to_text"] = 100 * ranks.video_to_text.hits(1)
    report = RetrievalReport.from_ranks(ranks)
    metrics = {}
    for direction in ("text_to_video", "video_to_text"):
        found = getattr(report, direction)
        metrics[direction] = {**dataclasses.asdict(found), "recall_sum": found.recall_sum}
    needs: dict[str, dict[str, float]] = {}
    if recipe.data.is_drawn:
        # Without time a caption is its own reverse, and there is nothing to choose between.
        timeless = np.array([need_of(record) == "appearance" for record in records])
        needs = _by_need(hits, records)
        hits["reversal"] = hits["reversal"][~timeless]
    return Measured(
        metrics=metrics,
        hits={name: values.tolist() for name, values in hits.items()},
        caption_video=embedded.caption_video.tolist(),
        needs=needs,
        skipped={record.id: reason for record, reason in embedded.skipped},
    )


def _by_need(hits: dict[str, np.ndarray], records: Sequence[Record]) -> dict[str, dict[str, float]]:
    of = np.array([need_of(record) for record in records])
    return {
        need: {
            name: float(values[of == need].mean())
            for name, values in hits.items()
            if not (need == "appearance" and name == "reversal")
        }
        for need in NEEDS
        if (of == need).any()
    }


def measure_cost(
    make_encoder: Callable[[], Encoder],
    records: Sequence[Record],
    recipe: Recipe,
    device: torch.device,
) -> Cost:
    """Take a few training steps and embed a few videos, and look at clock and memory.

    To be called in a process of its own: memory is that which the process had at its peak, less
    what it had before there was a CLIP.

    Args:
        make_encoder: Loads CLIP and makes the adapter.
        records: The train split; its first videos are used.
        recipe: Says the size of a batch and the precision.
        device: Where to compute.
    """
    before = _peak_bytes(device)
    encoder = make_encoder()
    precision = choose_precision(recipe.train.precision, encoder)
    size = recipe.train.batch_size
    with open_frames(encoder, records, Path(recipe.data.path)) as loader:
        # The first video again and again where there are too few: only the sizes matter.
        frames = [loader.frames(0)] + [loader.frames(i % len(records)) for i in range(1, size)]
    pixels, mask = stack_videos(frames, encoder.inputs.num_frames, device)
    captions = [records[i % len(records)].captions[0] for i in range(size)]
    ids, words = encoder.backbone.tokenizer.encode(captions, encoder.inputs.num_words)
    ids, words = ids.to(device), words.to(device)
    parameters = encoder.trainable_parameters()

    def embed() -> None:
        with torch.inference_mode(), autocast(encoder, precision):
            encoder.embed_videos(pixels, mask)

    if not parameters:
        return Cost(
            seconds_per_step=0.0,
            peak_bytes=0,
            videos_per_second=size / _median_seconds(embed, device),
        )
    optimizer = build_optimizer(parameters, recipe.train)

    def step() -> None:
        with autocast(encoder, precision):
            texts = encoder.embed_captions(ids, words)
            loss = symmetric_info_nce(
                texts, encoder.embed_videos(pixels, mask), encoder.log_temperature.exp()
            )
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    seconds_per_step = _median_seconds(step, device)
    peak_bytes = _peak_bytes(device) - before
    return Cost(
        seconds_per_step=seconds_per_step,
        peak_bytes=peak_bytes,
        videos_per_second=size / _median_seconds(embed, device),
    )


def _median_seconds(work: Callable[[], Any], device: torch.device) -> float:
    taken = []
    for _ in range(1 + _TIMED):
        started = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        taken.append(time.perf_counter() - started)
    # The first time pays for what is made once.
    return statistics.median(taken[1:])


def _peak_bytes(device: torch.device) -> int:
    """The most memory so far: of the GPU, or of this process."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak
