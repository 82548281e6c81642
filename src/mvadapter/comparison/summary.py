"""Runs in, one record per method out: means over seeds, storage, real differences."""

import dataclasses
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from mvadapter.comparison.results import DIRECTIONS, Direction
from mvadapter.comparison.runs import ComparisonRuns, MethodRuns
from mvadapter.evaluation.bootstrap import Difference, paired_bootstrap_over_seeds
from mvadapter.evaluation.metrics import RetrievalMetrics

_BYTES_PER_WEIGHT = 4
_TASKS = (1, 5, 100)
_SIGNIFICANT = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """A number over the seeds."""

    mean: float
    std: float
    """Standard deviation of the sample; 0 where there is one seed."""
    values: tuple[float, ...]
    """One per seed, in the order of the seeds."""

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """Sum up one number per seed."""
        std = statistics.stdev(values) if len(values) > 1 else 0.0
        return cls(mean=statistics.fmean(values), std=std, values=tuple(values))


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricSpreads:
    """One direction of retrieval on the test split, over the seeds."""

    recall_at_1: Spread
    """In percent, as are the other recalls."""
    recall_at_5: Spread
    recall_at_10: Spread
    median_rank: Spread
    mean_rank: Spread
    recall_sum: Spread

    @classmethod
    def of(cls, metrics: Sequence[RetrievalMetrics]) -> "MetricSpreads":
        """Sum up the metrics of each seed."""
        names = [field.name for field in dataclasses.fields(cls)]
        return cls(**{name: Spread.of([getattr(one, name) for one in metrics]) for name in names})


@dataclass(frozen=True, slots=True, kw_only=True)
class Storage:
    """Disk space for a number of tasks, in float32: adapters and one CLIP, or one CLIP per task."""

    num_tasks: int
    num_bytes: int
    percent_of_full: float
    """Of as many fully fine-tuned CLIPs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MethodSummary:
    """One row of the comparison."""

    name: str
    trainable: int
    share_percent: float
    adapter_bytes: int
    """Size of the file; 0 where nothing trains."""
    learning_rate: float | None
    search: dict[str, float | None]
    """Learning rate -> sum of the six recalls on the held-out part; None where it diverged."""
    seeds: tuple[int, ...]
    num_steps: int
    best_epochs: tuple[int, ...]
    """The epoch that the held-out part chose, per seed."""
    metrics: dict[Direction, MetricSpreads]
    needs: dict[str, dict[str, Spread]]
    """For drawn videos: need -> R@1 in both directions and reversal accuracy."""
    storage: tuple[Storage, ...]
    seconds_per_step: float
    peak_bytes: int
    videos_per_second: float


@dataclass(frozen=True, slots=True, kw_only=True)
class MethodDifference:
    """How much better a method is than another in one metric: the same queries, all seeds."""

    name: str
    reference: str
    metric: str
    """"text_to_video" and "video_to_text" are R@1; "reversal" is of drawn videos."""
    difference: Difference
    """In percentage points."""
    is_significant: bool
    """Whether the p-value passes 0.05 after Holm's correction for all differences of its metric
    (Holm 1979)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """A comparison as its tables show it."""

    methods: tuple[MethodSummary, ...]
    differences: tuple[MethodDifference, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return dataclasses.asdict(self)


def summarise(runs: ComparisonRuns, reference: str) -> Summary:
    """Sum up a comparison.

    Args:
        runs: All its runs.
        reference: The method that the others are tested against.
    """
    return Summary(
        methods=tuple(_summarise(method, runs.num_backbone_weights) for method in runs.methods),
        differences=tuple(_differences(runs.methods, reference)),
    )


def _summarise(runs: MethodRuns, num_backbone_weights: int) -> MethodSummary:
    tested, trained = list(runs.tested.values()), list(runs.trained.values())
    backbone_bytes = _BYTES_PER_WEIGHT * num_backbone_weights
    adapter_bytes = trained[0].adapter_bytes if trained else 0
    return MethodSummary(
        name=runs.name,
        trainable=runs.trainable,
        share_percent=100 * runs.trainable / num_backbone_weights,
        adapter_bytes=adapter_bytes,
        learning_rate=runs.learning_rate,
        search={f"{rate:g}": score for rate, score in runs.search.items()},
        seeds=tuple(runs.tested),
        num_steps=trained[0].num_steps if trained else 0,
        best_epochs=tuple(one.best_epoch for one in trained),
        metrics={
            direction: MetricSpreads.of([one.metrics[direction] for one in tested])
            for direction in DIRECTIONS
        },
        needs={
            need: {
                metric: Spread.of([one.needs[need][metric] for one in tested]) for metric in metrics
            }
            for need, metrics in tested[0].needs.items()
        },
        storage=tuple(
            # A method that trains all of CLIP needs no CLIP beside it.
            _storage(
                tasks,
                shared_bytes=0 if runs.trainable == num_backbone_weights else backbone_bytes,
                adapter_bytes=adapter_bytes,
                full_bytes=backbone_bytes,
            )
            for tasks in _TASKS
        ),
        seconds_per_step=runs.cost.seconds_per_step,
        peak_bytes=runs.cost.peak_bytes,
        videos_per_second=runs.cost.videos_per_second,
    )


def _storage(num_tasks: int, *, shared_bytes: int, adapter_bytes: int, full_bytes: int) -> Storage:
    num_bytes = shared_bytes + num_tasks * adapter_bytes
    return Storage(
        num_tasks=num_tasks,
        num_bytes=num_bytes,
        percent_of_full=100 * num_bytes / (num_tasks * full_bytes),
    )


def _differences(methods: Sequence[MethodRuns], reference: str) -> list[MethodDifference]:
    """Compare every other method with the reference, by a paired bootstrap over queries and seeds.

    Names that share their runs are one test; those that share the reference's runs have none, and
    neither has a metric whose queries all belong together.
    """
    (against,) = [runs for runs in methods if runs.name == reference]
    others = [runs for runs in methods if runs.runs_of != against.runs_of]
    tested = next(iter(against.tested.values()))
    result = []
    for metric in tested.hits:
        group = np.asarray(tested.groups[metric], dtype=np.int64)
        if len(np.unique(group)) < 2:
            # All queries belong together: they are one observation, without a variance.
            continue
        tests = {
            one.runs_of: paired_bootstrap_over_seeds(
                _hits(one, metric), _hits(against, metric), group=group
            )
            for one in {one.runs_of: one for one in others}.values()
        }
        significant = _pass_holm([difference.p_value for difference in tests.values()])
        is_significant = dict(zip(tests, significant, strict=True))
        result += [
            MethodDifference(
                name=one.name,
                reference=reference,
                metric=metric,
                difference=tests[one.runs_of],
                is_significant=is_significant[one.runs_of],
            )
            for one in others
        ]
    return result


def _hits(runs: MethodRuns, metric: str) -> Float[np.ndarray, "seed query"]:
    return np.array([tested.hits[metric] for tested in runs.tested.values()], dtype=np.float64)


def _pass_holm(p_values: Sequence[float]) -> list[bool]:
    """Which of several p-values pass when all are tested at once."""
    passed = [False] * len(p_values)
    for num_passed, index in enumerate(np.argsort(p_values)):
        if p_values[index] > _SIGNIFICANT / (len(p_values) - num_passed):
            break
        passed[index] = True
    return passed
