"""A folder in, a place in it for files that are being written out.

The place is a hidden folder of one writer, which holds a lock in it. The operating system releases
the lock of a killed process, so whoever writes there next sees which places are abandoned and
removes them, with all that libraries have left in them.
"""

import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from filelock import lock_descriptor

_NAME = re.compile(r"\.mvadapter-[0-9a-f]{8}\.part")
_LOCK = "mvadapter.lock"


@contextmanager
def unfinished(folder: Path) -> Iterator[Path]:
    """Yield a new folder inside an existing one; it is removed with all that is still in it.

    Those that killed processes have left in `folder` are removed first.

    Raises:
        OSError: The folder cannot be written to.
    """
    remove_abandoned(folder)
    place, lock = _new_place(folder)
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)
        if lock is not None:
            lock.close()
        # Windows removes no open file.
        shutil.rmtree(place, ignore_errors=True)


def remove_abandoned(folder: Path) -> None:
    """Remove what killed processes had not finished writing in a folder."""
    for place in _places(folder):
        # It may not be ours to remove, or the file system may have no locks.
        with suppress(OSError):
            _remove_if_abandoned(place)


def finished_names(folder: Path) -> set[str]:
    """List a folder, leaving out and cleaning up what is not finished.

    Raises:
        OSError: The folder cannot be read.
    """
    remove_abandoned(folder)
    return {entry.name for entry in folder.iterdir()} - {place.name for place in _places(folder)}


def _places(folder: Path) -> list[Path]:
    with suppress(OSError):
        return [entry for entry in folder.iterdir() if _NAME.fullmatch(entry.name)]
    return []


def _new_place(folder: Path) -> tuple[Path, IO[str] | None]:
    """Make a folder and lock it; without a lock where the file system has none."""
    while True:
        place = folder / f".mvadapter-{secrets.token_hex(4)}.part"
        place.mkdir()
        try:
            lock = (place / _LOCK).open("x")
        except FileNotFoundError:
            # Somebody else found it before it was locked, and removed it.
            continue
        except OSError:
            return place, None
        with suppress(OSError):
            lock_descriptor(lock.fileno())
        if _is_at(place / _LOCK, lock):
            return place, lock
        lock.close()


def _is_at(path: Path, file: IO[str]) -> bool:
    """Whether an open file is the one at a path, and was not removed meanwhile."""
    try:
        return os.path.samestat(path.stat(), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False


def _remove_if_abandoned(place: Path) -> None:
    try:
        # Only its writer makes the lock: a second one would hide that the first was removed.
        lock = (place / _LOCK).open("r+")
    except FileNotFoundError:
        names = {path.name for path in place.iterdir()}
        if names and _LOCK not in names:
            # A lock comes before anything else, so somebody has begun to remove this place.
            shutil.rmtree(place, ignore_errors=True)
        elif not names:
            # Perhaps it was just made. This removes it only while it is empty.
            place.rmdir()
        return
    with lock:
        if not lock_descriptor(lock.fileno(), blocking=False):
            return
        # Under its lock, so that nobody who has just made it begins to use it.
        shutil.rmtree(place, ignore_errors=True)
    # Windows removes no open file.
    shutil.rmtree(place, ignore_errors=True)
