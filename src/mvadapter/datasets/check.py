"""A dataset's files in, a report of their problems out."""

import re
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeAlias

from mvadapter.backbone.recipes import Resize
from mvadapter.data.frame_store import packed
from mvadapter.data.frames import FrameSettings
from mvadapter.data.records import Record
from mvadapter.datasets.annotations import (
    AnnotationFile,
    AnnotationFolder,
    Captions,
    Dataset,
    Split,
    SplitCaptions,
    git_blob_id,
)
from mvadapter.datasets.find import VideoFiles
from mvadapter.errors import DataError, VideoError
from mvadapter.files import hash_file
from mvadapter.workers import map_in_order

ProblemKind: TypeAlias = Literal[
    "absent", "changed", "annotation", "count", "overlap",
    "missing", "ambiguous", "unreadable", "too short", "duplicate",
]  # fmt: skip
"""Absent and changed are annotation files; overlap is a video that trains and is tested."""

CountCut: TypeAlias = Callable[[Sequence[str], int], int]
"""Captions and a number of tokens, start and end included -> how many captions are longer."""

# The first step of CLIP's tokenizer; its further steps only add tokens.
_WORDS = re.compile(r"'(?:s|t|re|ve|m|ll|d)\b|[^\W\d_]+|\d|(?:[^\s\w]|_)+", re.IGNORECASE)
# The input size of the usual CLIPs.
_STORED_PX = 224


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetProblem:
    """A problem of a dataset's files, and its place, in one line."""

    kind: ProblemKind
    text: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.text}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """The size of a split."""

    videos: int
    captions: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitReport:
    """What was found for one split."""

    expected: Counts
    found: Counts | None
    """None if its files are absent or unreadable."""
    num_cut: int = 0
    """Captions with too many tokens, whose end the model does not see."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameEstimate:
    """What `store_frames` would take, which decodes the same frames as the check."""

    num_videos: int
    seconds: float
    num_bytes: int


@dataclass(slots=True, kw_only=True)
class CheckReport:
    """The contents of a dataset's files and their problems."""

    splits: dict[str, SplitReport] = field(default_factory=dict)
    problems: list[DatasetProblem] = field(default_factory=list)
    estimate: FrameEstimate | None = None

    def add(self, kind: ProblemKind, texts: Iterable[str]) -> None:
        """Add problems of one kind."""
        self.problems += [DatasetProblem(kind=kind, text=text) for text in texts]

    def by_kind(self) -> dict[ProblemKind, list[str]]:
        """The problems of each kind."""
        kinds: dict[ProblemKind, list[str]] = {}
        for problem in self.problems:
            kinds.setdefault(problem.kind, []).append(problem.text)
        return kinds

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        readable = {name: part for name, part in self.splits.items() if part.found is not None}
        estimate = self.estimate
        return {
            "splits": {name: asdict(part.found) for name, part in readable.items() if part.found},
            "problems": [str(problem) for problem in self.problems],
            "problem_counts": {kind: len(texts) for kind, texts in self.by_kind().items()},
            "cut_captions": {name: part.num_cut for name, part in readable.items()},
            "frames": None
            if estimate is None
            else {
                "videos": estimate.num_videos,
                "seconds": round(estimate.seconds, 1),
                "bytes": estimate.num_bytes,
            },
        }


def count_long(captions: Sequence[str], max_tokens: int) -> int:
    """Count captions that have more words than fit between start and end.

    This is a lower bound of the captions that are cut: a tokenizer splits rare words further.
    """
    return sum(len(_WORDS.findall(caption)) > max_tokens - 2 for caption in captions)


def check_annotations(
    dataset: Dataset,
    folder: AnnotationFolder,
    count_cut: CountCut = count_long,
    *,
    splits: Sequence[str] = (),
) -> tuple[CheckReport, dict[str, Captions]]:
    """Check a dataset's annotation files.

    Args:
        dataset: The dataset.
        folder: Its annotation files.
        count_cut: Counts captions that are too long: `count_long`, or `CaptionTokenizer.count_cut`.
        splits: The splits to check; if empty, all.

    Returns:
        The report, and the captions of each split that can be read.

    Raises:
        UnknownNameError: There is no such split.
    """
    chosen = dataset.choose(splits)
    report = CheckReport()
    for file in dict.fromkeys(file for split in chosen for file in split.files):
        if folder.find(file) is not None and file.blobs:
            report.add("changed", _differences(folder, file))
    read: dict[str, Captions] = {}
    for split in chosen:
        expected = Counts(videos=split.num_videos, captions=split.num_captions)
        if lacks := folder.absent(split):
            report.add("absent", [f"{split.name}: {lack}" for lack in lacks])
            report.splits[split.name] = SplitReport(expected=expected, found=None)
            continue
        try:
            found = dataset.captions(folder, split)
        except DataError as error:
            report.add("annotation", [f"{split.name}: {error}"])
            report.splits[split.name] = SplitReport(expected=expected, found=None)
            continue
        read[split.name] = found.captions
        report.add("annotation", [f"{split.name}: {fault}" for fault in found.faults])
        report.splits[split.name] = _counted(found, expected, dataset.max_tokens, count_cut)
        report.add("count", _miscount(split.name, report.splits[split.name]))
    for split in chosen:
        report.add("overlap", _overlaps(split, read))
    return report, read


