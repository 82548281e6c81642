"""Results of jobs in, JSON files out, and back."""

import dataclasses
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, Literal, TypeAlias, TypeVar

from mvadapter.documents.text import DocumentKind
from mvadapter.errors import ConfigError, TrainingError
from mvadapter.evaluation.metrics import RetrievalMetrics
from mvadapter.files import write_text
from mvadapter.seals import read_sealed_table, sealed_text, settings_of
from mvadapter.settings import check_range

Direction: TypeAlias = Literal["text_to_video", "video_to_text"]
DIRECTIONS: tuple[Direction, ...] = ("text_to_video", "video_to_text")


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """A training run that finished."""

    metrics: dict[str, float]
    """Of the best epoch, on what chose it; empty where nothing was held out."""
    best_epoch: int
    num_steps: int
    num_threads: int
    """CPU threads of the run, on which the last bits of a training depend."""
    adapter_bytes: int
    """Size of the adapter's file."""
    skipped: dict[str, str]
    """Videos without frames: record id -> reason."""

    def __post_init__(self) -> None:
        for name in ("best_epoch", "num_steps", "num_threads", "adapter_bytes"):
            check_range(name, getattr(self, name), 1)
        _check_finite(self.metrics)


@dataclass(frozen=True, slots=True, kw_only=True)
class Diverged:
    """A training run whose loss became NaN or infinite."""

    failed: str
    """The error message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One adapter on the test split; hits are in percent, one number per query."""

    metrics: dict[Direction, RetrievalMetrics]
    hits: dict[str, tuple[float, ...]]
    """Metric -> per query: "text_to_video" and "video_to_text" (R@1), and for drawn videos
    "reversal"."""
    groups: dict[str, tuple[int, ...]]
    """Metric -> per query: queries with the same number are not independent, such as the captions
    and segments of one video, or a drawn video and its twin."""
    needs: dict[str, dict[str, float]] = field(default_factory=dict)
    """For drawn videos: need -> metric -> mean over the queries of that need."""
    skipped: dict[str, str] = field(default_factory=dict)
    """Videos without frames: record id -> reason."""

    def __post_init__(self) -> None:
        for direction, metrics in self.metrics.items():
            recalls = metrics.recall_at_1, metrics.recall_at_5, metrics.recall_at_10
            ranks = metrics.median_rank, metrics.mean_rank
            if not (
                all(0 <= recall <= 100 for recall in recalls)
                and all(0 < rank < math.inf for rank in ranks)
            ):
                raise ConfigError(f"{direction} has values that no metric has: {metrics}")
        for name, hits in self.hits.items():
            if not all(0 <= hit <= 100 for hit in hits):
                raise ConfigError(f"hits.{name} must be from 0 to 100 percent")
            if len(self.groups.get(name, ())) != len(hits):
                raise ConfigError(f"groups.{name} must have one number for each of the hits")
        for need, values in self.needs.items():
            _check_finite(values, f"{need}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What one method costs beside this CLIP, on this machine."""

    seconds_per_step: float
    """Median of one training step at the recipe's batch size, without decoding."""
    peak_bytes: int
    """Peak of memory in training, CLIP and optimiser included."""
    videos_per_second: float
    """Embedded without gradients, without decoding."""

    def __post_init__(self) -> None:
        check_range("peak_bytes", self.peak_bytes, 0)
        for name in ("seconds_per_step", "videos_per_second"):
            check_range(name, getattr(self, name), 0)
            _check_finite({name: getattr(self, name)})


def _check_finite(values: Mapping[str, float], prefix: str = "") -> None:
    """Refuse NaN and infinity.

    Raises:
        ConfigError: One is there.
    """
    for name, value in values.items():
        if not math.isfinite(value):
            raise ConfigError(f"{prefix}{name} must be a finite number, got {value}")


Result = TypeVar("Result")


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """The code and the machine that a result comes from."""

    commit: str
    machine: str


@dataclass(frozen=True, slots=True, kw_only=True)
class JobResult(Generic[Result]):
    """What a job found, and where."""

    provenance: Provenance
    found: Result

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON: the fields of both parts."""
        parts: Any = (self.provenance, self.found)
        return {key: value for part in parts for key, value in dataclasses.asdict(part).items()}


def write_result(path: Path, result: JobResult[Any]) -> None:
    """Write a result as JSON, completely or not at all.

    Raises:
        OSError: The folder cannot be written to.
    """
    write_text(path, sealed_text(result.to_dict(), indent=None))


_KIND = DocumentKind(
    error=TrainingError,
    expected="the result of a run (JSON)",
    advice="delete it to repeat that run",
)


def read_training(path: Path) -> JobResult[Trained | Diverged]:
    """Read and check the result of a training run.

    Raises:
        TrainingError: The file is damaged, or from a version that wrote something else.
    """
    return _read(path, lambda table: Diverged if "failed" in table else Trained)


def read_test(path: Path) -> JobResult[Measured]:
    """Read and check what was measured on the test split.

    Raises:
        TrainingError: The file is damaged, or from a version that wrote something else.
    """
    return _read(path, lambda _: Measured)


def read_cost(path: Path) -> JobResult[Cost]:
    """Read and check the cost of a method.

    Raises:
        TrainingError: The file is damaged, or from a version that wrote something else.
    """
    return _read(path, lambda _: Cost)


def _read(path: Path, choose: Callable[[Mapping[str, Any]], type[Result]]) -> JobResult[Result]:
    table = read_sealed_table(path, _KIND)
    names = {field.name for field in dataclasses.fields(Provenance)}
    origin = {key: table.pop(key) for key in names & table.keys()}
    return JobResult(
        provenance=settings_of(Provenance, origin, path, _KIND),
        found=settings_of(choose(table), table, path, _KIND),
    )
