"""A dataset's annotations and videos in, one table out that every other command reads."""

import os.path
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from mvadapter.data.folder import find_table
from mvadapter.data.origin import Origin, read_origin, write_origin
from mvadapter.data.records import Record
from mvadapter.data.table import write_table
from mvadapter.datasets.annotations import AnnotationFolder, Dataset, Split, SplitCaptions
from mvadapter.datasets.find import VideoFiles
from mvadapter.errors import ConfigError, DataError
from mvadapter.files import hash_file

MissingPolicy: TypeAlias = Literal["error", "skip"]
"""What a video without a file does."""
_SHOWN = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A dataset whose videos were found."""

    records: list[Record]
    missing: dict[str, dict[str, int]]
    """Split -> videos without a file -> how many captions each would have."""
    policy: MissingPolicy
    """What a video without a file did."""
    absent: dict[str, str]
    """Splits whose annotation files are not there -> what is absent."""


def find_records(
    dataset: Dataset,
    annotations: AnnotationFolder,
    videos: VideoFiles,
    *,
    splits: Sequence[str] = (),
    policy: MissingPolicy = "error",
) -> Prepared:
    """Read splits of a dataset and find the file of each video.

    Args:
        dataset: The dataset.
        annotations: Its annotation files.
        videos: Its video files.
        splits: Which splits; without any, all whose annotation files are there.
        policy: Whether a video without a file is an error, or left out and counted.

    Raises:
        DataError: A named split is absent, a file is faulty, or a video has no file, or two.
    """
    # Named twice, a split is still one.
    wanted = [dataset.split(name) for name in dict.fromkeys(splits)] or list(dataset.splits)
    absent = {part.name: "; ".join(lacks) for part in wanted if (lacks := annotations.absent(part))}
    present = [part for part in wanted if part.name not in absent]
    if absent and (splits or not present):
        name, reason = next(iter(absent.items()))
        raise DataError(f"split {name!r} cannot be read: {reason}")
    records, missing = [], {}
    for part in present:
        found = _sound_captions(dataset, annotations, part)
        files = {video: videos.find(video) for video in found.captions}
        lost = {video: len(found.captions[video]) for video, file in files.items() if file is None}
        if lost and policy == "error":
            raise DataError(_complain(lost, part, videos.folder, len(files)))
        if lost:
            missing[part.name] = lost
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
        raise DataError(f"{videos.folder}: holds no video of {dataset.title}; name another folder")
    _refuse_shared_files(records)
    return Prepared(records=records, missing=missing, policy=policy, absent=absent)


def write_prepared(dataset: Dataset, prepared: Prepared, table: Path, videos: Path) -> None:
    """Write the table, and beside it where it came from.

    Raises:
        DataError: The table's suffix is none of a table.
        OSError: The folder cannot be made or written to.
    """
    write_table(table, prepared.records, videos)
    home, place = (Path(os.path.abspath(path)) for path in (table.parent, videos))  # noqa: PTH100 - links are the user's own
    # What lies together may be moved together.
    seen = place.relative_to(home) if place.is_relative_to(home) else place
    origin = Origin(
        dataset=dataset.name,
        videos=str(seen),
        table_sha256=hash_file(table),
        missing_policy=prepared.policy,
        missing=prepared.missing,
    )
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
            f"{path}: no such table; make it with: mvadapter data prepare {dataset.name} "
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


def _complain(lost: dict[str, int], split: Split, folder: Path, num_videos: int) -> str:
    names = ", ".join(list(lost)[:_SHOWN]) + (", ..." if len(lost) > _SHOWN else "")
    return (
        f"{folder}: no file for {len(lost)} of the {num_videos} videos of {split.name} ({names}); "
        f"add them, leave them out with --missing skip, or choose other splits with --split"
    )


def _refuse_shared_files(records: Sequence[Record]) -> None:
    owners: dict[Path, str] = {}
    for record in records:
        owner = owners.setdefault(record.video, record.id)
        if owner != record.id:
            raise DataError(
                f"{record.video}: fits two videos, {owner!r} and {record.id!r}; rename it after one"
            )
