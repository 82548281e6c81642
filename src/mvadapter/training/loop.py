"""A recipe and records in, a trained adapter in a folder out.

The output folder holds the best adapter so far, always complete, and beside it ``run/``
with the log (``log.jsonl``, ``tensorboard/``) and the state from which a stopped run continues.
"""

import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from mvadapter.adapters.build import build_adapter
from mvadapter.backbone.clip import Backbone
from mvadapter.backbone.precision import Precision, choose_precision
from mvadapter.data.batches import Pair
from mvadapter.data.frame_reader import FoundFrames, FrameReader
from mvadapter.data.origin import missing_captions
from mvadapter.data.records import Record, fingerprint
from mvadapter.data.splits import Parts, split_records
from mvadapter.documents.text import is_missing
from mvadapter.embedding.captions import CaptionReport, look_at_captions
from mvadapter.embedding.records import EmbeddingOptions, embed_records, open_frames
from mvadapter.encoder.adapter_folder import read_record
from mvadapter.encoder.checkpoint import save_adapter
from mvadapter.encoder.encode import Encoder
from mvadapter.encoder.training_record import TrainingData, TrainingRecord
from mvadapter.errors import AdapterFolderError, DivergedError, TrainingError, VideoError
from mvadapter.evaluation.metrics import RetrievalReport
from mvadapter.evaluation.ranks import retrieval_ranks
from mvadapter.files import locked
from mvadapter.isolation import Isolation
from mvadapter.storage import check_space, make_folder
from mvadapter.training.log import RunLog, read_losses
from mvadapter.training.optimizer import build_optimizer, learning_rate, set_learning_rate
from mvadapter.training.recipe import FREE_SETTINGS, Recipe
from mvadapter.training.schedule import Schedule
from mvadapter.training.state import (
    Progress,
    load_state,
    restore_state,
    save_state,
    state_bytes,
)
from mvadapter.training.step import take_step
from mvadapter.unfinished import remove_abandoned

log = logging.getLogger(__name__)

_SAVE_EVERY_SECONDS = 60.0
# Decoded frames of the training and the selection part that stay in memory.
_CACHE_BYTES = 4 * 2**30
# Where all embeddings are the same, the loss is that of guessing but for rounding.
_NEAR_GUESSING = 0.02
_RECALLS = ("recall_at_1", "recall_at_5", "recall_at_10")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """What a run is given that does not decide its result."""

    device: str = "cpu"
    num_workers: int = 2
    """Videos decoded at once."""
    isolation: Isolation | None = None
    """What a process may take that decodes a video; None decodes in threads."""
    on_step: Callable[[int, int, float | None], object] = field(
        default=lambda _step, _total, _loss: None
    )
    """Called with the steps done, the steps in all, and the loss: None of a step that was left out
    because too few of its videos could be read."""
    should_stop: Callable[[], bool] = field(default=lambda: False)
    """Asked after each step; True saves the state and stops."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingResult:
    """What a run came to."""

    folder: Path
    is_finished: bool
    """False when it was stopped; the same call continues."""
    step: int
    num_steps: int
    best_epoch: int
    """The epoch whose adapter the folder holds."""
    precision: Precision
    """The precision of the training."""
    metrics: dict[str, float]
    """Of that epoch, on what chose it; empty when nothing could be held out."""
    skipped: dict[str, str]
    """Videos that gave no frames: record id -> reason."""
    missing: dict[str, int]
    """Videos of the train split that had no file when the table was prepared -> their captions."""
    captions: CaptionReport
    """What of the captions that train is cut or the same."""
    is_collapsed: bool = False
    """Whether the loss of the last epoch stayed at that of guessing."""

    def notes(self) -> list[str]:
        """What a reader of the metrics must know."""
        if not self.is_collapsed:
            return []
        return [
            "the run has collapsed: the loss of its last epoch is that of guessing (the logarithm "
            "of the batch size), so that the adapter tells no videos apart; lower "
            "train.learning_rate, or use another method"
        ]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as JSON holds them."""
        return {
            "folder": str(self.folder),
            "is_finished": self.is_finished,
            "step": self.step,
            "steps": self.num_steps,
            "best_epoch": self.best_epoch,
            "metrics": self.metrics,
            "precision": self.precision,
            "missing": list(self.missing),
            "skipped": self.skipped,
            "cut_captions": self.captions.num_cut,
            "equal_captions": self.captions.num_equal,
            "is_collapsed": self.is_collapsed,
        }


