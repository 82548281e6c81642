"""What ``mvadapter evaluate`` measures: a dataset as an encoder sees it, or a matrix of scores."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from mvadapter.cli import console
from mvadapter.datasets.catalog import DATASETS
from mvadapter.errors import ConfigError, DataError, MvAdapterError

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from mvadapter.backbone.precision import Precision, PrecisionChoice
    from mvadapter.data.records import Record
    from mvadapter.datasets.annotations import Dataset
    from mvadapter.embedding.inputs import Inputs
    from mvadapter.embedding.records import UnreadablePolicy
    from mvadapter.encoder.encode import Encoder
    from mvadapter.scoring.blocks import ScoreBlocks
    from mvadapter.world import World


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Subject:
    """What is to be measured."""

    about: dict[str, Any]
    """What the result says of it."""
    scores: "ScoreBlocks"
    caption_video: "Tensor | np.ndarray"
    captions: Sequence[str]
    """What each caption is called."""
    videos: Sequence[str]
    """What each video is called."""
    bank: "ScoreBlocks | None"
    """The scores of the captions of a query bank."""
    records: "Sequence[Record]" = ()
    """Whose videos these are; none for a matrix of scores."""
    skipped: dict[str, str] = field(default_factory=dict)
    """Videos that give no frames, and why."""
    dropped: dict[str, int] = field(default_factory=dict)
    """These and the ones that had no file when the table was made, with their captions' number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What of a dataset is to be measured, and how."""

    adapter: Path | None
    """An adapter folder; None is the frozen CLIP."""
    backbone: str | None
    table: Path
    """A table, or a folder of videos with captions."""
    videos: Path | None
    split: str | None
    query_bank: str | None
    unreadable: "UnreadablePolicy"
    precision: "PrecisionChoice"
    device: str


def subject_of_dataset(request: Request, world: "World") -> Subject:
    """Embed one split of a dataset.

    Raises:
        MvAdapterError: The data, the adapter or the CLIP cannot be used as asked.
    """
    from mvadapter.data.folder import read_records
    from mvadapter.data.origin import read_origin
    from mvadapter.encoder.checkpoint import read_record

    adapter = request.adapter
    everything = read_records(request.table, request.videos)
    training = {} if adapter is None else read_record(adapter).training
    records = _choose_split(training, request, everything)
    bank = _choose_bank(request, everything, records)
    origin = read_origin(request.table)
    dataset = None if origin is None else DATASETS.get(origin.dataset)
    about: dict[str, Any] = {
        "dataset": None if origin is None else origin.dataset,
        "selection": training.get("selection"),
        "trained_on": _trained_on(training, everything, records),
        "policy": {
            "missing": None if origin is None else origin.missing_policy,
            "unreadable": request.unreadable,
        },
    }
    if dataset is not None and dataset.has_joined_captions:
        about["protocol"] = "paragraph"
    with world.joined():
        encoder = _load_encoder(request, _usual_inputs(dataset), world)
        return _embed(encoder, request, records, bank, about, world)


def subject_of_scores(scores: Path, caption_video: Path | None, query_bank: str | None) -> Subject:
    """Open a matrix of scores.

    Raises:
        DataError: A file is no matrix of numbers, or does not say whose the captions are.
    """
    import numpy as np

    from mvadapter.scoring.blocks import ScoreBlocks

    matrix = _read_matrix(scores)
    if caption_video is not None:
        owners = _read_array(caption_video)
    elif matrix.shape[0] == matrix.shape[1]:
        owners = np.arange(len(matrix))
    else:
        raise DataError(
            f"{scores}: {matrix.shape[0]} captions and {matrix.shape[1]} videos; say with "
            f"--caption-video which video each caption belongs to"
        )
    if owners.dtype.kind not in "iu":
        raise DataError(f"{caption_video}: videos must be whole numbers, got {owners.dtype}")
    bank = None if query_bank is None else _read_matrix(Path(query_bank))
    return Subject(
        about={"encoder": scores.name, "selection": None},
        scores=ScoreBlocks.of_matrix(matrix),
        caption_video=owners.astype(np.int64),
        captions=[f"caption {number}" for number in range(matrix.shape[0])],
        videos=[f"video {number}" for number in range(matrix.shape[1])],
        bank=None if bank is None else ScoreBlocks.of_matrix(bank),
    )


def _choose_split(
    training: dict[str, Any], request: Request, records: "list[Record]"
) -> "list[Record]":
    splits, split = {record.split for record in records}, request.split
    if split is None:
        usual = training.get("recipe", {}).get("data", {}).get("test_split", "test")
        split = next(iter(splits)) if len(splits) == 1 else usual
    return _rows_of(request.table, records, split)


def _rows_of(table: Path, records: "list[Record]", split: str) -> "list[Record]":
    from mvadapter.errors import UnknownNameError

    found = [record for record in records if record.split == split]
    if not found:
        raise UnknownNameError(
            f"split of {table}",
            split,
            {record.split for record in records},
            "Rows without a column split are all of 'train'; --split names another.",
        )
    return found


def _choose_bank(
    request: Request, everything: "list[Record]", evaluated: "list[Record]"
) -> tuple[str, ...]:
    """The captions of the split that is to be the query bank."""
    if request.query_bank is None:
        return ()
    bank = _rows_of(request.table, everything, request.query_bank)
    if shared := {record.video for record in bank} & {record.video for record in evaluated}:
        raise ConfigError(
            f"--query-bank {request.query_bank} holds captions of {len(shared)} of the evaluated "
            f"videos; a bank is of training captions only, so name a split that shares none"
        )
    return tuple(caption for record in bank for caption in record.captions)


