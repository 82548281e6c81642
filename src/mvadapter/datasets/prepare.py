"""A dataset's annotations and videos in, one table out."""

import os.path
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

from mvadapter.data.folder import find_table
from mvadapter.data.origin import Origin, read_origin, write_origin
from mvadapter.data.records import Record
from mvadapter.data.table import write_table
from mvadapter.datasets.annotations import AnnotationFolder, Dataset, Split, SplitCaptions
from mvadapter.datasets.find import VideoFiles
from mvadapter.errors import ConfigError, DataError
from mvadapter.files import atomic_write, hash_file

MissingPolicy: TypeAlias = Literal["error", "skip"]
"""What to do about a video without a file."""
_SHOWN = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitCounts:
    """The size of a prepared split."""

    videos: int = 0
    captions: int = 0
    missing: tuple[str, ...] = ()
    """Videos without a file."""

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON; "missing" only where videos are missing."""
        counts = {"videos": self.videos, "captions": self.captions}
        return counts | ({"missing": list(self.missing)} if self.missing else {})


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """The records of a dataset, with their video files."""

    records: list[Record]
    missing: dict[str, dict[str, int]]
    """Split -> video without a file -> its number of captions."""
    policy: MissingPolicy
    """What was done about videos without a file."""
    absent: dict[str, str]
    """Split without annotation files -> what is absent."""

    def counts(self) -> dict[str, SplitCounts]:
        """Split -> its size."""
        splits = dict.fromkeys([*(record.split for record in self.records), *self.missing])
        by_split: dict[str, list[Record]] = {split: [] for split in splits}
        for record in self.records:
            by_split[record.split].append(record)
        return {
            split: SplitCounts(
                videos=len(records),
                captions=sum(len(record.captions) for record in records),
                missing=tuple(self.missing.get(split, {})),
            )
            for split, records in by_split.items()
        }


def find_records(
    dataset: Dataset,
    annotations: AnnotationFolder,
    videos: VideoFiles,
    *,
    splits: Sequence[str] = (),
    missing: MissingPolicy = "error",
) -> Prepared:
    """Read splits of a dataset and find the file of each video.

    Args:
        dataset: The dataset.
        annotations: Its annotation files.
        videos: Its video files.
        splits: The splits to read; if empty, all whose annotation files exist.
        missing: "error" refuses a video without a file; "skip" omits and counts it.

    Raises:
        DataError: A named split is absent, a file is faulty, or a video has no file, or two.
    """
    chosen = dataset.choose(splits)
    absent = {part.name: "; ".join(lacks) for part in chosen if (lacks := annotations.absent(part))}
    present = [part for part in chosen if part.name not in absent]
    if absent and (splits or not present):
        name, reason = next(iter(absent.items()))
        raise DataError(f"split {name!r} cannot be read: {reason}")
    records, lost_by_split = [], {}
    for part in present:
        found = _sound_captions(dataset, annotations, part)
        files = {video: videos.find(video) for video in found.captions}
        lost = {video: len(found.captions[video]) for video, file in files.items() if file is None}
        if lost and missing == "error":
            raise DataError(_describe_lost(lost, part, videos.folder, len(files)))
        if lost:
            lost_by_split[part.name] = lost
        records += [
            Record(
                id=video,
                video=file,
                captions=found.captions[video],
                end_seconds=dataset.end_seconds,
                split=part.name,
            )
            for video, file in files.items()
            if file is not None
        ]
    if not records:
        raise DataError(f"{videos.folder}: no video of {dataset.title} here; choose another folder")
    _refuse_shared_files(records)
    return Prepared(records=records, missing=lost_by_split, policy=missing, absent=absent)


def write_prepared(dataset: Dataset, prepared: Prepared, table: Path, videos: Path) -> None:
    """Write the table, and beside it the record of its origin.

    Raises:
        DataError: The file name does not end in the suffix of a table.
        OSError: The folder cannot be made or written to.
    """
    is_new = not table.exists()
    home, place = (Path(os.path.abspath(path)) for path in (table.parent, videos))  # noqa: PTH100 - links are the user's own
    # A table and videos in the same folder may be moved together.
    seen = place.relative_to(home) if place.is_relative_to(home) else place
    with atomic_write(table) as aside:
        write_table(aside, prepared.records, videos)
        origin = Origin(
            dataset=dataset.name,
            videos=str(seen),
            table_sha256=hash_file(aside),
            missing_policy=prepared.policy,
            missing=prepared.missing,
        )
        # A new table never stands there without its origin, which would make it someone else's.
        if is_new:
            write_origin(table, origin)
    if not is_new:
        write_origin(table, origin)


def find_prepared(dataset: Dataset, table: Path | None) -> Path:
    """Find the table that a dataset was prepared to.

    Args:
        dataset: The dataset.
        table: The table or its folder; None is the dataset's default in the working folder.

    Raises:
        ConfigError: There is no such table, or it is another dataset's.
    """
    path = dataset.default_table if table is None else find_table(table)
    if not path.exists():
        raise ConfigError(
            f"{path}: no such table; create it with: mvadapter data prepare {dataset.name} "
            f"--annotations FOLDER --videos FOLDER --output {path}"
        )
    origin = read_origin(path)
    if origin is not None and origin.dataset != dataset.name:
        raise ConfigError(f"{path}: was prepared from {origin.dataset}, not from {dataset.name}")
    return path


def _sound_captions(dataset: Dataset, annotations: AnnotationFolder, split: Split) -> SplitCaptions:
    found = dataset.captions(annotations, split)
    if found.faults:
        more = len(found.faults) - 1
        rest = f" (and {more} more: see mvadapter data check {dataset.name})" if more else ""
        raise DataError(found.faults[0] + rest)
    return found


def _describe_lost(lost: dict[str, int], split: Split, folder: Path, num_videos: int) -> str:
    names = ", ".join(list(lost)[:_SHOWN]) + (", ..." if len(lost) > _SHOWN else "")
    return (
        f"{folder}: no file for {len(lost)} of the {num_videos} videos of {split.name} ({names}); "
        f"add them, set missing to 'skip', or choose other splits"
    )


def _refuse_shared_files(records: Sequence[Record]) -> None:
    owners: dict[Path, str] = {}
    for record in records:
        owner = owners.setdefault(record.video, record.id)
        if owner != record.id:
            raise DataError(
                f"{record.video}: matches two videos, {owner!r} and {record.id!r}; rename it"
            )
