"""A file system of a few kilobytes, for trials of what happens when it is full."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True, slots=True)
class SmallDisk:
    """A mounted file system in memory, empty at first."""

    folder: Path

    def resize(self, num_bytes: int) -> None:
        """Change how much fits on it."""
        _mount("-o", f"remount,size={num_bytes}", self.folder)

    @property
    def used_bytes(self) -> int:
        return shutil.disk_usage(self.folder).used


@contextmanager
def small_disk(folder: Path, *options: str) -> Iterator[SmallDisk]:
    """Mount a file system, such as with "size=100k"; skip the test where that is not allowed."""
    folder.mkdir()
    if not _mount("-t", "tmpfs", "-o", ",".join(options), "none", folder):
        pytest.skip("this machine mounts no file systems for us")
    try:
        yield SmallDisk(folder)
    finally:
        # Lazily: LanceDB closes its files when it likes to.
        _run("umount", "-l", folder)


def _mount(*arguments: object) -> bool:
    return _run("mount", *arguments)


def _run(program: str, *arguments: object) -> bool:
    path = shutil.which(program)
    if path is None:
        return False
    done = subprocess.run([path, *map(str, arguments)], check=False, capture_output=True)
    return done.returncode == 0
