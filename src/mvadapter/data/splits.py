"""Records of all splits in, the part that trains, selects or is evaluated out."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np

from mvadapter.data.records import Record
from mvadapter.errors import TrainingError, UnknownNameError

SelectOn: TypeAlias = Literal["holdout", "test"]
"""What chooses the best epoch of a training run."""

# The held-out part stays the same for every seed, so that runs can be compared on it.
_HOLDOUT_SEED = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitSettings:
    """How a training run divides a dataset."""

    train_split: str
    test_split: str
    holdout_percent: float
    """Share of the train split's videos that never train and choose the best epoch."""
    select_on: SelectOn


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """A dataset as a training run uses it."""

    train: list[Record]
    selection: list[Record]
    """What chooses the best epoch; empty when too few videos could be held out."""
    selection_name: str


def split_records(records: Sequence[Record], settings: SplitSettings) -> Parts:
    """Divide the train split into what trains and what chooses the best epoch.

    A video's segments stay together, and so do records of one group. The test split is used only
    if ``select_on`` is "test".

    Raises:
        TrainingError: Fewer than two videos are left to train on, there is no test split, or what
            trains is also tested.
    """
    train_split, test_split = settings.train_split, settings.test_split
    train = [record for record in records if record.split == train_split]
    if not train:
        found = ", ".join(sorted({record.split for record in records}))
        raise TrainingError(
            f"no row has split {train_split!r}, only {found}; name the one to train on with "
            f"data.train_split"
        )
    test = [record for record in records if record.split == test_split]
    _refuse_leaks(train, test)
    units = sorted({record.unit for record in train})
    if settings.select_on == "test":
        selection = test
        if not selection:
            raise TrainingError(f"select_on is 'test', but no row has split {test_split!r}")
        name = "the test split, whose numbers are therefore too good"
    else:
        order = np.random.default_rng(_HOLDOUT_SEED).permutation(len(units))
        num_held = round(len(units) * settings.holdout_percent / 100)
        held = {units[i] for i in order[:num_held]} if num_held >= 2 else set()
        selection = [record for record in train if record.unit in held]
        train = [record for record in train if record.unit not in held]
        name = f"held-out {len(selection)} of the train split's records"
        if not selection:
            name = "nothing: the last epoch (too few videos for a held-out part)"
    if len({record.video for record in train}) < 2:
        raise TrainingError(
            f"training needs at least 2 videos in split {train_split!r}, found {len(units)} before "
            f"holding any out; the negatives of a batch come from other videos"
        )
    return Parts(train=train, selection=selection, selection_name=name)


def _refuse_leaks(train: Sequence[Record], test: Sequence[Record]) -> None:
    """Refuse a segment that trains and is tested.

    Raises:
        TrainingError: There is one.
    """
    tested = {(record.video, record.start_seconds, record.end_seconds) for record in test}
    for record in train:
        if (record.video, record.start_seconds, record.end_seconds) in tested:
            raise TrainingError(
                f"{record.id!r} is in split {record.split!r} and in split {test[0].split!r}, on "
                f"which the adapter will be measured; remove it from one of them"
            )


def choose_split(
    records: Sequence[Record], table: Path, split: str | None, *, default: str
) -> list[Record]:
    """The records of one split: the named one, else the only one, else the default.

    Args:
        records: Those of all splits.
        table: Where they come from, for the error.
        split: Its name; None chooses.
        default: What is chosen where there are several.

    Raises:
        UnknownNameError: There is no such split.
    """
    splits = {record.split for record in records}
    if split is None:
        split = next(iter(splits)) if len(splits) == 1 else default
    found = [record for record in records if record.split == split]
    if not found:
        raise UnknownNameError(
            f"{table}: split",
            split,
            splits,
            "Rows without a column split belong to 'train'.",
        )
    return found
