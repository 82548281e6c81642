"""A folder in, the files out that somebody put there: in it and in the folders inside it."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

VIDEO_SUFFIXES = frozenset({
    ".3g2", ".3gp", ".3gpp", ".asf", ".avi", ".divx", ".flv", ".gif", ".m2ts", ".m4v", ".mkv",
    ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".mxf", ".ogv", ".qt", ".ts", ".vob", ".webm", ".wmv",
})  # fmt: skip
"""How a file's name must end to be taken from a folder; one named by itself may end in anything."""

# What network drives and operating systems keep beside the user's files: thumbnails and proxies
# (`@eaDir`), and what was deleted. Other names of that kind begin with a dot.
_SYSTEM_FOLDERS = frozenset({
    "#recycle", "#snapshot", "$recycle.bin", "$winreagent", "@eadir", "@recently-snapshot",
    "@recycle", "@sharesnap", "@tmp", "__macosx", "found.000", "lost+found",
    "network trash folder", "recycled", "recycler", "system volume information",
    "temporary items", "~snapshot",
})  # fmt: skip

# Names that transport streams share with TypeScript sources.
_SHARED_SUFFIXES = frozenset({".mts", ".ts"})
_HEAD_BYTES = 4096
_UTF_16_MARKS = (b"\xff\xfe", b"\xfe\xff")
# Bytes that text does not have: all control characters but tab, line ends, form feed and escape.
_NOT_TEXT = bytes({*range(32), 127} - {9, 10, 11, 12, 13, 27})


def walk_files(root: str, on_error: Callable[[OSError], object]) -> Iterator[str]:
    """Yield the files in a folder and its subfolders, in the order of their names.

    Links are followed, each folder once. Left out are names that begin with a dot, as in a shell,
    the folders of systems and network drives, and sources of TypeScript (`.ts`).

    Args:
        root: The folder.
        on_error: Called with what goes wrong where a folder cannot be read.
    """
    seen: set[tuple[int, int]] = set()
    for folder, folders, names in os.walk(root, onerror=on_error, followlinks=True):
        try:
            status = Path(folder).stat()
        except OSError as error:
            on_error(error)
            folders.clear()
            continue
        if (status.st_dev, status.st_ino) in seen:
            # A link to a parent folder would never end.
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        folders[:] = sorted(name for name in folders if _is_for_users(name))
        for name in sorted(names):
            path = str(Path(folder, name))
            if _is_file_for_users(path):
                yield path


def holds_videos(folder: str | Path) -> bool:
    """Whether there is a video in a folder itself that `walk_files` does not leave out.

    Raises:
        OSError: The folder cannot be read.
    """
    return any(
        has_video_suffix(path) and path.is_file() and _is_file_for_users(str(path))
        for path in Path(folder).iterdir()
    )


def is_left_out(path: str, root: str) -> bool:
    """Whether `walk_files` leaves out a file in a folder, or in the folders inside it."""
    inside = Path(path).parts[len(Path(root).parts) : -1]
    return not (all(map(_is_for_users, inside)) and _is_file_for_users(path))


def has_video_suffix(path: str | Path) -> bool:
    """Whether a file's name ends as those of videos do."""
    return Path(path).suffix.lower() in VIDEO_SUFFIXES


def is_text(head: bytes) -> bool:
    """Whether a file that begins like this is text, in any usual encoding."""
    return head.startswith(_UTF_16_MARKS) or (
        bool(head) and len(head.translate(None, delete=_NOT_TEXT)) == len(head)
    )


def read_head(path: str | Path) -> bytes:
    """Read how a file begins: enough to tell text from video.

    Raises:
        OSError: It cannot be read.
    """
    # A pipe that nobody writes to would be waited for without this flag.
    number = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    with os.fdopen(number, "rb") as file:
        return file.read(_HEAD_BYTES)


def _is_for_users(folder: str) -> bool:
    return not folder.startswith(".") and folder.lower() not in _SYSTEM_FOLDERS


def _is_file_for_users(path: str) -> bool:
    return not Path(path).name.startswith(".") and not _is_source_code(path)


def _is_source_code(path: str) -> bool:
    if Path(path).suffix.lower() not in _SHARED_SUFFIXES:
        return False
    try:
        return Path(path).is_file() and is_text(read_head(path))
    except OSError:
        return False  # Whoever reads it says what is wrong with it.
