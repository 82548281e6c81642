"""An adapter and data in, everything that was measured out."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

from mvadapter.adapters.build import build_adapter
from mvadapter.adapters.methods.frozen import FrozenConfig
from mvadapter.backbone.clip import Backbone
from mvadapter.backbone.precision import Precision, PrecisionChoice, choose_precision
from mvadapter.data.folder import find_table, read_records
from mvadapter.data.origin import missing_captions, read_origin
from mvadapter.data.records import Record, fingerprint
from mvadapter.data.splits import choose_split, split_records
from mvadapter.datasets.annotations import Dataset
from mvadapter.datasets.catalog import DATASETS
from mvadapter.datasets.prepare import find_prepared
from mvadapter.embedding.captions import look_at_captions
from mvadapter.embedding.inputs import Inputs
from mvadapter.embedding.records import (
    EmbeddingOptions,
    UnreadablePolicy,
    embed_all_captions,
    embed_records,
    open_frames,
)
from mvadapter.encoder.adapter_folder import read_record
from mvadapter.encoder.checkpoint import load_adapter
from mvadapter.encoder.encode import Encoder
from mvadapter.encoder.training_record import TrainingRecord
from mvadapter.errors import ConfigError, TrainingError
from mvadapter.evaluation.evaluate_scores import Scored, compare_with, evaluate_scored
from mvadapter.evaluation.rank_table import read_rank_table
from mvadapter.evaluation.results import EvaluatedData, EvaluationResult
from mvadapter.isolation import Isolation
from mvadapter.scoring.blocks import ScoreBlocks
from mvadapter.scoring.rerank import applied_factor
from mvadapter.world import World


def evaluate(  # noqa: PLR0913 - a front door: every option has a default
    adapter: str | Path | Encoder | None,
    data: str | Path,
    *,
    backbone: str | Path | None = None,
    videos: str | Path | None = None,
    split: str | None = None,
    query_bank: str | None = None,
    dual_softmax: float | None = None,
    against: str | Path | None = None,
    unreadable: UnreadablePolicy = "error",
    isolation: Isolation | None = None,
    precision: PrecisionChoice = "float32",
    device: str | None = None,
    world: World | None = None,
    on_progress: Callable[[int, int], object] = lambda _done, _total: None,
) -> EvaluationResult:
    """Measure retrieval in both directions on one split of a dataset.

    Each recall has a bootstrap interval over queries. Several processes may share the work; each
    gets the complete result.

    Args:
        adapter: An adapter folder, an encoder, or None for the frozen CLIP.
        data: A table, a folder of videos with captions, or the name of a prepared dataset.
        backbone: The CLIP; None is the adapter's own, or "tiny" without an adapter.
        videos: The folder that the table's video names start from, where it is not the table's.
        split: Which rows; None is the only split, or else the test split of the named dataset, of
            the adapter's recipe, or of the dataset that the table was prepared from.
        query_bank: A split whose captions are the bank of QB-Norm; None leaves it out.
        dual_softmax: The temperature of a dual softmax, as a factor on scores or its reciprocal;
            None leaves it out.
        against: A file of another system's ranks on the same queries, for a paired test.
        unreadable: Whether a video without frames is an error, or skipped and reported.
        isolation: What a process may take that decodes a video; None decodes in threads.
        precision: Of the arithmetic.
        device: Torch device, such as "cpu" or "cuda"; None is the CPU, or the encoder's own.
        world: The processes that share the work; None is this one alone.
        on_progress: Called with the number of videos that are done and the number of all.

    Raises:
        ConfigError: An encoder is given together with a CLIP or a device.
        MvAdapterError: The data, the adapter or the CLIP cannot be used as asked.
    """
    world = world or World()
    # Before the work, which may take hours.
    if dual_softmax is not None:
        applied_factor(dual_softmax)
    other_ranks = None if against is None else read_rank_table(Path(against))
    if isinstance(adapter, Encoder) and (backbone, device) != (None, None):
        raise ConfigError("an encoder has its own CLIP and device; leave out backbone and device")
    named = None if Path(data).exists() else DATASETS.get(str(data))
    table = find_table(Path(data)) if named is None else find_prepared(named, None)
    everything = read_records(table, videos)
    saved = None if adapter is None or isinstance(adapter, Encoder) else read_record(adapter)
    training = None if saved is None else saved.training
    origin = read_origin(table)
    dataset = None if origin is None else DATASETS.get(origin.dataset)
    records = choose_split(
        everything, table, split, default=_default_split(named, training, dataset)
    )
    bank = _bank_captions(everything, table, query_bank, records)
    with world.joined():
        own_clip = "tiny" if saved is None else saved.base_model_name_or_path
        encoder = _load(
            adapter,
            own_clip if backbone is None else backbone,
            _usual_inputs(dataset),
            device,
            world,
        )
        # Machines may differ; all processes take what the first one has.
        settled = world.gather_lines([choose_precision(precision, encoder.backbone.device)])[0]
        options = EmbeddingOptions(
            precision=cast("Precision", settled),
            unreadable=unreadable,
            world=world,
            on_progress=on_progress,
        )
        frames = open_frames(encoder, records, table, isolation=isolation)
        embedded = embed_records(encoder, records, frames, options)
        bank_captions = embed_all_captions(encoder, bank, options)
    scored = Scored(
        scores=embedded.scores,
        caption_video=embedded.caption_video,
        captions=[caption for record in embedded.kept for caption in record.captions],
        videos=[record.id for record in embedded.kept],
        bank=ScoreBlocks.of_embeddings(bank_captions, embedded.videos) if bank else None,
        records=embedded.kept,
    )
    skipped = dict(embedded.skipped)
    missing = missing_captions(table, records[0].split)
    result = evaluate_scored(
        scored,
        f"{encoder.adapter.config.name} on {encoder.backbone.name}",
        EvaluatedData(
            dataset=None if origin is None else origin.dataset,
            split=records[0].split,
            fingerprint=fingerprint(records),
            missing_policy=None if origin is None else origin.missing_policy,
            unreadable_policy=unreadable,
            skipped={record.id: reason for record, reason in skipped.items()},
            dropped=missing | {record.id: len(record.captions) for record in skipped},
        ),
        dual_softmax,
    )
    if dataset is not None and dataset.has_joined_captions:
        result = replace(result, protocol="paragraph")
    if training is not None:
        result = replace(
            result,
            selection=training.selection,
            is_selected_on_test=training.data.splits.select_on == "test",
            num_trained_on=_count_trained(training, everything, records),
        )
    report = look_at_captions(encoder.backbone.tokenizer, embedded.kept, encoder.inputs.max_tokens)
    result = replace(result, inputs=encoder.inputs, cut=report)
    return result if other_ranks is None else compare_with(result, other_ranks, str(against))


def _default_split(
    named: Dataset | None, training: TrainingRecord | None, dataset: Dataset | None
) -> str:
    if named is not None:
        return named.test_split
    if training is not None:
        return training.data.splits.test_split
    return "test" if dataset is None else dataset.test_split


def _load(
    adapter: str | Path | Encoder | None,
    backbone: str | Path,
    usual: Inputs,
    device: str | None,
    world: World,
) -> Encoder:
    if isinstance(adapter, Encoder):
        return adapter
    device = device or "cpu"
    if device == "cuda" and world.size > 1:
        device = f"cuda:{world.local_index}"
    clip = Backbone.load(backbone, device=device)
    if adapter is not None:
        return load_adapter(adapter, clip)
    inputs = replace(usual, max_tokens=min(usual.max_tokens, clip.text.num_positions))
    return Encoder(clip, build_adapter(FrozenConfig(), clip), inputs=inputs)


def _usual_inputs(dataset: Dataset | None) -> Inputs:
    """The frames and tokens of a dataset, for an encoder that has none of its own."""
    if dataset is None:
        return Inputs()
    return Inputs(
        num_frames=dataset.num_frames, max_tokens=dataset.max_tokens, sampling=dataset.sampling
    )


def _bank_captions(
    everything: Sequence[Record], table: Path, split: str | None, evaluated: Sequence[Record]
) -> tuple[str, ...]:
    """The captions of the split that is to be the query bank.

    Raises:
        UnknownNameError: There is no such split.
        ConfigError: It shares videos with the evaluated one.
    """
    if split is None:
        return ()
    bank = choose_split(everything, table, split, default=split)
    if shared := {record.video for record in bank} & {record.video for record in evaluated}:
        raise ConfigError(
            f"the query bank {split!r} holds captions of {len(shared)} of the evaluated videos; a "
            f"bank is of training captions only, so name a split that shares none"
        )
    return tuple(caption for record in bank for caption in record.captions)


def _count_trained(
    training: TrainingRecord, everything: Sequence[Record], evaluated: Sequence[Record]
) -> int | None:
    """How many of the evaluated videos the adapter was trained on.

    Splits of one dataset may overlap: MSR-VTT's 9k train split holds most of its full test split.
    Known where the adapter was trained on this very table, and None elsewhere.
    """
    try:
        parts = split_records(everything, training.data.splits)
    except TrainingError:
        return None
    if fingerprint([*parts.train, *parts.selection]) != training.data.fingerprint:
        return None
    trained = {record.video for record in parts.train}
    return len(trained & {record.video for record in evaluated})
