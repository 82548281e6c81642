"""A number in, videos whose captions need time out: shapes that move, take turns, change.

Every video whose caption needs time has a twin that is the same video played backwards, with the
caption that then is true. Both hold the same frames, so nothing that pools frames without their
order can distinguish them.
"""

import hashlib
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, get_args

import av
import numpy as np

from mvadapter.data.records import Record
from mvadapter.data.table import read_table
from mvadapter.documents.csv_tables import csv_text
from mvadapter.documents.text import DocumentKind, hash_document
from mvadapter.errors import ConfigError, DataError
from mvadapter.files import atomic_write, write_text
from mvadapter.seals import read_sealed_table, sealed_text
from mvadapter.settings import check_range, table_from_settings
from mvadapter.synthetic.scenes import Picture
from mvadapter.synthetic.stories import NEEDS, Need, Part, SyntheticVideo, reverse_caption, stories
from mvadapter.unfinished import finished_names

_PARTS: tuple[Part, ...] = get_args(Part)
_FRAMES_PER_SECOND = 9

_MAX_TWINS = 100_000
_KIND = DocumentKind(
    error=DataError,
    expected="a file of drawn videos",
    advice="delete it to draw them again",
)


_DRAWN = "drawn.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class SyntheticSettings:
    """A drawn dataset."""

    needs: tuple[Need, ...] = NEEDS
    """What the captions depend on."""
    train_twins: int = 120
    """Pairs of twins for each need in split "train"; fewer where there are no more captions."""
    test_twins: int = 16
    """Pairs of twins for each need in split "test", likewise."""
    seed: int = 0
    """Decides everything else."""

    def __post_init__(self) -> None:
        for setting in ("train_twins", "test_twins"):
            check_range(setting, getattr(self, setting), 1, _MAX_TWINS)
        check_range("seed", self.seed, 0, 2**63 - 1)
        if not self.needs or len(set(self.needs)) < len(self.needs):
            raise ConfigError(f"needs must name some of {', '.join(NEEDS)}, each once")


def synthetic_records(settings: SyntheticSettings, folder: Path) -> list[Record]:
    """Draw a dataset into a folder and read it back; one that is complete there is only read.

    Raises:
        OSError: The folder cannot be written to.
    """
    content, done = table_from_settings(settings), folder / _DRAWN
    # Drawing again is cheap, and gives the same: anything that differs is not worth a word.
    if not _is_complete(content, folder, done):
        twins: dict[Part, int] = {"train": settings.train_twins, "test": settings.test_twins}
        for part in _PARTS:
            videos = synthetic_videos(
                twins[part], part=part, seed=settings.seed, needs=settings.needs
            )
            write_videos(videos, folder, part)
        write_text(done, sealed_text({"settings": content, "files_sha256": _hash_drawn(folder)}))
    return [record for part in _PARTS for record in read_table(_table_path(folder, part))]


def is_drawn(folder: Path) -> bool:
    """Whether a folder holds drawn videos, perhaps not all yet, and nothing else."""
    names = {_DRAWN, *_PARTS, *(_table_path(folder, part).name for part in _PARTS)}
    return folder.is_dir() and names >= finished_names(folder)


def _is_complete(content: dict[str, Any], folder: Path, done: Path) -> bool:
    try:
        written = read_sealed_table(done, _KIND)
        return written == {"settings": content, "files_sha256": _hash_drawn(folder)}
    except DataError:
        return False


def _hash_drawn(folder: Path) -> str:
    """A hash of all tables and videos of a drawn dataset.

    Raises:
        DataError: One cannot be read.
    """
    digest = hashlib.sha256()
    for part in _PARTS:
        for path in (_table_path(folder, part), *sorted((folder / part).glob("*.mp4"))):
            digest.update(f"{path.name} {hash_document(path, _KIND)}\n".encode())
    return digest.hexdigest()


def need_of(record: Record) -> Need:
    """What the caption of a drawn video needs."""
    return next(need for need in NEEDS if record.video.stem.endswith(f"-{need}"))


def synthetic_videos(
    twins_per_need: int, *, part: Part, seed: int, needs: Sequence[Need]
) -> list[SyntheticVideo]:
    """Make videos, each followed by its twin; no caption comes twice.

    The objects (colour and kind) of the two parts differ, so that on the test part only the meaning
    of the words helps.

    Args:
        twins_per_need: Pairs of videos for each need; fewer where there are no more captions.
        part: Which objects take part.
        seed: Decides everything else.
        needs: What the captions depend on.
    """
    generator = np.random.default_rng([seed, _PARTS.index(part)])
    videos: list[SyntheticVideo] = []
    for need in needs:
        found = stories(need, part, generator)
        if need == "appearance":
            # Backwards the caption is as true as before: a twin would be a second right answer.
            videos += itertools.islice(found, 2 * twins_per_need)
            continue
        for video in itertools.islice(found, twins_per_need):
            videos += [video, video.reversed()]
    return videos


def write_videos(videos: Sequence[SyntheticVideo], folder: Path, part: Part) -> Path:
    """Write videos as mp4 files, and a table of their captions beside them.

    Returns:
        The table, ``captions-train.csv`` or ``captions-test.csv``.

    Raises:
        OSError: The folder cannot be written to.
    """
    rows = []
    for number, video in enumerate(videos):
        name = f"{part}/{number:04d}-{video.need}.mp4"
        write_video(folder / name, video.draw(), _FRAMES_PER_SECOND)
        twins = min(video.caption, reverse_caption(video.caption))
        rows.append({"video": name, "caption": video.caption, "split": part, "group": twins})
    path = _table_path(folder, part)
    write_text(path, csv_text(list(rows[0]), rows))
    return path


def _table_path(folder: Path, part: Part) -> Path:
    return folder / f"captions-{part}.csv"


def write_video(path: Path, pictures: Sequence[Picture], frames_per_second: int) -> None:
    """Write pictures as an H.264 mp4, with the same bytes for the same pictures.

    Raises:
        OSError: The folder cannot be written to.
    """
    with (
        atomic_write(path) as aside,
        av.open(str(aside), "w", format="mp4") as container,
    ):
        stream = container.add_stream("libx264", rate=Fraction(frames_per_second))
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        # Without the last one x264 does not repeat itself on processors with AVX-512.
        stream.options = {"crf": "14", "preset": "veryfast", "x264-params": "cpu-independent=1"}
        # One thread: these pictures are too small to share out.
        stream.codec_context.thread_count = 1
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
