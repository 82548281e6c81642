"""A plan in, a finished comparison in a folder out; what is there already is not done again."""

import fcntl
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mvadapter.backbone.clip import Backbone
from mvadapter.comparison.plan import Plan, check_plan, run_folder, same_methods
from mvadapter.comparison.processes import run_jobs
from mvadapter.comparison.work import Job, Kind
from mvadapter.data.records import Record
from mvadapter.errors import ConfigError, TrainingError, UnknownNameError
from mvadapter.files import write_text

_PLAN = "plan.json"
_LOCK = "compare.lock"


@dataclass(frozen=True, slots=True, kw_only=True)
class Around:
    """What a comparison is given that does not decide its result."""

    device: str = "cpu"
    jobs: int = 1
    """Runs that train at once, each with its part of the cores."""
    on_stage: Callable[[str], object] = field(default=lambda _stage: None)
    """Called with what begins now, in words."""
    on_progress: Callable[[float, int], object] = field(default=lambda _done, _total: None)
    """Called with how many jobs of a stage are done, and how many there are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """All that was found out about one method, as the jobs wrote it."""

    name: str
    trainable: int
    learning_rate: float | None
    """The one that the search chose; None where nothing trains."""
    search: dict[float, float | None]
    """Learning rate -> sum of the held-out part's six recalls; None where training diverged."""
    trained: dict[str, Any]
    """What the first seed's training wrote."""
    tested: dict[int, dict[str, Any]]
    """Seed -> what was measured on the test split."""
    cost: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """A finished comparison."""

    methods: tuple[Found, ...]
    """In the plan's order."""
    num_backbone_weights: int

    @property
    def skipped(self) -> dict[str, str]:
        """Test videos without frames, the same for every method: record id -> reason."""
        return dict(next(iter(self.methods[0].tested.values()))["skipped"])


