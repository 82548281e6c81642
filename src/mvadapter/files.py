"""Files that are written whole or not at all, and by one process at a time."""

import fcntl
import hashlib
import os
import re
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mvadapter.errors import MvAdapterError

# Nothing is written to for that long without a change; only a killed process leaves such a file.
_STALE_SECONDS = 24 * 60 * 60


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Give a path beside ``path`` to write to; it takes that place when the block ends well.

    After a crash, a full disk or an error inside the block, what stood at ``path`` still stands.
    Several threads and processes may write at once; the last one to end wins. What a killed
    process left beside ``path`` goes after a day.

    Raises:
        OSError: The folder cannot be made or written to.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_stale(path)
    aside = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        aside.touch()
        rights = aside.stat().st_mode
        yield aside
        # safetensors makes a file that nobody else may read, whatever the umask says.
        aside.chmod(rights)
        _sync(aside)
        aside.replace(path)
        _sync(path.parent)
    finally:
        aside.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file whole.

    Raises:
        OSError: The folder cannot be made or written to.
    """
    with atomic_write(path) as aside:
        aside.write_text(text, encoding="utf-8")


def hash_file(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal.

    Raises:
        OSError: It cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def locked(path: Path, refusal: MvAdapterError | None) -> Iterator[None]:
    """Keep other processes from what a file stands for; the system lets go however this one ends.

    Args:
        path: The lock; made when absent, and never removed.
        refusal: What to raise where another process holds it; None waits for it instead.

    Raises:
        MvAdapterError: Another process holds it, and that is refused.
        OSError: The folder cannot be written to.
    """
    with path.open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | (fcntl.LOCK_NB if refusal else 0))
        except BlockingIOError as error:
            raise refusal or error from error
        yield


def _remove_stale(path: Path) -> None:
    aside = re.compile(re.escape(f".{path.name}.") + r"[0-9a-f]+\.part")
    with os.scandir(path.parent) as entries:
        found = [entry for entry in entries if aside.fullmatch(entry.name)]
    for entry in found:
        # Another process may remove it first, or it may not be ours to remove.
        with suppress(OSError):
            if time.time() - entry.stat().st_mtime > _STALE_SECONDS:
                Path(entry.path).unlink()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
