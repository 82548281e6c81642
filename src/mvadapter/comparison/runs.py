"""What a comparison found, method by method, before it is summed up."""

from collections.abc import Iterable
from dataclasses import dataclass

from mvadapter.backbone.precision import PrecisionChoice
from mvadapter.comparison.results import Cost, Measured, Provenance, Trained


@dataclass(frozen=True, slots=True, kw_only=True)
class MethodRuns:
    """All runs of one method."""

    name: str
    runs_of: str
    """The name whose runs these are: another one where both have the same settings."""
    trainable: int
    learning_rate: float | None
    """The one that the search chose; None where nothing trains."""
    search: dict[float, float | None]
    """Learning rate -> sum of the held-out part's six recalls; None where training diverged."""
    trained: dict[int, Trained]
    """Seed -> training at the chosen rate; empty where nothing trains."""
    tested: dict[int, Measured]
    """Seed -> measured on the test split."""
    cost: Cost
    provenances: frozenset[Provenance]
    """Code and machines of all its runs, those of the search included."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonRuns:
    """All runs of a comparison."""

    methods: tuple[MethodRuns, ...]
    """In the plan's order."""
    num_backbone_weights: int
    precision: PrecisionChoice
    """All runs were trained in it."""

    @property
    def commits(self) -> tuple[str, ...]:
        """Commits of the code of all runs; several where it changed in between."""
        return tuple(sorted({one.commit for runs in self.methods for one in runs.provenances}))

    @property
    def machines(self) -> tuple[str, ...]:
        """Machines of all runs; several where the folder was moved."""
        return tuple(sorted({one.machine for runs in self.methods for one in runs.provenances}))

    @property
    def num_threads(self) -> tuple[int, ...]:
        """CPU threads of the training runs, on which the last bits of a training depend."""
        return tuple(sorted({one.num_threads for one in self._trained}))

    @property
    def skipped_in_training(self) -> dict[str, str]:
        """Videos of the train split without frames: record id -> reason."""
        return _skipped(self._trained)

    @property
    def skipped_in_test(self) -> dict[str, str]:
        """Videos of the test split without frames, the same for all methods: id -> reason."""
        return _skipped(one for runs in self.methods for one in runs.tested.values())

    @property
    def _trained(self) -> list[Trained]:
        return [one for runs in self.methods for one in runs.trained.values()]


def _skipped(results: Iterable[Trained | Measured]) -> dict[str, str]:
    return {name: reason for one in results for name, reason in one.skipped.items()}
