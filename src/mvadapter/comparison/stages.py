"""A checked plan in, the runs of all its methods out; what the folder holds is not run again."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from mvadapter.comparison.plan import ComparisonPlan, run_folder, same_methods
from mvadapter.comparison.processes import run_jobs
from mvadapter.comparison.results import (
    Diverged,
    JobResult,
    Trained,
    read_cost,
    read_test,
    read_training,
)
from mvadapter.comparison.runs import MethodRuns
from mvadapter.comparison.work import Job, Kind
from mvadapter.errors import TrainingError
from mvadapter.training.loop import selection_score

# How often the search is extended where the best learning rate is the lowest or the highest.
_EXTENSIONS = 2

_Run: TypeAlias = tuple[str, float | None, int]
"""A method, its learning rate (None where nothing trains), and a seed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonOptions:
    """Options of a comparison that do not decide its result."""

    device: str = "cpu"
    jobs: int = 1
    """Training runs at the same time, each with its part of the cores."""
    on_stage: Callable[[str], object] = field(default=lambda _stage: None)
    """Called with the title of each stage when it begins."""
    on_progress: Callable[[float, int], object] = field(default=lambda _done, _total: None)
    """Called with the number of jobs of a stage that are done, and their total."""
    command: str = "mvadapter.comparison.compare"
    """How the comparison was started, for the results."""


class ComparisonStages:
    """The stages of a comparison and the jobs of each.

    Args:
        plan: What to compare.
        folder: The comparison's folder.
        options: Device, processes and callbacks.
        trainable: Method -> its number of trained weights.
    """

    def __init__(
        self,
        plan: ComparisonPlan,
        folder: Path,
        options: ComparisonOptions,
        trainable: dict[str, int],
    ) -> None:
        self._plan = plan
        self._folder = folder
        self._options = options
        self._trainable = trainable
        # Variants with the same settings, such as the main row of two tables, share their runs.
        self._first_of = same_methods(plan, folder)
        self._names = list(dict.fromkeys(self._first_of.values()))
        self._tried = {name: sorted(plan.learning_rates[name]) for name in self._names}

    def run(self) -> list[MethodRuns]:
        """Run what is missing, and read the results.

        Raises:
            TrainingError: A run failed, or diverged where it may not.
            KeyboardInterrupt: Ctrl-C; finished runs are kept.
        """
        first_seed, *others = self._plan.seeds
        trained = [name for name in self._names if self._trainable[name]]
        self._search(trained, first_seed)
        rates: dict[str, float | None] = {name: self._best(name) for name in trained}
        chosen = [(name, rates[name], seed) for name in trained for seed in self._plan.seeds]
        if others:
            self._train("training with the other seeds", chosen)
            self._refuse_diverged(chosen)
        untrained: list[_Run] = [
            (name, None, first_seed) for name in self._names if name not in trained
        ]
        tested = [*untrained, *chosen]
        self._run_stage("measuring on the test split", "test", tested, self._options.jobs)
        # One at a time, because these measure time.
        timed = [(name, rates.get(name), first_seed) for name in self._names]
        self._run_stage("timing each method", "cost", timed, 1)
        return [self._read(name, rates.get(self._first_of[name])) for name in self._plan.methods]

    def _search(self, trained: Sequence[str], seed: int) -> None:
        """Train with every learning rate, and with further ones where the best is at an end."""
        searches = any(len(self._tried[name]) > 1 for name in trained)
        stage = f"{'searching learning rates' if searches else 'training'} with seed {seed}"
        self._train(stage, [(name, rate, seed) for name in trained for rate in self._tried[name]])
        for _ in range(_EXTENSIONS):
            further = {name: rate for name in trained if (rate := self._beyond(name))}
            for name, rate in further.items():
                self._tried[name] = sorted([*self._tried[name], rate])
            if further:
                stage = "extending the search, where the best rate is the lowest or the highest"
                self._train(stage, [(name, rate, seed) for name, rate in further.items()])

    def _train(self, stage: str, runs: Sequence[_Run]) -> None:
        self._run_stage(stage, "train", runs, self._options.jobs)

    def _run_stage(self, stage: str, kind: Kind, runs: Sequence[_Run], at_once: int) -> None:
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

    def _training(self, name: str, rate: float | None, seed: int) -> JobResult[Trained | Diverged]:
        return read_training(self._job("train", name, rate, seed).result)

    def _scores(self, name: str) -> dict[float, tuple[float, float] | None]:
        """Learning rate -> `selection_score` on the held-out part; None where it diverged."""
        scores = {}
        for rate in self._tried[name]:
            found = self._training(name, rate, self._plan.seeds[0]).found
            scores[rate] = selection_score(found.metrics) if isinstance(found, Trained) else None
        return scores

    def _best(self, name: str) -> float:
        """The learning rate with the best `selection_score`; of equals, the lowest.

        Raises:
            TrainingError: Training diverged at every one.
        """
        scores = {rate: score for rate, score in self._scores(name).items() if score is not None}
        if not scores:
            raise TrainingError(
                f"{name}: the loss became NaN or infinite at every learning rate of "
                f"{self._tried[name]}; lower learning_rates"
            )
        return max(scores, key=lambda rate: scores[rate])

    def _refuse_diverged(self, runs: Sequence[_Run]) -> None:
        """Refuse to sum up a method with a seed that diverged at the chosen rate.

        Raises:
            TrainingError: There is one.
        """
        for name, rate, seed in runs:
            if isinstance(self._training(name, rate, seed).found, Diverged):
                raise TrainingError(
                    f"{name}: training diverged with seed {seed} at the learning rate {rate:g}, "
                    f"which seed {self._plan.seeds[0]} chose; lower learning_rates, or leave that "
                    f"seed out of seeds"
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
        # Two digits, as a person would write it.
        return round(beyond, 1 - math.floor(math.log10(beyond)))

    def _read(self, name: str, rate: float | None) -> MethodRuns:
        first, (first_seed, *_) = self._first_of[name], self._plan.seeds
        seeds = (first_seed,) if rate is None else self._plan.seeds
        tested = {seed: read_test(self._job("test", first, rate, seed).result) for seed in seeds}
        cost = read_cost(self._job("cost", first, rate, first_seed).result)
        provenances = {one.provenance for one in tested.values()} | {cost.provenance}
        trained, scores = {}, {}
        if rate is not None:
            trained = {seed: self._training(first, rate, seed) for seed in seeds}
            scores = self._scores(first)
            searched = [self._training(first, one, first_seed) for one in self._tried[first]]
            provenances |= {one.provenance for one in (*trained.values(), *searched)}
        return MethodRuns(
            name=name,
            runs_of=first,
            trainable=self._trainable[name],
            learning_rate=rate,
            search={one: score and score[0] for one, score in scores.items()},
            trained={
                seed: one.found for seed, one in trained.items() if isinstance(one.found, Trained)
            },
            tested={seed: one.found for seed, one in tested.items()},
            cost=cost.found,
            provenances=frozenset(provenances),
        )