def _trained_on(
    training: dict[str, Any], everything: "list[Record]", evaluated: "list[Record]"
) -> int:
    """How many of the evaluated videos the adapter was trained on.

    Splits of one dataset may overlap: MSR-VTT's 9k train split holds most of its full test split.
    Known where the adapter was trained on this very table, and 0 elsewhere.
    """
    from mvadapter.data.records import fingerprint
    from mvadapter.training.loop import split_records
    from mvadapter.training.recipe import recipe_from_table

    try:
        recipe = recipe_from_table(training.get("recipe", {}), "the adapter's recipe")
        parts = split_records(everything, recipe)
    except MvAdapterError:
        return 0
    if fingerprint([*parts.train, *parts.selection]) != training["data"]["fingerprint"]:
        return 0
    trained = {record.video for record in parts.train}
    return len(trained & {record.video for record in evaluated})


def _usual_inputs(dataset: "Dataset | None") -> "Inputs":
    """The frames and words of a dataset, for an encoder that has none of its own."""
    from mvadapter.embedding.inputs import Inputs

    if dataset is None:
        return Inputs()
    return Inputs(
        num_frames=dataset.num_frames, max_tokens=dataset.max_tokens, sampling=dataset.sampling
    )


def _load_encoder(request: Request, usual: "Inputs", world: "World") -> "Encoder":
    from mvadapter.adapters.build import build_adapter
    from mvadapter.adapters.methods.frozen import FrozenConfig
    from mvadapter.backbone.clip import Backbone
    from mvadapter.encoder.checkpoint import load_adapter, read_record
    from mvadapter.encoder.encode import Encoder

    device = request.device
    if device == "cuda" and world.size > 1:
        device = f"cuda:{world.local_index}"
    if request.adapter is None:
        backbone = Backbone.load(request.backbone or "tiny", device=device)
        words = min(usual.max_tokens, backbone.text.num_positions)
        inputs = replace(usual, max_tokens=words)
        return Encoder(backbone, build_adapter(FrozenConfig(), backbone), inputs=inputs)
    named = read_record(request.adapter).base_model_name_or_path
    return load_adapter(request.adapter, Backbone.load(request.backbone or named, device=device))


def _embed(
    encoder: "Encoder",
    request: Request,
    records: "list[Record]",
    bank: Sequence[str],
    about: dict[str, Any],
    world: "World",
) -> Subject:
    from mvadapter.backbone.precision import choose_precision
    from mvadapter.data.origin import missing_captions
    from mvadapter.data.records import fingerprint
    from mvadapter.embedding.records import (
        EmbeddingOptions,
        embed_captions,
        embed_records,
        open_frames,
    )
    from mvadapter.scoring.blocks import ScoreBlocks
    from mvadapter.settings import table_from_settings

    split = records[0].split
    missing = missing_captions(request.table, split)
    # Machines may differ; all processes take what the first one has.
    choices = world.gather_lines([choose_precision(request.precision, encoder.backbone.device)])
    with _progress(world) as advance:
        options = EmbeddingOptions(
            precision=cast("Precision", choices[0]),
            unreadable=request.unreadable,
            on_progress=advance,
            world=world,
        )
        frames = open_frames(encoder, records, request.table)
        embedded = embed_records(encoder, records, frames, options)
        bank_captions = embed_captions(encoder, bank, options)
    return Subject(
        about={
            "encoder": f"{encoder.adapter.config.name} on {encoder.backbone.name}",
            "inputs": table_from_settings(encoder.inputs),
            "split": split,
            "data_fingerprint": fingerprint(records),
            **about,
        },
        scores=embedded.scores,
        caption_video=embedded.caption_video,
        captions=[caption for record in embedded.kept for caption in record.captions],
        videos=[record.id for record in embedded.kept],
        bank=ScoreBlocks.of_embeddings(bank_captions, embedded.videos) if bank else None,
        records=embedded.kept,
        skipped={record.id: reason for record, reason in embedded.skipped},
        dropped=missing | {record.id: len(record.captions) for record, _ in embedded.skipped},
    )


def _progress(world: "World") -> AbstractContextManager[console.Advance]:
    """Show how far it is, once for all processes."""
    if world.index == 0:
        return console.progress("embedding videos")
    return nullcontext(lambda _done, _total, _note="": None)


def _read_matrix(path: Path) -> "np.ndarray":
    matrix = _read_array(path)
    if matrix.dtype.kind not in "fiu":
        raise DataError(f"{path}: scores must be numbers, got {matrix.dtype}")
    if matrix.ndim != 2:
        raise DataError(f"{path}: scores must be [caption video], got {list(matrix.shape)}")
    return matrix


def _read_array(path: Path) -> "np.ndarray":
    import numpy as np

    if not path.is_file():
        raise DataError(f"{path}: no such file; expected a .npy matrix")
    try:
        # Where it lies: a matrix may be larger than memory.
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise DataError(
            f"{path}: not a .npy array of numbers; write one with numpy.save"
        ) from error
    if not isinstance(array, np.ndarray):
        raise DataError(f"{path}: holds several arrays; write one alone with numpy.save")
    return array
