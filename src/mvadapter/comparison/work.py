"""The jobs of a comparison: train a run, measure it, time a method.

Each writes its result into a JSON file, which also marks it as done: a job with such a file is not
run again.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias, assert_never

import torch

from mvadapter.adapters.build import build_adapter
from mvadapter.backbone.clip import Backbone
from mvadapter.comparison.checkout import commit
from mvadapter.comparison.machine import machine
from mvadapter.comparison.measure import measure_cost, measure_on_test
from mvadapter.comparison.results import (
    Cost,
    Diverged,
    JobResult,
    Measured,
    Provenance,
    Trained,
    write_result,
)
from mvadapter.data.records import Record
from mvadapter.encoder.adapter_folder import WEIGHTS_FILE
from mvadapter.encoder.checkpoint import load_adapter
from mvadapter.encoder.encode import Encoder
from mvadapter.errors import DivergedError
from mvadapter.files import locked
from mvadapter.training.loop import RunOptions, train_recipe
from mvadapter.training.recipe import Recipe

_LOCK = "job.lock"

Kind: TypeAlias = Literal["train", "test", "cost"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One piece of work for a process of its own."""

    kind: Kind
    """Train a run, measure it on the test split, or time its method alone on the machine."""
    recipe: Recipe
    folder: Path
    """The run's adapter folder."""
    videos: Path
    """Folder of drawn videos."""
    device: str

    @property
    def result(self) -> Path:
        """The file of its result; there is one of costs for each device."""
        what = f"cost-{self.device.replace(':', '-')}" if self.kind == "cost" else self.kind
        return self.folder / f"{what}.json"

    def records(self, split: str) -> list[Record]:
        """One split of the dataset."""
        return [record for record in self.recipe.records(self.videos) if record.split == split]


class _Stopped(Exception):  # noqa: N818 - it is no error
    pass


def run_job(job: Job, should_stop: Callable[[], bool], on_share: Callable[[float], object]) -> None:
    """Run a job and write its result; a job that is stopped writes none.

    Args:
        job: The job.
        should_stop: Called after each training step and each batch of videos; True stops the job.
        on_share: Called with the share of the job that is done, from 0 to 1.

    Raises:
        MvAdapterError: It failed.
        OSError: The result cannot be written.
    """
    job.folder.mkdir(parents=True, exist_ok=True)
    # A process of a killed comparison may still be saving its state.
    with locked(job.folder / _LOCK, None), suppress(_Stopped):
        if not job.result.is_file():
            provenance = Provenance(commit=commit(), machine=machine(job.device))
            found = _find(job, should_stop, on_share)
            write_result(job.result, JobResult(provenance=provenance, found=found))
        if job.kind == "train":
            # The optimiser's moments are twice the adapter, and no run continues from here.
            (job.folder / "run" / "state.safetensors").unlink(missing_ok=True)


def _find(
    job: Job, should_stop: Callable[[], bool], on_share: Callable[[float], object]
) -> Trained | Diverged | Measured | Cost:
    match job.kind:
        case "train":
            return _train(job, should_stop, on_share)
        case "test":
            return _test(job, should_stop, on_share)
        case "cost":
            return _cost(job)
        case _:
            assert_never(job.kind)


def _train(
    job: Job, should_stop: Callable[[], bool], on_share: Callable[[float], object]
) -> Trained | Diverged:
    options = RunOptions(
        device=job.device,
        on_step=lambda done, total, _loss: on_share(done / total),
        should_stop=should_stop,
    )
    records = job.recipe.records(job.videos)
    try:
        result = train_recipe(job.recipe, records, job.folder, options)
    except DivergedError as error:
        # A learning rate at which training diverges loses the search; it does not end it.
        return Diverged(failed=str(error))
    if not result.is_finished:
        raise _Stopped
    return Trained(
        metrics=result.metrics,
        best_epoch=result.best_epoch,
        num_steps=result.num_steps,
        num_threads=torch.get_num_threads(),
        adapter_bytes=(job.folder / WEIGHTS_FILE).stat().st_size,
        skipped=result.skipped,
    )


def _test(
    job: Job, should_stop: Callable[[], bool], on_share: Callable[[float], object]
) -> Measured:
    def advance(done: int, total: int) -> None:
        on_share(done / total)
        if should_stop():
            raise _Stopped

    recipe = job.recipe
    records = job.records(recipe.data.test_split)
    backbone = Backbone.load(recipe.backbone.name, device=job.device)
    encoder = _untrained(recipe, backbone)
    if encoder.trainable_parameters():
        encoder = load_adapter(job.folder, backbone)
    return measure_on_test(
        encoder, records, recipe.table, advance, is_synthetic=recipe.data.is_synthetic
    )


def _cost(job: Job) -> Cost:
    records = job.records(job.recipe.data.train_split)

    def make() -> Encoder:
        return _untrained(job.recipe, Backbone.load(job.recipe.backbone.name, device=job.device))

    return measure_cost(make, records, job.recipe, torch.device(job.device))


def _untrained(recipe: Recipe, backbone: Backbone) -> Encoder:
    return Encoder(
        backbone,
        build_adapter(recipe.method, backbone),
        inputs=recipe.inputs,
        gradient_checkpointing=recipe.train.gradient_checkpointing,
    )
