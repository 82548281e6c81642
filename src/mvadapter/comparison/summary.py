"""What the runs found in, one record a method out: means over seeds, storage, real differences."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from mvadapter.comparison.compare import Comparison, Found
from mvadapter.evaluation.bootstrap import Difference, paired_bootstrap_over_seeds

DIRECTIONS = ("text_to_video", "video_to_text")
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
    """One a seed, in the order of the seeds."""

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """Sum up one number a seed."""
        std = statistics.stdev(values) if len(values) > 1 else 0.0
        return cls(mean=statistics.fmean(values), std=std, values=tuple(values))


@dataclass(frozen=True, slots=True, kw_only=True)
class Storage:
    """What a number of tasks takes on disk, in float32, with one CLIP or one CLIP a task."""

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
    """By seed, the epoch that the held-out part chose."""
    metrics: dict[str, dict[str, Spread]]
    """Direction -> recalls, ranks and ``recall_sum`` on the test split."""
    needs: dict[str, dict[str, Spread]]
    """For drawn videos: need -> R@1 in both directions and reversal accuracy."""
    storage: tuple[Storage, ...]
    seconds_per_step: float
    peak_bytes: int
    videos_per_second: float


@dataclass(frozen=True, slots=True, kw_only=True)
class MethodDifference:
    """How far a method lies above another in one measure: the same queries, the seeds of both."""

    name: str
    reference: str
    measure: str
    """"text_to_video" and "video_to_text" are R@1; "reversal" is of drawn videos."""
    difference: Difference
    """In percentage points."""
    is_real: bool
    """Whether the p-value passes 0.05 after Holm's correction for all differences of its measure
    (Holm 1979)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """A comparison as one reads it."""

    methods: tuple[MethodSummary, ...]
    differences: tuple[MethodDifference, ...]


def summarise(comparison: Comparison, reference: str) -> Summary:
    """Sum up a comparison.

    Args:
        comparison: What was found.
        reference: The method that the others are tested against.
    """
    return Summary(
        methods=tuple(
            _summarise(found, comparison.num_backbone_weights) for found in comparison.methods
        ),
        differences=tuple(_differences(comparison.methods, reference)),
    )


def _summarise(found: Found, num_backbone_weights: int) -> MethodSummary:
    tested = list(found.tested.values())
    backbone_bytes = _BYTES_PER_WEIGHT * num_backbone_weights
    trained = list(found.trained.values())
    adapter_bytes = trained[0]["adapter_bytes"] if trained else 0
    return MethodSummary(
        name=found.name,
        trainable=found.trainable,
        share_percent=100 * found.trainable / num_backbone_weights,
        adapter_bytes=adapter_bytes,
        learning_rate=found.learning_rate,
        search={f"{rate:g}": score for rate, score in found.search.items()},
        seeds=tuple(found.tested),
        num_steps=trained[0]["num_steps"] if trained else 0,
        best_epochs=tuple(one["best_epoch"] for one in trained),
        metrics={
            direction: _spreads([one["metrics"][direction] for one in tested])
            for direction in DIRECTIONS
        },
        needs={
            need: _spreads([one["needs"][need] for one in tested]) for need in tested[0]["needs"]
        },
        storage=tuple(
            # A method that trains all of CLIP needs no CLIP beside it.
            _storage(
                tasks,
                shared_bytes=0 if found.trainable == num_backbone_weights else backbone_bytes,
                adapter_bytes=adapter_bytes,
                full_bytes=backbone_bytes,
            )
            for tasks in _TASKS
        ),
        **found.cost,
    )


def _spreads(tables: Sequence[dict[str, float]]) -> dict[str, Spread]:
    return {
        key: Spread.of([float(table[key]) for table in tables])
        for key in tables[0]
        if key != "num_queries"
    }


def _storage(num_tasks: int, *, shared_bytes: int, adapter_bytes: int, full_bytes: int) -> Storage:
    num_bytes = shared_bytes + num_tasks * adapter_bytes
    return Storage(
        num_tasks=num_tasks,
        num_bytes=num_bytes,
        percent_of_full=100 * num_bytes / (num_tasks * full_bytes),
    )


def _differences(found: Sequence[Found], reference: str) -> list[MethodDifference]:
    """Compare every other method with the reference, by a paired bootstrap over queries and seeds.

    Names that share their runs are one test; those that share the reference's have none, nor has a
    measure whose queries all belong together.
    """
    by_name = {one.name: one for one in found}
    against = by_name[reference]
    others = [one for one in found if one.runs_of != against.runs_of]
    tested = next(iter(against.tested.values()))
    result = []
    for measure in tested["hits"]:
        group = np.asarray(tested["groups"][measure], dtype=np.int64)
        if len(np.unique(group)) < 2:
            # All queries belong together: one piece of evidence knows of no other.
            continue
        tests = {
            one.runs_of: paired_bootstrap_over_seeds(
                _hits(one, measure), _hits(against, measure), group=group
            )
            for one in {one.runs_of: one for one in others}.values()
        }
        real = _pass_holm([difference.p_value for difference in tests.values()])
        is_real = dict(zip(tests, real, strict=True))
        result += [
            MethodDifference(
                name=one.name,
                reference=reference,
                measure=measure,
                difference=tests[one.runs_of],
                is_real=is_real[one.runs_of],
            )
            for one in others
        ]
    return result


def _hits(found: Found, measure: str) -> Float[np.ndarray, "seed query"]:
    hits: Any = [tested["hits"][measure] for tested in found.tested.values()]
    return np.asarray(hits, dtype=np.float64)


def _pass_holm(p_values: Sequence[float]) -> list[bool]:
    """Which of several p-values stand when all are tested at once."""
    passed = [False] * len(p_values)
    for num_passed, index in enumerate(np.argsort(p_values)):
        if p_values[index] > _SIGNIFICANT / (len(p_values) - num_passed):
            break
        passed[index] = True
    return passed