def train_recipe(
    recipe: Recipe,
    records: Sequence[Record],
    folder: str | Path,
    options: RunOptions | None = None,
) -> TrainingResult:
    """Train an adapter, or continue a run that was stopped in this folder.

    A resumed run continues bit for bit: weights, optimiser, schedule, order of the data and random
    states are what they would have been.

    Args:
        recipe: All that decides the run.
        records: The dataset; of it the recipe's train split is used, and its test split only if
            the recipe selects on it.
        folder: Where the adapter and the run's state go.
        options: Device, threads and callbacks.

    Raises:
        TrainingError: There is too little data, or the folder holds another run.
        DataError: No video of the train split can be read.
        MvAdapterError: The backbone, the method or the settings do not fit.
    """
    options = options or RunOptions()
    parts = split_records(records, recipe.splits)
    run = Path(folder) / "run"
    make_folder(run)
    with locked(run / "lock", TrainingError(f"{folder}: another process is training here")):
        return _train(recipe, parts, Path(folder), options)


def _train(recipe: Recipe, parts: Parts, folder: Path, options: RunOptions) -> TrainingResult:
    torch.manual_seed(recipe.train.seed)
    backbone = Backbone.load(recipe.backbone.name, device=options.device)
    encoder = Encoder(
        backbone,
        build_adapter(recipe.method, backbone),
        inputs=recipe.inputs,
        gradient_checkpointing=recipe.train.gradient_checkpointing,
    )
    if not encoder.trainable_parameters():
        raise TrainingError(f"the method {recipe.method.name!r} has nothing to train")
    return _Run(recipe, parts, encoder, folder, options).go()


