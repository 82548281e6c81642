"""Files and folders in, the videos that lie there now out."""

import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import TypeAlias

from mvadapter.video.container import VIDEO_SUFFIXES

AnyPath: TypeAlias = str | PathLike[str]
Problem: TypeAlias = tuple[Path, str]
"""A file or folder, and in one line what is wrong with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileState:
    """A video file as it lies there at one time; another size or time means another content."""

    path: str
    """Where it lies, absolute; links on the way stay as they are."""
    size_bytes: int
    mtime_ns: int
    """When it was last written, in nanoseconds since 1970."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a walk over files and folders has met."""

    files: dict[str, FileState] = field(default_factory=dict)
    """Path -> file, in the order of the walk."""
    folders: set[str] = field(default_factory=set)
    """Those of the named paths that are folders."""
    problems: list[Problem] = field(default_factory=list)
    """What cannot be looked at, or cannot be a video."""


def find_videos(paths: Iterable[str]) -> Found:
    """Look at files, and in folders and the folders in them, for videos.

    Links are followed; names that begin with a dot are passed over, as they are in a shell.
    """
    found = Found()
    for path in paths:
        status = _look_at(path, found)
        if status is not None and stat.S_ISDIR(status.st_mode):
            found.folders.add(path)
            _walk(path, found)
    return found


def absolute(path: AnyPath) -> Path:
    """Make a path absolute without following links, so that it stays where its user put it."""
    return Path(os.path.abspath(path))  # noqa: PTH100 - resolve() follows links


def is_gone(path: str) -> bool:
    """Whether a file is known not to be there any more; not knowing is not enough."""
    try:
        Path(path).stat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return False


def _walk(root: str, found: Found) -> None:
    def note(error: OSError) -> None:
        found.problems.append((Path(error.filename), _reason(error)))

    seen: set[tuple[int, int]] = set()
    for folder, folders, names in os.walk(root, onerror=note, followlinks=True):
        status = _look_at(folder, found)
        if status is None or (status.st_dev, status.st_ino) in seen:
            # A link to a folder further up would lead round and round.
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if not name.startswith(".") and Path(name).suffix.lower() in VIDEO_SUFFIXES:
                _look_at(str(Path(folder, name)), found)


def _look_at(path: str, found: Found) -> os.stat_result | None:
    """Note a file, or what is wrong with it; return what the system says of it, where it does."""
    try:
        status = Path(path).stat()
        path.encode()
    except UnicodeEncodeError:
        found.problems.append((Path(path), "its name is not valid UTF-8; rename it"))
    except OSError as error:
        found.problems.append((Path(path), _reason(error)))
    else:
        if stat.S_ISREG(status.st_mode):
            found.files[path] = FileState(
                path=path, size_bytes=status.st_size, mtime_ns=status.st_mtime_ns
            )
        elif not stat.S_ISDIR(status.st_mode):
            found.problems.append((Path(path), "is not an ordinary file"))
        return status
    return None


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
