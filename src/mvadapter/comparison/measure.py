"""A trained adapter in, its numbers on the test split out; and what a method costs."""

import dataclasses
import re
import resource
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Int

from mvadapter.backbone.precision import Precision, autocast, choose_precision
from mvadapter.data.frames import FrameBytes
from mvadapter.data.records import Record
from mvadapter.embedding.batch import stack_videos
from mvadapter.embedding.records import EmbeddingOptions, embed_records, open_frames
from mvadapter.encoder.encode import Encoder
from mvadapter.evaluation.metrics import RetrievalReport
from mvadapter.evaluation.ranks import retrieval_ranks
from mvadapter.evaluation.reversal import measure_reversal
from mvadapter.synthetic.dataset import need_of
from mvadapter.synthetic.stories import NEEDS, reverse_caption
from mvadapter.training.optimizer import build_optimizer
from mvadapter.training.recipe import Recipe
from mvadapter.training.step import take_step

_TIMED = 5
_LINUX_PEAK = Path("/proc/self/status")


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One adapter on the test split; hits are in percent, a number a query."""

    metrics: dict[str, dict[str, float]]
    """Direction -> the fields of `RetrievalMetrics`, and ``recall_sum``."""
    hits: dict[str, list[float]]
    """Measure -> per query: "text_to_video" and "video_to_text" (R@1), and for drawn videos
    "reversal"."""
    groups: dict[str, list[int]]
    """Measure -> per query: queries with one number are not independent of one another, such as the
    captions and segments of one video, or a drawn video and its twin."""
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


def measure(
    encoder: Encoder,
    records: Sequence[Record],
    table: Path,
    on_progress: Callable[[int, int], object] = lambda _done, _total: None,
    *,
    is_synthetic: bool,
) -> Measured:
    """Measure an adapter on a test split.

    Args:
        encoder: The adapter beside its CLIP.
        records: The test split.
        table: Where the records come from; stored frames lie beside it.
        on_progress: Called with how many videos are done and how many there are.
        is_synthetic: Whether the videos are drawn, so that reversal can be measured.
    """
    options = EmbeddingOptions(unreadable="skip", on_progress=on_progress)
    hits, reversal = {}, None
    frames = open_frames(encoder, records, table)
    embedded = embed_records(encoder, records, frames, options)
    if is_synthetic:
        reversal = measure_reversal(encoder, records, frames, embedded, reverse_caption, options)
    ranks = retrieval_ranks(embedded.scores, embedded.caption_video)
    hits["text_to_video"] = 100 * ranks.text_to_video.hits(1)
    hits["video_to_text"] = 100 * ranks.video_to_text.hits(1)
    report = RetrievalReport.from_ranks(ranks)
    metrics = {}
    for direction in ("text_to_video", "video_to_text"):
        found = getattr(report, direction)
        metrics[direction] = {**dataclasses.asdict(found), "recall_sum": found.recall_sum}
    of_video = _groups(embedded.kept)
    of_caption = of_video[embedded.caption_video.cpu().numpy()]
    groups = {"text_to_video": of_caption, "video_to_text": of_video}
    needs: dict[str, dict[str, float]] = {}
    if reversal is not None:
        hits["reversal"] = 100 * reversal.cpu().numpy()
        needs = _by_need(hits, records)
        # Without time a caption is its own reverse, and there is nothing to choose between.
        in_time = np.array([need_of(record) != "appearance" for record in records])
        hits["reversal"], groups["reversal"] = hits["reversal"][in_time], of_video[in_time]
    return Measured(
        metrics=metrics,
        hits={name: values.tolist() for name, values in hits.items()},
        groups={name: values.tolist() for name, values in groups.items()},
        needs=needs,
        skipped={record.id: reason for record, reason in embedded.skipped},
    )


def _groups(records: Sequence[Record]) -> Int[np.ndarray, " record"]:
    """A number for each record, the same for those that belong together."""
    return np.unique([record.unit for record in records], return_inverse=True)[1]


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
    before = _forget_peak(device)
    encoder = make_encoder()
    precision = choose_precision(recipe.train.precision, device)
    size = recipe.train.batch_size
    readable = open_frames(encoder, records, recipe.table).first_readable(size)
    # The same ones again where there are too few: only the sizes matter.
    taken = [readable[i % len(readable)] for i in range(size)]
    frames = [frames for _, frames in taken]
    captions = [records[position].captions[0] for position, _ in taken]
    # Before any step, after which the allocator keeps what a process that only embeds gives back
    # to the system each time.
    videos_per_second = size / _seconds_to_embed(encoder, frames, precision)
    seconds_per_step, peak_bytes = 0.0, 0
    if encoder.trainable_parameters():
        optimizer = build_optimizer(encoder, recipe.train)

        def step() -> None:
            take_step(
                encoder,
                optimizer,
                frames,
                captions,
                precision=precision,
                max_gradient_norm=recipe.train.max_gradient_norm,
            )

        _forget_peak(device)
        seconds_per_step = _median_seconds(step, device)
        peak_bytes = _peak_bytes(device) - before
    return Cost(
        seconds_per_step=seconds_per_step,
        peak_bytes=peak_bytes,
        videos_per_second=videos_per_second,
    )


def _seconds_to_embed(encoder: Encoder, frames: list[FrameBytes], precision: Precision) -> float:
    device = encoder.backbone.device
    pixels, mask = stack_videos(encoder, frames)

    def embed() -> None:
        with torch.inference_mode(), autocast(device, precision):
            encoder.embed_videos(pixels, mask)

    return _median_seconds(embed, device)


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


def _forget_peak(device: torch.device) -> int:
    """Begin to look for the peak of memory anew; gives what is taken now."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    elif _LINUX_PEAK.is_file():
        # A process begins with the peak of the one that it came from (man proc_pid_clear_refs).
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    return _peak_bytes(device)


def _peak_bytes(device: torch.device) -> int:
    """The most memory so far: of the GPU, or of this process."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    if _LINUX_PEAK.is_file():
        found = re.search(r"VmHWM:\s+(\d+) kB", _LINUX_PEAK.read_text(encoding="ascii"))
        return 1024 * int(found[1]) if found else 0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