def compare(plan: Plan, folder: Path, around: Around) -> Comparison:
    """Train every method of a plan alike, measure each on the test split once.

    For each method every learning rate is tried with the first seed, the held-out part of the train
    split chooses one, the other seeds train with that one, and the test split is seen by nothing
    but the chosen runs at their ends.

    Args:
        plan: What to compare.
        folder: Where everything goes; a stopped comparison goes on there.
        around: Device, processes, and whom to tell.

    Raises:
        ConfigError: A method does not fit the CLIP, or the folder holds another comparison.
        TrainingError: A run cannot be done.
        KeyboardInterrupt: Ctrl-C; what was done is kept.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with _alone(folder):
        _remember(plan, folder)
        backbone = Backbone.load(plan.recipe.backbone.name)
        trainable = check_plan(plan, backbone)
        around.on_stage("getting the videos ready")
        _check_splits(plan, plan.recipe.records(folder / "videos"))
        found = _Work(plan, folder, around, trainable).go()
        return Comparison(methods=tuple(found), num_backbone_weights=backbone.num_weights)


class _Work:
    def __init__(self, plan: Plan, folder: Path, around: Around, trainable: dict[str, int]) -> None:
        self._plan = plan
        self._folder = folder
        self._around = around
        self._trainable = trainable
        # Variants with the same settings, such as two tables' main row, are one run.
        self._first_of = same_methods(plan.methods)
        self._names = list(dict.fromkeys(self._first_of.values()))

    def go(self) -> list[Found]:
        plan, first_seed = self._plan, self._plan.seeds[0]
        trained = [name for name in self._names if self._trainable[name]]
        self._do(
            f"searching learning rates with seed {first_seed}",
            [
                self._job("train", name, rate, first_seed)
                for name in trained
                for rate in plan.learning_rates
            ],
        )
        rates = {name: self._choose(name) for name in trained}
        chosen = [(name, rates[name], seed) for name in trained for seed in plan.seeds]
        self._do("training the other seeds", [self._job("train", *run) for run in chosen])
        untrained = [(name, None, first_seed) for name in self._names if name not in trained]
        self._do(
            "measuring on the test split",
            [self._job("test", *run) for run in (*untrained, *chosen)],
        )
        # One at a time, whatever --jobs says: they look at the clock.
        runs = [(name, rates.get(name), first_seed) for name in self._names]
        self._do("timing each method", [self._job("cost", *run) for run in runs], at_once=1)
        return [self._found(name, rates.get(self._first_of[name])) for name in plan.methods]

    def _do(self, stage: str, jobs: list[Job], at_once: int | None = None) -> None:
        self._around.on_stage(stage)
        run_jobs(jobs, at_once or self._around.jobs, self._around.on_progress)

    def _job(self, kind: Kind, name: str, rate: float | None, seed: int) -> Job:
        return Job(
            kind=kind,
            recipe=self._plan.recipe_for(name, rate, seed),
            folder=run_folder(self._folder, name, rate, seed),
            videos=self._folder / "videos",
            device=self._around.device,
        )

    def _choose(self, name: str) -> float:
        """The learning rate with the best sum of recalls on the held-out part.

        Raises:
            TrainingError: Training diverged at every one.
            ConfigError: Nothing was held out.
        """
        search = self._search(name)
        scores = {rate: score for rate, score in search.items() if score is not None}
        if not scores:
            raise TrainingError(
                f"{name}: training diverged at every learning rate of "
                f"{list(self._plan.learning_rates)}; give lower ones with --learning-rates"
            )
        return max(scores, key=lambda rate: scores[rate])

    def _search(self, name: str) -> dict[float, float | None]:
        found = {}
        for rate in self._plan.learning_rates:
            metrics = _read(self._job("train", name, rate, self._plan.seeds[0]))["metrics"]
            if metrics == {} and len(self._plan.learning_rates) > 1:
                raise ConfigError(
                    "nothing is held out of the train split, so that no learning rate can be "
                    "chosen; raise train.holdout_percent, or give one learning rate"
                )
            found[rate] = None if metrics is None else sum(metrics.values())
        return found

    def _found(self, name: str, rate: float | None) -> Found:
        first, (first_seed, *_) = self._first_of[name], self._plan.seeds
        seeds = self._plan.seeds if rate is not None else (first_seed,)
        return Found(
            name=name,
            trainable=self._trainable[name],
            learning_rate=rate,
            search=self._search(first) if rate is not None else {},
            trained={} if rate is None else _read(self._job("train", first, rate, first_seed)),
            tested={seed: _read(self._job("test", first, rate, seed)) for seed in seeds},
            cost=_read(self._job("cost", first, rate, first_seed)),
        )


def _read(job: Job) -> dict[str, Any]:
    try:
        found = json.loads(job.result.read_text(encoding="utf-8"))
    except ValueError as error:
        raise TrainingError(
            f"{job.result}: not the JSON that it was written as; delete it to do that run again"
        ) from error
    return dict(found)


def _check_splits(plan: Plan, records: Sequence[Record]) -> None:
    """Refuse data without a part to train or to measure on.

    Raises:
        UnknownNameError: A split of the recipe is not there.
    """
    splits = {record.split for record in records}
    for split in (plan.recipe.data.train_split, plan.recipe.data.test_split):
        if split not in splits:
            raise UnknownNameError(f"split of {plan.recipe.data.path}", split, splits)


def _remember(plan: Plan, folder: Path) -> None:
    """Keep what the runs in a folder have in common, and refuse another plan there.

    Raises:
        ConfigError: The folder holds runs of another recipe.
    """
    says, path = plan.as_table(), folder / _PLAN
    if not path.is_file():
        write_text(path, json.dumps(says, indent=2) + "\n")
        return
    said = json.loads(path.read_text(encoding="utf-8"))
    for table in says:
        if said.get(table) != says[table]:
            raise ConfigError(
                f"{folder}: holds a comparison with another {table} ({said.get(table)}, now "
                f"{says[table]}); name a new folder with --output"
            )


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep a second comparison out of the folder; the system lets go however this one ends.

    Raises:
        ConfigError: One is running there.
    """
    with (folder / _LOCK).open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ConfigError(f"{folder}: another comparison is running there") from error
        yield
