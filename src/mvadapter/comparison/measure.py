"""A trained adapter in, its numbers on the test split out; and what a method costs."""

import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from mvadapter.backbone.precision import choose_precision
from mvadapter.comparison.memory import peak_bytes, reset_peak
from mvadapter.comparison.results import Cost, Direction, Measured
from mvadapter.data.records import Record, number_units
from mvadapter.embedding.batch import embed_batch
from mvadapter.embedding.records import EmbeddingOptions, embed_records, open_frames
from mvadapter.encoder.encode import Encoder
from mvadapter.evaluation.metrics import RetrievalMetrics
from mvadapter.evaluation.ranks import QueryRanks, retrieval_ranks
from mvadapter.evaluation.reversal import measure_reversal
from mvadapter.synthetic.dataset import need_of
from mvadapter.synthetic.stories import NEEDS, reverse_caption
from mvadapter.training.optimizer import build_optimizer
from mvadapter.training.recipe import Recipe
from mvadapter.training.step import take_step

_NUM_TIMED = 5


def measure_on_test(
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
        table: The table of the records; stored frames are in a folder beside it.
        on_progress: Called with the number of videos done and their total.
        is_synthetic: Whether the videos are drawn, so that reversal can be measured.
    """
    options = EmbeddingOptions(unreadable="skip", on_progress=on_progress)
    frames = open_frames(encoder, records, table)
    embedded = embed_records(encoder, records, frames, options)
    reversal = None
    if is_synthetic:
        reversal = measure_reversal(encoder, records, frames, embedded, reverse_caption, options)
    ranks = retrieval_ranks(embedded.scores, embedded.caption_video)
    by_direction: dict[Direction, QueryRanks] = {
        "text_to_video": ranks.text_to_video,
        "video_to_text": ranks.video_to_text,
    }
    hits: dict[str, np.ndarray] = {
        direction: 100 * found.hits(1) for direction, found in by_direction.items()
    }
    of_video = number_units(embedded.kept)
    of_caption = of_video[embedded.caption_video.cpu().numpy()]
    groups = {"text_to_video": of_caption, "video_to_text": of_video}
    needs: dict[str, dict[str, float]] = {}
    if reversal is not None:
        hits["reversal"] = 100 * reversal.cpu().numpy()
        needs = _by_need(hits, embedded.kept)
        # A caption without time is its own reverse: there is nothing to choose between.
        in_time = np.array([need_of(record) != "appearance" for record in embedded.kept])
        hits["reversal"], groups["reversal"] = hits["reversal"][in_time], of_video[in_time]
    return Measured(
        metrics={
            direction: RetrievalMetrics.from_ranks(found)
            for direction, found in by_direction.items()
        },
        hits={name: tuple(values.tolist()) for name, values in hits.items()},
        groups={name: tuple(values.tolist()) for name, values in groups.items()},
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
    """Time a few training steps and the embedding of a few videos, and measure memory.

    Call it in a process of its own: memory is the peak of the process, less what it had before CLIP
    was loaded.

    Args:
        make_encoder: Loads CLIP and makes the adapter.
        records: The train split; its first videos are used.
        recipe: Its batch size and precision are used.
        device: Torch device, such as "cpu" or "cuda".

    Raises:
        DataError: No video can be read.
    """
    before = reset_peak(device)
    encoder = make_encoder()
    precision = choose_precision(recipe.train.precision, device)
    size = recipe.train.batch_size
    readable = open_frames(encoder, records, recipe.table).first_readable(size)
    # Repeated where there are too few: only the sizes matter.
    taken = [readable[i % len(readable)] for i in range(size)]
    frames = [frames for _, frames in taken]
    captions = [records[position].captions[0] for position, _ in taken]
    # Before any training step: after one, the allocator keeps memory that a process which only
    # embeds returns to the system each time.
    seconds = _median_seconds(lambda: embed_batch(encoder, frames, precision), device)
    videos_per_second = size / seconds
    seconds_per_step, training_bytes = 0.0, 0
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
                mask_equal_captions=recipe.train.mask_equal_captions,
            )

        reset_peak(device)
        seconds_per_step = _median_seconds(step, device)
        training_bytes = peak_bytes(device) - before
    return Cost(
        seconds_per_step=seconds_per_step,
        peak_bytes=training_bytes,
        videos_per_second=videos_per_second,
    )


def _median_seconds(work: Callable[[], object], device: torch.device) -> float:
    taken = []
    for _ in range(1 + _NUM_TIMED):
        started = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        taken.append(time.perf_counter() - started)
    # The first includes what is done only once.
    return statistics.median(taken[1:])
