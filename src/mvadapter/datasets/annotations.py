"""A folder of annotation files in, the captions of a split by video id out.

Each dataset is one `Dataset` value, and one function that reads its files into a
`CaptionGatherer`.
"""

import gzip
import hashlib
import zlib
from collections.abc import Callable, Iterator, KeysView, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

from mvadapter.documents.csv_tables import parse_csv
from mvadapter.documents.text import (
    TABLE_BYTES,
    DocumentKind,
    check_size,
    decode_text,
    has_lone_surrogate,
    lines_of,
    open_ordinary,
    read_bytes,
)
from mvadapter.documents.values import parse_json
from mvadapter.errors import DataError, UnknownNameError
from mvadapter.video.sample import Sampling

Captions: TypeAlias = dict[str, tuple[str, ...]]
"""Video id -> its captions, in the order in which the files give them."""
_KIND = DocumentKind(
    error=DataError,
    expected="an annotation file as it was published",
    advice="download it again",
    max_bytes=TABLE_BYTES,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class AnnotationFile:
    """A file of a dataset as it was published; it may also be gzipped, as ``name.gz``."""

    name: str
    blobs: tuple[str, ...] = ()
    """The git blob ids (first ten digits) of its known versions; empty when none is known."""
    advice: str = "download it from the dataset's page"
    """What to do where it is absent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """A named part of a dataset, and what is expected of it."""

    name: str
    num_videos: int
    num_captions: int
    files: tuple[AnnotationFile, ...]
    """Its files, in the order that the dataset's reader expects."""
    apart_from: tuple[str, ...] = ()
    """The splits that train what this one tests: it may share no video with them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitCaptions:
    """The content of one split."""

    captions: Captions
    faults: tuple[str, ...] = ()
    """Each fault of the files in a line that begins with where it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """The description of one dataset."""

    name: str
    title: str
    splits: tuple[Split, ...]
    train_split: str
    test_split: str
    read: Callable[["AnnotationFolder", Split], SplitCaptions]
    has_joined_captions: bool = False
    """A video's captions are sentences of one paragraph, which is its only caption."""
    end_seconds: float | None = None
    """Where the part of each video ends that was annotated; None is where the video does."""
    num_frames: int = 12
    max_tokens: int = 32
    # DEPARTS: the authors take left edges, so that the last frame is never seen.
    sampling: Sampling = "uniform"
    epochs: int = 5
    batch_size: int = 128

    @property
    def files(self) -> tuple[AnnotationFile, ...]:
        """Every file that some split is read from."""
        return tuple(dict.fromkeys(file for split in self.splits for file in split.files))

    @property
    def default_table(self) -> Path:
        """The default path of its table, in the working folder."""
        return Path(f"{self.name}.parquet")

    def split(self, name: str) -> Split:
        """The split of that name.

        Raises:
            UnknownNameError: There is none.
        """
        for split in self.splits:
            if split.name == name:
                return split
        raise UnknownNameError(f"{self.name}: split", name, [part.name for part in self.splits])

    def choose(self, names: Sequence[str]) -> list[Split]:
        """The splits of these names, each once; all of them where none is named.

        Raises:
            UnknownNameError: There is no such split.
        """
        return [self.split(name) for name in dict.fromkeys(names)] or list(self.splits)

    def captions(self, folder: "AnnotationFolder", split: Split) -> SplitCaptions:
        """Read the captions of a split, paragraphs joined.

        Raises:
            DataError: A file is absent, or has another content than expected.
        """
        found = self.read(folder, split)
        if not self.has_joined_captions:
            return found
        joined: Captions = {video: (" ".join(texts),) for video, texts in found.captions.items()}
        return replace(found, captions=joined)


class AnnotationFolder:
    """The files of one dataset, each parsed at most once.

    Args:
        path: The folder of the files.

    Raises:
        DataError: There is no such folder.
    """

    def __init__(self, path: Path) -> None:
        if not path.is_dir():
            raise DataError(f"{path}: no such folder; expected one with annotation files")
        self.path = path
        self._parsed: dict[AnnotationFile, Any] = {}

    def find(self, file: AnnotationFile) -> Path | None:
        """The path of a file, or None if it is absent."""
        plain = self.path / file.name
        packed = plain.with_name(f"{file.name}.gz")
        return next((path for path in (plain, packed) if path.exists()), None)

    def absent(self, split: Split) -> list[str]:
        """What of a split's files is not there, and what to do about each."""
        return [_absence(self.path, file) for file in split.files if self.find(file) is None]

    def content(self, file: AnnotationFile) -> bytes:
        """The bytes of a file, unpacked.

        Raises:
            DataError: It is absent or damaged.
        """
        path = self.where(file)
        if path.suffix != ".gz":
            return read_bytes(path, _KIND)
        try:
            with open_ordinary(path, _KIND) as packed, gzip.open(packed) as unpacked:
                # Bounded, because a small file may unpack to any size.
                return check_size(unpacked.read(_KIND.max_bytes + 1), path, _KIND)
        except (OSError, EOFError, zlib.error) as error:
            raise DataError(f"{path}: cannot be unpacked ({error}); download it again") from error

    def where(self, file: AnnotationFile) -> Path:
        """The path of a file.

        Raises:
            DataError: It is absent.
        """
        path = self.find(file)
        if path is None:
            raise DataError(_absence(self.path, file))
        return path

    def text(self, file: AnnotationFile) -> str:
        """The text of a file.

        Raises:
            DataError: It is absent, damaged or not UTF-8.
        """
        return decode_text(self.content(file), self.where(file), _KIND)

    def lines(self, file: AnnotationFile) -> Iterator[tuple[str, str]]:
        """Yield the place and the text of every line that is not empty.

        Raises:
            DataError: The file is absent, damaged or not UTF-8.
        """
        path = self.where(file)
        for number, line in enumerate(lines_of(self.text(file)), start=1):
            if line.strip():
                yield f"{path}:{number}", line

    def rows(self, file: AnnotationFile) -> list[tuple[str, list[str]]]:
        """The place and the cells of every row of a CSV file, its header first.

        Raises:
            DataError: The file is absent, damaged or no CSV.
        """
        return list(parse_csv(self.text(file), self.where(file), _KIND))

    def json(self, file: AnnotationFile) -> Any:  # noqa: ANN401 - whatever the file holds
        """What a JSON file holds.

        Raises:
            DataError: It is absent, damaged or not JSON.
        """
        if file not in self._parsed:
            self._parsed[file] = parse_json(self.text(file), self.where(file), _KIND)
        return self._parsed[file]


class CaptionGatherer:
    """Gathers videos and then their captions, and what is wrong with either."""

    def __init__(self) -> None:
        self._captions: dict[str, list[str]] = {}
        self._places: dict[str, str] = {}
        self._faults: list[str] = []

    @property
    def videos(self) -> KeysView[str]:
        """The ids of the split's videos so far."""
        return self._captions.keys()

    def video(self, video: str, where: str) -> None:
        """Note that a video belongs to the split."""
        if not video.strip():
            self.fault(where, "empty video id")
        elif video in self._captions:
            self.fault(where, f"{video!r} occurs twice, first at {self._places[video]}")
        else:
            self._captions[video], self._places[video] = [], where

    def caption(self, video: str, caption: str, where: str) -> None:
        """Note a caption; of a video that does not belong to the split, pass over it."""
        if video not in self._captions:
            return
        if not caption.strip():
            self.fault(where, f"empty caption for {video!r}")
        elif has_lone_surrogate(caption) or "\0" in caption:
            self.fault(where, f"the caption for {video!r} contains half a character or a NUL")
        else:
            self._captions[video].append(caption.strip())

    def fault(self, where: str, problem: str) -> None:
        """Note that something is wrong."""
        self._faults.append(f"{where}: {problem}")

    def result(self) -> SplitCaptions:
        """What was gathered; a video that no caption was found for is a fault and left out."""
        faults = [*self._faults]
        for video, captions in self._captions.items():
            if not captions:
                faults.append(f"{self._places[video]}: no caption for {video!r}")
        found = {video: tuple(texts) for video, texts in self._captions.items() if texts}
        return SplitCaptions(captions=found, faults=tuple(faults))


def gather_ids(gatherer: CaptionGatherer, folder: AnnotationFolder, file: AnnotationFile) -> None:
    """Take every line of a list for the id of a video.

    Raises:
        DataError: The file is absent, damaged or not UTF-8.
    """
    for where, line in folder.lines(file):
        gatherer.video(line.strip(), where)


def entries_of(parsed: object, where: Path) -> list[Any]:
    """Take what a JSON file holds for a list.

    Raises:
        DataError: It is none.
    """
    if not isinstance(parsed, list):
        raise DataError(f"{where}: expected a list, got {type(parsed).__name__}; download it again")
    return parsed


def fields_of(parsed: object, where: Path) -> dict[str, Any]:
    """Take what a JSON file holds for an object.

    Raises:
        DataError: It is none.
    """
    if not isinstance(parsed, dict):
        raise DataError(
            f"{where}: expected an object, got {type(parsed).__name__}; download it again"
        )
    return parsed


def git_blob_id(content: bytes) -> str:
    """The first ten digits of the id that git gives to a file of this content."""
    # Not for safety: these ids are how the published files are named.
    digest = hashlib.sha1(b"blob %d\0" % len(content), usedforsecurity=False)
    digest.update(content)
    return digest.hexdigest()[:10]


def _absence(folder: Path, file: AnnotationFile) -> str:
    return f"{folder}: {file.name} is not here; {file.advice}"
