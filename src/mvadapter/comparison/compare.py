"""A plan in, a finished comparison in a folder out; what is there already is not done again."""

import dataclasses
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from mvadapter.backbone.clip import Backbone
from mvadapter.backbone.precision import choose_precision
from mvadapter.comparison.plan import Plan, check_plan, run_folder, same_methods
from mvadapter.comparison.processes import run_jobs
from mvadapter.comparison.work import Job, Kind
from mvadapter.data.records import Record, fingerprint
from mvadapter.data.splits import split_records
from mvadapter.errors import ConfigError, TrainingError, UnknownNameError
from mvadapter.files import locked, write_text
from mvadapter.training.loop import selection_score
from mvadapter.training.recipe import FREE_SETTINGS

_PLAN = "plan.json"
_LOCK = "compare.lock"
_DATA = "data_fingerprint"
_ORIGIN = {"commit", "machine"}
# How often the search goes on where the best learning rate is the last one that was tried.
_EXTENSIONS = 2


_Run: TypeAlias = tuple[str, float | None, int]
"""A method, its learning rate (None where nothing trains), and a seed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonOptions:
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
    runs_of: str
    """The name whose runs these are: another one's where both have the same settings."""
    trainable: int
    learning_rate: float | None
    """The one that the search chose; None where nothing trains."""
    search: dict[float, float | None]
    """Learning rate -> sum of the held-out part's six recalls; None where training diverged."""
    trained: dict[int, dict[str, Any]]
    """Seed -> what training at the chosen rate wrote."""
    tested: dict[int, dict[str, Any]]
    """Seed -> what was measured on the test split."""
    cost: dict[str, Any]
    commits: tuple[str, ...]
    """Of the code of all its runs, those of the search among them."""
    machines: tuple[str, ...]
    """Of all its runs, too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """A finished comparison."""

    methods: tuple[Found, ...]
    """In the plan's order."""
    num_backbone_weights: int
    precision: str
    """What all runs were trained in."""

    @property
    def commits(self) -> tuple[str, ...]:
        """Of the code that all runs were made with; several where it changed on the way."""
        return tuple(sorted({commit for found in self.methods for commit in found.commits}))

    @property
    def machines(self) -> tuple[str, ...]:
        """That all runs were made on; several where the folder went from one to another."""
        return tuple(sorted({machine for found in self.methods for machine in found.machines}))

    @property
    def num_threads(self) -> tuple[int, ...]:
        """That runs had on the CPU, on which the last bits of a training depend."""
        runs = [one for found in self.methods for one in found.trained.values()]
        return tuple(sorted({one["num_threads"] for one in runs}))

    @property
    def skipped_in_training(self) -> dict[str, str]:
        """Videos of the train split without frames: record id -> reason."""
        return _skipped([one for found in self.methods for one in found.trained.values()])

    @property
    def skipped_in_test(self) -> dict[str, str]:
        """Videos of the test split without frames, alike for all methods: record id -> reason."""
        return _skipped([one for found in self.methods for one in found.tested.values()])


def compare(plan: Plan, folder: Path, options: ComparisonOptions) -> Comparison:
    """Train every method of a plan alike, measure each on the test split once.

    For each method the learning rates are tried with the first seed, the held-out part of the train
    split chooses one, the other seeds train with that one, and the test split is seen by nothing
    but the chosen runs at their ends.

    Args:
        plan: What to compare.
        folder: Where everything goes; a stopped comparison goes on there.
        options: Device, processes, and whom to tell.

    Raises:
        ConfigError: A method does not fit the CLIP, or the folder holds something else.
        TrainingError: A run cannot be done.
        KeyboardInterrupt: Ctrl-C; what was done is kept.
    """
    _make_room(folder)
    refusal = ConfigError(f"{folder}: another comparison is running there")
    with locked(folder / _LOCK, refusal):
        options.on_stage("getting ready")
        # A table is looked at before the CLIP, which may be a download; videos are drawn last.
        videos, records = folder / "videos", []
        if not plan.recipe.data.is_synthetic:
            records = plan.recipe.records(videos)
        backbone = Backbone.load(plan.recipe.backbone.name, device=options.device)
        trainable = check_plan(plan, backbone)
        said = _read_plan(folder / _PLAN)
        plan = _settle_precision(plan, said, backbone)
        _refuse_other(said, plan.as_table(), folder)
        records = records or plan.recipe.records(videos)
        _check_records(plan, records, trainable)
        says = {**plan.as_table(), _DATA: fingerprint(records)}
        _refuse_other(said, says, folder)
        methods = {**said.get("methods", {}), **says["methods"]}
        write_text(folder / _PLAN, json.dumps({**says, "methods": methods}, indent=2) + "\n")
        # What the processes measure of memory begins where this one ends.
        num_backbone_weights = backbone.num_weights
        del backbone
        return Comparison(
            methods=tuple(_Work(plan, folder, options, trainable).go()),
            num_backbone_weights=num_backbone_weights,
            precision=plan.recipe.train.precision,
        )


