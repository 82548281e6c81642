"""Moments in, mp4 files out."""

import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path

from mvadapter.errors import ConfigError
from mvadapter.index.find import AnyPath
from mvadapter.index.moments import Moment
from mvadapter.index.record import RECORD_FILE
from mvadapter.video.cut import Cut, cut_segment
from mvadapter.video.folder import VIDEO_SUFFIXES

# Of nearly every file system.
_MAX_NAME_BYTES = 255


@dataclass(frozen=True, slots=True, kw_only=True)
class MomentCut:
    """A moment that was written to a file."""

    moment: Moment
    cut: Cut
    """The file, and where in the video it really begins and ends."""

    def to_dict(self) -> dict[str, str | float]:
        """Turn it into plain values, as JSON holds them: the moment's, with those of the file."""
        moment = self.moment.to_dict()
        return moment | {
            "path": str(self.cut.path),
            "source": moment["path"],
            "start_seconds": self.cut.start_seconds,
            "end_seconds": self.cut.end_seconds,
        }


def cut_moment(moment: Moment, output: AnyPath, *, pad_seconds: float = 0.0) -> MomentCut:
    """Write a moment as an mp4 file; see `cut_segment` for how exact it is.

    Args:
        moment: What a search has found.
        output: The file to write, ending in ``.mp4``, or a folder, in which the file is named after
            the video and the times. No file is replaced.
        pad_seconds: Seconds to leave before and after the moment.

    Raises:
        ConfigError: The output exists, is in an index, or is a file of another kind.
        VideoError: The video gives no frames there, or mp4 cannot hold them.
        StorageError: The file cannot be written.
    """
    if not 0 <= pad_seconds < math.inf:
        raise ConfigError(f"pad_seconds must be at least 0 and finite, got {pad_seconds}")
    target = Path(output)
    check_output(target)
    if not is_mp4_file(target):
        target = _free_file(target, moment)
    # Not before 0, where nearly all videos begin.
    start = max(moment.start_seconds - pad_seconds, min(0.0, moment.start_seconds))
    end = moment.end_seconds + pad_seconds
    return MomentCut(moment=moment, cut=cut_segment(moment.path, start, end, target))


def is_mp4_file(output: Path) -> bool:
    """Whether an output names an mp4 file, and not a folder.

    Raises:
        ConfigError: Nothing can be there.
    """
    return output.suffix.lower() == ".mp4" and not _is_there(output, Path.is_dir)


def check_output(output: Path) -> None:
    """Refuse an output that would replace a file, or cannot be a folder.

    Raises:
        ConfigError: It would.
    """
    folders = (output, *output.absolute().parents)
    if index := next(
        (path for path in folders if _is_there(path / RECORD_FILE, Path.is_file)), None
    ):
        raise ConfigError(f"{output}: is in the index {index}; choose a folder elsewhere")
    if _is_there(output, Path.is_dir):
        return
    # A link that leads nowhere is somebody's as well.
    if _is_there(output, Path.exists) or output.is_symlink():
        raise ConfigError(f"{output} already exists; choose another file, or delete it first")
    if output.suffix.lower() in VIDEO_SUFFIXES - {".mp4"}:
        raise ConfigError(f"{output}: only .mp4 files are written; choose one, or a folder")


def _is_there(output: Path, look: Callable[[Path], bool]) -> bool:
    try:
        return look(output)
    except OSError as error:
        raise ConfigError(
            f"{output}: cannot be written to ({error.strerror}); choose another output"
        ) from error


def _free_file(folder: Path, moment: Moment) -> Path:
    """Name a file after a moment's video and times, with a number where that name is taken."""
    # Videos in two folders may share a name.
    start, end = (f"{t:.1f}" for t in (moment.start_seconds, moment.end_seconds))
    # Without characters that a file system may refuse.
    times = f"_{start}-{end}s"
    ends = chain([f"{times}.mp4"], (f"{times}_{number}.mp4" for number in count(2)))
    paths = (folder / _fitting_name(moment.path.stem, end) for end in ends)
    return next(path for path in paths if not _is_there(path, Path.exists))


def _fitting_name(stem: str, end: str) -> str:
    """Join both parts of a name, with less of the first where it would be too long."""
    while len(os.fsencode(stem + end)) > _MAX_NAME_BYTES:
        stem = stem[:-1]
    return stem + end
