"""What an adapter folder records about how its adapter was trained."""

from dataclasses import dataclass
from typing import Any

from mvadapter.data.splits import SplitSettings


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


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingRecord:
    """How an adapter was trained, and its metrics."""

    recipe: dict[str, Any]
    """The complete recipe, table by table."""
    data: TrainingData
    selection: str
    """What chose the epoch, in words."""
    epoch: int
    precision: str
    metrics: dict[str, float]
    """Of that epoch, on what chose it."""