def _skipped(results: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    return {name: reason for one in results for name, reason in one["skipped"].items()}


class _Work:
    """The stages of a comparison and the jobs of each."""

    def __init__(
        self,
        plan: Plan,
        folder: Path,
        options: ComparisonOptions,
        trainable: dict[str, int],
    ) -> None:
        self._plan = plan
        self._folder = folder
        self._options = options
        self._trainable = trainable
        # Variants with the same settings, such as two tables' main row, are one run.
        self._first_of = same_methods(plan, folder)
        self._names = list(dict.fromkeys(self._first_of.values()))
        self._tried = {name: sorted(plan.learning_rates[name]) for name in self._names}

    def go(self) -> list[Found]:
        """Do what is missing, and read what was found."""
        first_seed, *others = self._plan.seeds
        trained = [name for name in self._names if self._trainable[name]]
        searches = any(len(self._tried[name]) > 1 for name in trained)
        stage = f"{'searching learning rates' if searches else 'training'} with seed {first_seed}"
        self._train(stage, [(name, r, first_seed) for name in trained for r in self._tried[name]])
        for _ in range(_EXTENSIONS):
            further = {name: rate for name in trained if (rate := self._beyond(name))}
            for name, rate in further.items():
                self._tried[name] = sorted([*self._tried[name], rate])
            if further:
                stage = "searching on, where the best rate was the last one"
                self._train(stage, [(name, rate, first_seed) for name, rate in further.items()])
        rates: dict[str, float | None] = {name: self._best(name) for name in trained}
        chosen = [(name, rates[name], seed) for name in trained for seed in self._plan.seeds]
        if others:
            self._train("training with the other seeds", chosen)
            self._refuse_diverged(chosen)
        untrained: list[_Run] = [
            (name, None, first_seed) for name in self._names if name not in trained
        ]
        self._do("measuring on the test split", "test", [*untrained, *chosen], self._options.jobs)
        # One at a time, whatever --jobs says: these look at the clock.
        timed = [(name, rates.get(name), first_seed) for name in self._names]
        self._do("timing each method", "cost", timed, 1)
        return [self._found(name, rates.get(self._first_of[name])) for name in self._plan.methods]

    def _train(self, stage: str, runs: Sequence[_Run]) -> None:
        self._do(stage, "train", runs, self._options.jobs)

    def _do(self, stage: str, kind: Kind, runs: Sequence[_Run], at_once: int) -> None:
        self._options.on_stage(stage)
        run_jobs([self._job(kind, *run) for run in runs], at_once, self._options.on_progress)

    def _job(self, kind: Kind, name: str, rate: float | None, seed: int) -> Job:
        return Job(
            kind=kind,
            recipe=self._plan.recipe_for(name, rate, seed),
            folder=run_folder(self._folder, name, rate, seed),
            videos=self._folder / "videos",
            device=self._options.device,
        )

    def _search(self, name: str) -> dict[float, tuple[float, float] | None]:
        """What the held-out part makes of each learning rate that was tried."""
        found = {}
        for rate in self._tried[name]:
            metrics = _read(self._job("train", name, rate, self._plan.seeds[0]))["metrics"]
            found[rate] = None if metrics is None else selection_score(metrics)
        return found

    def _sums(self, name: str) -> dict[float, float | None]:
        return {rate: found and found[0] for rate, found in self._search(name).items()}

    def _best(self, name: str) -> float:
        """The learning rate with the best `selection_score`; of equals, the lowest.

        Raises:
            TrainingError: Training diverged at every one.
        """
        scores = {rate: found for rate, found in self._search(name).items() if found is not None}
        if not scores:
            raise TrainingError(
                f"{name}: the loss became NaN or infinite at every learning rate of "
                f"{self._tried[name]}; give lower ones with --learning-rates"
            )
        return max(scores, key=lambda rate: scores[rate])

    def _refuse_diverged(self, runs: Sequence[_Run]) -> None:
        """Refuse to sum up a run of another seed that came to nothing at the chosen rate.

        Raises:
            TrainingError: There is one.
        """
        for name, rate, seed in runs:
            if _read(self._job("train", name, rate, seed))["metrics"] is None:
                raise TrainingError(
                    f"{name}: training diverged with seed {seed} at the learning rate {rate:g}, "
                    f"which seed {self._plan.seeds[0]} had chosen; give lower ones with "
                    f"--learning-rates, or leave out that seed"
                )

    def _beyond(self, name: str) -> float | None:
        """The next learning rate where the best one is at an end; None where it is not."""
        tried = self._tried[name]
        if len(tried) < 2:
            return None
        best = self._best(name)
        if best not in (tried[0], tried[-1]):
            return None
        neighbour = tried[1] if best == tried[0] else tried[-2]
        beyond = best * best / neighbour
        # Two digits, as one would have written it.
        return round(beyond, 1 - math.floor(math.log10(beyond)))

    def _found(self, name: str, rate: float | None) -> Found:
        first, (first_seed, *_) = self._first_of[name], self._plan.seeds
        seeds = (first_seed,) if rate is None else self._plan.seeds

        def read(kind: Kind, seed: int) -> dict[str, Any]:
            return _read(self._job(kind, first, rate, seed))

        tested = {seed: read("test", seed) for seed in seeds}
        trained = {} if rate is None else {seed: read("train", seed) for seed in seeds}
        cost = read("cost", first_seed)
        tried = () if rate is None else self._tried[first]
        searched = [_read(self._job("train", first, one, first_seed)) for one in tried]
        runs = [*tested.values(), *trained.values(), *searched, cost]
        return Found(
            name=name,
            runs_of=first,
            trainable=self._trainable[name],
            learning_rate=rate,
            search={} if rate is None else self._sums(first),
            trained=trained,
            tested=tested,
            cost={key: value for key, value in cost.items() if key not in _ORIGIN},
            commits=tuple(run["commit"] for run in runs),
            machines=tuple(run["machine"] for run in runs),
        )


def _read(job: Job) -> dict[str, Any]:
    try:
        found = json.loads(job.result.read_text(encoding="utf-8"))
    except ValueError as error:
        raise TrainingError(
            f"{job.result}: not the JSON that it was written as; delete it to do that run again"
        ) from error
    if not found.keys() >= _ORIGIN:
        raise TrainingError(
            f"{job.result}: another version of mvadapter wrote it; name a new folder with --output"
        )
    return dict(found)


def _make_room(folder: Path) -> None:
    """Make the folder, and refuse one that holds what is no comparison's.

    Raises:
        ConfigError: It does, or it is a file.
    """
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder}: is a file; name a folder with --output")
    folder.mkdir(parents=True, exist_ok=True)
    others = sorted(path.name for path in folder.iterdir())
    if others and not (folder / _LOCK).is_file():
        raise ConfigError(
            f"{folder}: holds other things ({others[0]}) and is no comparison; name a new folder "
            f"with --output"
        )