class _Run:
    """One training run: its encoder, optimiser and progress."""

    def __init__(
        self,
        recipe: Recipe,
        parts: Parts,
        encoder: Encoder,
        folder: Path,
        options: RunOptions,
    ) -> None:
        self._recipe = recipe
        self._parts = parts
        self._encoder = encoder
        self._train_frames, self._selection_frames = (
            open_frames(
                encoder,
                part,
                recipe.table,
                num_workers=options.num_workers,
                cache_bytes=_CACHE_BYTES // 2,
                isolation=options.isolation,
            )
            for part in (parts.train, parts.selection)
        )
        self._folder = folder
        self._options = options
        self._state_path = folder / "run" / "state.safetensors"
        remove_abandoned(self._state_path.parent)
        self._parameters = encoder.trainable_parameters()
        self._optimizer = build_optimizer(encoder, recipe.train)
        self._schedule = Schedule(
            parts.train,
            batch_size=recipe.train.batch_size,
            epochs=recipe.train.epochs,
            seed=recipe.train.seed,
        )
        self._num_steps = len(self._schedule)
        self._captions = look_at_captions(
            encoder.backbone.tokenizer, parts.train, recipe.inputs.max_tokens
        )
        self._progress = self._begin_or_resume()
        self._saved_at = time.monotonic()

    def go(self) -> TrainingResult:
        """Train to the end, or until asked to stop."""
        progress = self._progress
        if progress.step < self._num_steps:
            # Rather than a run of empty steps, or one that cannot be saved.
            check_space(self._state_path, state_bytes(self._parameters))
            _check_readable(self._train_frames, self._parts.train)
            for note in filter(None, (self._captions.cut_note(), self._equal_note())):
                log.warning("%s", note)
        todo = self._schedule.steps(progress.step)
        ahead = self._schedule.steps(progress.step)
        frames = self._train_frames.read(pair.record for step in ahead for pair in step.batch)
        with RunLog(self._folder / "run", progress.step) as run_log, closing(frames):
            for step in todo:
                loss = self._take(step.batch, list(islice(frames, len(step.batch))))
                rate = self._rate()
                run_log.step(progress.step, epoch=step.epoch, loss=loss, learning_rate=rate)
                progress.step += 1
                self._options.on_step(progress.step, self._num_steps, loss)
                if step.is_last_of_epoch:
                    self._end_epoch(step.epoch, run_log)
                if self._stops_here():
                    break
        return self._result()

    def _begin_or_resume(self) -> Progress:
        recipe = self._recipe.as_table()
        data = fingerprint([*self._parts.train, *self._parts.selection])
        if not is_missing(self._state_path):
            progress, tensors = load_state(self._state_path)
            _check_same(progress, recipe, data, self._folder)
            self._check_possible(progress)
            progress.recipe = recipe
            restore_state(self._state_path, tensors, self._parameters, self._optimizer)
            return progress
        precision = choose_precision(self._recipe.train.precision, self._encoder.backbone.device)
        return Progress(recipe=recipe, data_fingerprint=data, precision=precision)

    def _check_possible(self, progress: Progress) -> None:
        """Refuse a state that no run of this recipe can be in.

        Raises:
            TrainingError: Its step or its best epoch is none of this run's, its precision is not
                the recipe's, or its adapter is gone.
        """
        num_epochs = self._schedule.num_complete_epochs(progress.step)
        choice = self._recipe.train.precision
        problem = None
        if progress.step > self._num_steps:
            problem = f"is at step {progress.step} of {self._num_steps}"
        elif progress.best_epoch > num_epochs or (num_epochs and not progress.best_epoch):
            problem = f"has {progress.best_epoch} as the best of {num_epochs} epochs"
        elif choice not in {"auto", progress.precision}:
            problem = f"was trained in {progress.precision}, but the recipe has {choice}"
        elif progress.best_epoch:
            # The adapter of the best epoch is written before the state.
            try:
                read_record(self._folder)
            except AdapterFolderError as error:
                problem = f"has an adapter that cannot be read ({error})"
        if problem:
            raise TrainingError(
                f"{self._state_path}: the state {problem}; delete {self._state_path.parent} to "
                f"start over"
            )

    def _take(self, batch: list[Pair], found: list[FoundFrames]) -> float | None:
        """Take one step and give its loss; with fewer than two readable videos, leave it out.

        Raises:
            DivergedError: The loss is no longer a number.
        """
        set_learning_rate(self._optimizer, self._rate())
        frames, captions = [], []
        for pair, one in zip(batch, found, strict=True):
            record = self._parts.train[pair.record]
            if isinstance(one, VideoError):
                self._progress.skipped[record.id] = str(one)
            else:
                frames.append(one)
                captions.append(record.captions[pair.caption])
        if len(frames) < 2:
            return None
        settings = self._recipe.train
        try:
            return take_step(
                self._encoder,
                self._optimizer,
                frames,
                captions,
                precision=self._progress.precision,
                max_gradient_norm=settings.max_gradient_norm,
                mask_equal_captions=settings.mask_equal_captions,
            )
        except DivergedError as error:
            raise DivergedError(
                f"{error} at step {self._progress.step}; lower learning_rate (now "
                f"{settings.learning_rate}) or set precision to 'float32'"
            ) from None

    def _end_epoch(self, epoch: int, run_log: RunLog) -> None:
        """Measure on the selection part, keep the adapter if it is the best, save the state."""
        progress = self._progress
        metrics = selection_metrics(self._evaluate()) if self._parts.selection else {}
        run_log.epoch(progress.step - 1, epoch=epoch, metrics=metrics)
        best = progress.best_metrics
        # With nothing to choose by, the last one is the best.
        if not (metrics and best) or selection_score(metrics) > selection_score(best):
            progress.best_epoch, progress.best_metrics = epoch, metrics
            save_adapter(self._encoder, self._folder, self._record(epoch, metrics))
        self._save()

    def _evaluate(self) -> RetrievalReport:
        options = EmbeddingOptions(precision=self._progress.precision, unreadable="skip")
        embedded = embed_records(
            self._encoder, self._parts.selection, self._selection_frames, options
        )
        skipped = {record.id: reason for record, reason in embedded.skipped}
        self._progress.skipped.update(skipped)
        return RetrievalReport.from_ranks(retrieval_ranks(embedded.scores, embedded.caption_video))

    def _record(self, epoch: int, metrics: dict[str, float]) -> TrainingRecord:
        table, splits = self._recipe.table, self._recipe.splits
        return TrainingRecord(
            recipe=self._progress.recipe,
            data=TrainingData(
                name=table.name,
                fingerprint=self._progress.data_fingerprint,
                splits=splits,
                train_records=len(self._parts.train),
                missing_videos=len(missing_captions(table, splits.train_split)),
            ),
            selection=self._parts.selection_name,
            epoch=epoch,
            precision=self._progress.precision,
            metrics=metrics,
        )

    def _stops_here(self) -> bool:
        stops = self._options.should_stop()
        if stops or time.monotonic() - self._saved_at > _SAVE_EVERY_SECONDS:
            self._save()
        return stops

    def _save(self) -> None:
        save_state(self._state_path, self._progress, self._parameters, self._optimizer)
        self._saved_at = time.monotonic()

    def _rate(self) -> float:
        return learning_rate(self._progress.step, self._num_steps, self._recipe.train)

    def _result(self) -> TrainingResult:
        progress = self._progress
        is_finished = progress.step == self._num_steps
        return TrainingResult(
            folder=self._folder,
            is_finished=is_finished,
            step=progress.step,
            num_steps=self._num_steps,
            best_epoch=progress.best_epoch,
            precision=progress.precision,
            metrics=progress.best_metrics,
            skipped=progress.skipped,
            missing=missing_captions(self._recipe.table, self._recipe.data.train_split),
            captions=self._captions,
            is_collapsed=is_finished and self._is_collapsed(),
        )

    def _equal_note(self) -> str | None:
        if self._recipe.train.mask_equal_captions:
            return None
        return self._captions.equal_note()

    def _is_collapsed(self) -> bool:
        """Whether the loss of every step of the last epoch, as logged, is that of guessing."""
        losses = read_losses(self._folder / "run")
        first = self._num_steps - self._schedule.last_length
        shares = [
            losses[number] / math.log(len(step.batch))
            for number, step in enumerate(self._schedule.steps(first), start=first)
            if number in losses
        ]
        return bool(shares) and max(abs(share - 1) for share in shares) < _NEAR_GUESSING


