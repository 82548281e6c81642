"""Files and folders in, the videos that are there now out."""

import os
import stat
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import TypeAlias

from mvadapter.video.folder import has_video_suffix, walk_files

AnyPath: TypeAlias = str | PathLike[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class FileState:
    """A video file at one time; another size or time of change means another content."""

    path: str
    """Where it is, absolute; links on the way are not followed."""
    size_bytes: int
    mtime_ns: int
    """When it was last written, in nanoseconds since 1970."""


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class FileProblem:
    """A file or folder that cannot be used, or not all of it."""

    path: Path
    reason: str
    """What is wrong with it, in one line."""

    def to_dict(self) -> dict[str, str]:
        """Return plain values for JSON."""
        return {"path": str(self.path), "reason": self.reason}


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderScan:
    """What a walk over files and folders has found."""

    files: dict[str, FileState] = field(default_factory=dict)
    """Path -> file, in the order of the walk."""
    problems: list[FileProblem] = field(default_factory=list)
    """What cannot be read, or cannot be a video."""


def find_videos(paths: Iterable[str]) -> FolderScan:
    """Look for videos: at files, and in folders and their subfolders.

    `walk_files` says what is left out.
    """
    scan = FolderScan()
    for path in paths:
        status = _look_at(path, scan)
        if status is not None and stat.S_ISDIR(status.st_mode):
            _walk(path, scan)
    return scan


def absolute(path: AnyPath) -> Path:
    """Make a path absolute without following links, so that it stays where its user put it."""
    return Path(os.path.abspath(path))  # noqa: PTH100 - resolve() follows links


def absolute_paths(paths: AnyPath | Iterable[AnyPath]) -> tuple[str, ...]:
    """Make one path or several absolute, each once, in their order."""
    if isinstance(paths, str | PathLike):
        paths = [paths]
    return tuple(dict.fromkeys(str(absolute(path)) for path in paths))


def same_spelling(path: str) -> str:
    """A path in one spelling of its accents: macOS and other systems write them differently."""
    return path if path.isascii() else unicodedata.normalize("NFC", path)


def is_in(path: str, source: str) -> bool:
    """Whether an absolute path is a source or inside one, judged by names."""
    path, source = same_spelling(path), same_spelling(source)
    return path == source or path.startswith(source.rstrip(os.sep) + os.sep)


def _walk(root: str, scan: FolderScan) -> None:
    def note(error: OSError) -> None:
        scan.problems.append(FileProblem(path=Path(error.filename), reason=_reason(error)))

    for path in walk_files(root, note):
        if has_video_suffix(path):
            _look_at(path, scan)


def _look_at(path: str, scan: FolderScan) -> os.stat_result | None:
    """Note a file, or what is wrong with it; return its status, where there is one."""
    try:
        status = Path(path).stat()
        path.encode()
    except UnicodeEncodeError:
        reason = "its name is not valid UTF-8; rename it"
    except OSError as error:
        reason = _reason(error)
    else:
        if stat.S_ISREG(status.st_mode):
            scan.files[path] = FileState(
                path=path, size_bytes=status.st_size, mtime_ns=status.st_mtime_ns
            )
        elif not stat.S_ISDIR(status.st_mode):
            scan.problems.append(FileProblem(path=Path(path), reason="is not an ordinary file"))
        return status
    scan.problems.append(FileProblem(path=Path(path), reason=reason))
    return None


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
