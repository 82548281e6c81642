"""What an adapter folder records about how its adapter was trained."""

import math
from dataclasses import dataclass
from typing import Any

from mvadapter.backbone.precision import Precision
from mvadapter.data.splits import SplitSettings
from mvadapter.errors import ConfigError
from mvadapter.settings import check_range


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingData:
    """What an adapter was trained on."""

    name: str
    """The name of the table or folder."""
    fingerprint: str
    """Of the records that trained and selected; see `mvadapter.data.records.fingerprint`."""
    splits: SplitSettings
    """How they were taken from the dataset."""
    train_records: int
    missing_videos: int
    """Videos of the train split that had no file."""

    def __post_init__(self) -> None:
        for name in ("train_records", "missing_videos"):
            check_range(name, getattr(self, name), 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingRecord:
    """How an adapter was trained, and its metrics."""

    recipe: dict[str, Any]
    """The complete recipe, table by table."""
    data: TrainingData
    selection: str
    """What chose the epoch, in words."""
    epoch: int
    precision: Precision
    metrics: dict[str, float]
    """Of that epoch, on what chose it."""

    def __post_init__(self) -> None:
        check_range("epoch", self.epoch, 1)
        for name, value in self.metrics.items():
            if not math.isfinite(value):
                raise ConfigError(f"metrics.{name} must be a finite number, got {value}")