def _check_records(plan: Plan, records: Sequence[Record], trainable: dict[str, int]) -> None:
    """Refuse, before anything is trained, data that cannot be trained, chosen or measured on.

    Raises:
        UnknownNameError: There is no test split.
        ConfigError: A learning rate is to be chosen, and nothing is held out to do so.
        TrainingError: There is too little to train on, or it is also tested.
    """
    test_split, splits = plan.recipe.data.test_split, {record.split for record in records}
    if test_split not in splits:
        raise UnknownNameError(f"split of {plan.recipe.data.path}", test_split, splits)
    parts = split_records(records, plan.recipe.splits)
    searches = any(
        trainable[name] and len(rates) > 1 for name, rates in plan.learning_rates.items()
    )
    if searches and not parts.selection:
        raise ConfigError(
            "nothing is held out of the train split, so that no learning rate can be chosen; "
            "raise train.holdout_percent, or give one learning rate"
        )


def _settle_precision(plan: Plan, said: Mapping[str, Any], backbone: Backbone) -> Plan:
    """Settle precision "auto" once, for all runs of a folder."""
    train = plan.recipe.train
    if train.precision != "auto":
        return plan
    precision = said["train"]["precision"] if said else choose_precision("auto", backbone.device)
    train = dataclasses.replace(train, precision=precision)
    return dataclasses.replace(plan, recipe=dataclasses.replace(plan.recipe, train=train))


def _refuse_other(said: Mapping[str, Any], says: Mapping[str, Any], folder: Path) -> None:
    """Refuse a plan in a folder that holds runs of another recipe, or of other data.

    Raises:
        ConfigError: It does.
    """
    if said and (what := _other(said, says)):
        raise ConfigError(
            f"{folder}: holds a comparison with {what}; name a new folder with --output"
        )


def _read_plan(path: Path) -> dict[str, Any]:
    """What a folder's runs have in common; nothing in a new one.

    Raises:
        ConfigError: What says so is damaged.
    """
    if not path.is_file():
        return {}
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise ConfigError(
            f"{path}: not the JSON that it was written as; name a new folder with --output"
        ) from error


def _other(said: Any, says: Any, name: str = "") -> str | None:  # noqa: ANN401 - parsed JSON
    """Name the first setting in which two plans differ; methods that only one has do not count."""
    if name in FREE_SETTINGS:
        return None
    if not (isinstance(said, dict) and isinstance(says, dict)):
        if said == says:
            return None
        if name == _DATA:
            return "other videos or captions"
        return f"another {name} ({said!r}, now {says!r})"
    for key in says:
        if key in said or name != "methods":
            inner = f"{name}.{key}" if name else key
            if found := _other(said.get(key), says[key], inner):
                return found
    return None