def check_videos(
    dataset: Dataset,
    files: VideoFiles,
    splits: Mapping[str, Captions],
    report: CheckReport,
    *,
    num_workers: int,
    on_progress: Callable[[int, int], object] = lambda _done, _total: None,
) -> None:
    """Check a dataset's video files and add the problems to a report of its annotations.

    The frames that the model takes are decoded from every file; files of equal size are compared.

    Args:
        dataset: The dataset.
        files: Its video files.
        splits: The captions of each split.
        report: The report to add to.
        num_workers: How many files are decoded at once.
        on_progress: Called with how many files are done and how many there are.
    """
    found: dict[str, Path] = {}
    for name, captions in splits.items():
        missing = []
        for video in captions:
            try:
                file = files.find(video)
            except DataError as error:
                report.add("ambiguous", [f"{name}: {error}"])
                continue
            if file is None:
                missing.append(f"{name}: no file for {video!r} in {files.folder}")
            else:
                found[video] = file
        report.add("missing", missing)
    settings = FrameSettings(
        num_frames=dataset.num_frames, sampling=dataset.sampling, resize=Resize.crop(_STORED_PX)
    )
    records = [
        Record(id=video, video=file, captions=(), end_seconds=dataset.end_seconds)
        for video, file in found.items()
    ]
    began, num_bytes, sound = time.monotonic(), 0, {}
    looks = map_in_order(
        partial(_look_at, settings=settings),
        records,
        num_workers=num_workers,
        max_waiting=2 * num_workers,
    )
    with closing(looks):
        for done, (record, look) in enumerate(zip(records, looks, strict=True), start=1):
            report.problems += look.problems
            if look.num_bytes:
                num_bytes += look.num_bytes
                sound[record.id] = record.video
            on_progress(done, len(records))
    report.estimate = FrameEstimate(
        num_videos=len(sound), seconds=time.monotonic() - began, num_bytes=num_bytes
    )
    report.problems += _same_content(dataset, sound, splits)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Look:
    """The result of decoding one video file."""

    num_bytes: int = 0
    """The size of its frames in a frame store."""
    problems: tuple[DatasetProblem, ...] = ()


def _look_at(record: Record, settings: FrameSettings) -> _Look:
    try:
        frames = settings.decode(record)
    except VideoError as error:
        return _Look(problems=(DatasetProblem(kind="unreadable", text=str(error)),))
    num_bytes = sum(map(len, packed(frames)))
    if len(frames) == settings.num_frames:
        return _Look(num_bytes=num_bytes)
    text = f"{record.video}: {len(frames)} frames, the model takes {settings.num_frames}"
    return _Look(num_bytes=num_bytes, problems=(DatasetProblem(kind="too short", text=text),))


def _differences(folder: AnnotationFolder, file: AnnotationFile) -> list[str]:
    try:
        blob = git_blob_id(folder.content(file))
    except DataError as error:
        return [str(error)]
    if blob in file.blobs:
        return []
    known = " or ".join(file.blobs)
    return [f"{folder.where(file)}: is not the known file (git blob {blob}, known: {known})"]


def _counted(
    found: SplitCaptions, expected: Counts, max_tokens: int, count_cut: CountCut
) -> SplitReport:
    captions = [caption for texts in found.captions.values() for caption in texts]
    return SplitReport(
        expected=expected,
        found=Counts(videos=len(found.captions), captions=len(captions)),
        num_cut=count_cut(captions, max_tokens),
    )


def _miscount(name: str, report: SplitReport) -> list[str]:
    found, expected = report.found, report.expected
    if found is None or found == expected:
        return []
    return [
        f"{name}: expected {expected.videos} videos with {expected.captions} captions, "
        f"found {found.videos} with {found.captions}"
    ]


def _overlaps(split: Split, read: Mapping[str, Captions]) -> list[str]:
    return [
        f"{video!r} is in {other} and in {split.name}"
        for other in split.apart_from
        for video in read.get(split.name, ())
        if video in read.get(other, ())
    ]


def _same_content(
    dataset: Dataset, found: Mapping[str, Path], splits: Mapping[str, Captions]
) -> list[DatasetProblem]:
    sizes: defaultdict[int, list[str]] = defaultdict(list)
    for video, file in found.items():
        sizes[file.stat().st_size].append(video)
    contents: defaultdict[str, list[str]] = defaultdict(list)
    for videos in sizes.values():
        if len(videos) > 1:
            for video in videos:
                contents[hash_file(found[video])].append(video)
    problems = []
    for first, *others in contents.values():
        for other in others:
            text = f"{found[first]} and {found[other]} have the same content"
            apart = _parted(dataset, splits, first, other)
            if apart is not None:
                text += f", and are in {apart[0]} and {apart[1]}"
            problems.append(
                DatasetProblem(kind="duplicate" if apart is None else "overlap", text=text)
            )
    return problems


def _parted(
    dataset: Dataset, splits: Mapping[str, Captions], first: str, second: str
) -> tuple[str, str] | None:
    """The two splits, one of which trains what the other tests, that two videos are in."""
    for split in dataset.splits:
        for other in split.apart_from:
            tested, trained = splits.get(split.name, ()), splits.get(other, ())
            if (first in tested and second in trained) or (second in tested and first in trained):
                return other, split.name
    return None