def selection_metrics(report: RetrievalReport) -> dict[str, float]:
    """The metrics of a log and a model card: recalls in percent, and mean ranks."""
    directions = {"text_to_video": report.text_to_video, "video_to_text": report.video_to_text}
    return {
        f"{name}_{field}": getattr(metrics, field)
        for name, metrics in directions.items()
        for field in (*_RECALLS, "mean_rank")
    }


def selection_score(metrics: Mapping[str, float]) -> tuple[float, float]:
    """What chooses epochs and learning rates, the greater the better.

    The sum of the six recalls; of equal sums, which small or easy parts often have, the one with
    the lower mean ranks.
    """
    recalls = sum(value for name, value in metrics.items() if name.endswith(_RECALLS))
    ranks = sum(value for name, value in metrics.items() if name.endswith("mean_rank"))
    # Thirds and the like are not exact: without rounding, equal sums would seldom be equal.
    return round(recalls, 6), -ranks


def _check_readable(frames: FrameReader, records: Sequence[Record]) -> None:
    """Refuse videos of which not even two can be read, before anything is trained on them.

    Raises:
        DataError: No video can be read.
        TrainingError: One alone can.
    """
    readable = frames.first_readable(2)
    if len(readable) < 2:
        raise TrainingError(
            f"{records[readable[0][0]].id} alone of {len(records)} videos can be read; the "
            f"negatives of a batch come from other videos"
        )


def _check_same(progress: Progress, recipe: dict[str, Any], data: str, folder: Path) -> None:
    """Refuse to continue a run with another recipe or other data.

    Raises:
        TrainingError: The folder's run is another one.
    """
    others = [
        f"{table}.{key} = {old.get(key)!r}, now {value!r}"
        for table, settings in recipe.items()
        for old in [progress.recipe.get(table) or {}]
        for key, value in settings.items()
        if old.get(key) != value and f"{table}.{key}" not in FREE_SETTINGS
    ]
    if progress.data_fingerprint != data:
        others.append("other videos or captions")
    if others:
        raise TrainingError(
            f"{folder}: contains a run with {others[0]}; use another output folder, or delete "
            f"{folder / 'run'} to start over"
        )
