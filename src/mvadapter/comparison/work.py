"""The jobs of a comparison: train a run, measure it, time a method.

Each writes what it found into a JSON file, whole, which is at the same time the sign that it is
done; a job whose file is there is not done again.
"""

import dataclasses
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias, assert_never

import torch

from mvadapter.adapters.build import build_adapter
from mvadapter.backbone.clip import Backbone
from mvadapter.comparison.measure import measure, measure_cost
from mvadapter.data.records import Record
from mvadapter.encoder.checkpoint import WEIGHTS_FILE, load_adapter
from mvadapter.encoder.encode import Encoder
from mvadapter.errors import TrainingError
from mvadapter.files import write_text
from mvadapter.training.loop import Surroundings, train
from mvadapter.training.recipe import Recipe

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
    """Where drawn videos lie."""
    device: str

    @property
    def result(self) -> Path:
        """The file that says what came out."""
        return self.folder / f"{self.kind}.json"

    def records(self, split: str) -> list[Record]:
        """One split of the dataset."""
        return [record for record in self.recipe.records(self.videos) if record.split == split]


def do(job: Job, should_stop: Callable[[], bool], on_share: Callable[[float], object]) -> None:
    """Do a job and write what came out; a training that is asked to stop writes nothing.

    Args:
        job: The job.
        should_stop: Asked after each training step.
        on_share: Called with how much of it is done, from 0 to 1.

    Raises:
        MvAdapterError: It cannot be done.
        OSError: The result cannot be written.
    """
    match job.kind:
        case "train":
            found = _train(job, should_stop, on_share)
        case "test":
            found = _test(job)
        case "cost":
            found = _cost(job)
        case _:
            assert_never(job.kind)
    if found is not None:
        write_text(job.result, json.dumps(found) + "\n")


def _train(
    job: Job, should_stop: Callable[[], bool], on_share: Callable[[float], object]
) -> dict[str, Any] | None:
    surroundings = Surroundings(
        device=job.device,
        on_step=lambda done, total, _loss: on_share(done / total),
        should_stop=should_stop,
    )
    records = job.recipe.records(job.videos)
    try:
        result = train(job.recipe, records, job.folder, surroundings)
    except TrainingError as error:
        # A learning rate at which training diverges loses the search; it does not end it.
        return {"metrics": None, "failed": str(error)}
    if not result.is_finished:
        return None
    # The moments of the optimiser are twice the adapter, and nothing goes on from here.
    (job.folder / "run" / "state.safetensors").unlink(missing_ok=True)
    return {
        "metrics": result.metrics,
        "best_epoch": result.best_epoch,
        "num_steps": result.num_steps,
        "adapter_bytes": (job.folder / WEIGHTS_FILE).stat().st_size,
        "skipped": result.skipped,
    }


def _test(job: Job) -> dict[str, Any]:
    records = job.records(job.recipe.data.test_split)
    backbone = Backbone.load(job.recipe.backbone.name, device=job.device)
    if (job.folder / WEIGHTS_FILE).is_file():
        encoder = load_adapter(job.folder, backbone)
    else:
        encoder = _untrained(job.recipe, backbone)
    return dataclasses.asdict(measure(encoder, records, job.recipe))


def _cost(job: Job) -> dict[str, Any]:
    records = job.records(job.recipe.data.train_split)

    def make() -> Encoder:
        return _untrained(job.recipe, Backbone.load(job.recipe.backbone.name, device=job.device))

    return dataclasses.asdict(measure_cost(make, records, job.recipe, torch.device(job.device)))


def _untrained(recipe: Recipe, backbone: Backbone) -> Encoder:
    return Encoder(
        backbone,
        build_adapter(recipe.method, backbone),
        inputs=recipe.inputs,
        gradient_checkpointing=recipe.train.gradient_checkpointing,
    )
