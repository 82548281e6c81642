"""Files that are written completely or not at all, and by one writer at a time."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from filelock import lock_descriptor, unlock_descriptor

from mvadapter.errors import MvAdapterError
from mvadapter.storage import make_folder, writing
from mvadapter.unfinished import unfinished


@contextmanager
def atomic_write(path: Path, num_bytes: int = 0) -> Iterator[Path]:
    """Yield a temporary path near ``path``; it replaces ``path`` when the block succeeds.

    After a crash, a full disk or an error inside the block, ``path`` is unchanged. Several threads
    and processes may write at once: the last one to finish wins. What killed processes left beside
    ``path`` is removed first; see `unfinished`.

    Args:
        path: The file.
        num_bytes: Its size, where that is known, so that a disk that is too full is found before
            anything is written.

    Raises:
        StorageError: The folder or the file cannot be written.
    """
    make_folder(path.parent)
    # Twice: what is unfinished is removed before the outer one looks at the disk.
    with writing(path, num_bytes), unfinished(path.parent) as folder, writing(path):
        # Of the same name, which may be as long as a name can be.
        aside = folder / path.name
        aside.touch()
        rights = aside.stat().st_mode
        yield aside
        # safetensors makes a file that nobody else may read, whatever the umask is.
        aside.chmod(rights)
        with aside.open("r+b") as written:
            os.fsync(written.fileno())
        aside.replace(path)
        _sync_folder(path.parent)


def write_text(path: Path, text: str) -> None:
    """Write a text file completely or not at all.

    Raises:
        StorageError: The folder or the file cannot be written.
    """
    with atomic_write(path, len(text.encode())) as aside:
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
    """Hold a lock that excludes other processes and other threads.

    The operating system releases it when this process ends, even when it is killed. It is not
    reentrant: a thread that takes it twice waits for itself.

    Args:
        path: The lock file; made where it is missing. Only who holds the lock may remove it.
        refusal: The error to raise while another process or thread holds the lock; None waits.

    Raises:
        MvAdapterError: Another process or thread holds the lock, and there is a refusal.
        StorageError: The folder cannot be written to.
    """
    lock = _locked_file(path, refusal)
    # Its last holder may have removed it after it was opened here.
    while not _is_at(lock.fileno(), path):
        lock.close()
        lock = _locked_file(path, refusal)
    with lock:
        try:
            yield
        finally:
            unlock_descriptor(lock.fileno())


def _locked_file(path: Path, refusal: MvAdapterError | None) -> TextIO:
    with writing(path):
        lock = path.open("a")
    # Not filelock.FileLock: on Windows it removes the file when it is released, and where a file
    # system has no locks it falls back on a file that a killed process leaves behind.
    if not lock_descriptor(lock.fileno(), blocking=refusal is None) and refusal:
        lock.close()
        raise refusal
    return lock


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _sync_folder(folder: Path) -> None:
    """Write a folder's list of names to disk, so that a replaced file survives a power failure."""
    if os.name == "nt":
        # Windows opens no folder as a file, and writes its list of names by itself.
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
