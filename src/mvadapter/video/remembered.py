"""Scans of files, remembered for the next reader of the same file.

Training reads a short segment at a time, each with a new reader, and a scan reads the whole file.
"""

from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import NamedTuple, TypeAlias

from mvadapter.video.clock import Clock
from mvadapter.video.timeline import Stretch

# About 25 bytes each: 100 MB, or 40 hours of video.
_MAX_FRAMES = 4_000_000

_Key: TypeAlias = tuple[Path, int, int, int]


class Scan(NamedTuple):
    """What reading all packets of a file has found out."""

    clock: Clock
    stretch: Stretch


class RememberedScans:
    """The scans of the files that were read last, as long as the files do not change.

    Args:
        max_frames: How many frames the remembered files may have together.
    """

    def __init__(self, max_frames: int = _MAX_FRAMES) -> None:
        self._max_frames = max_frames
        self._scans: OrderedDict[_Key, Scan] = OrderedDict()
        self._lock = Lock()

    def get(self, path: Path, scan: Callable[[], Scan]) -> Scan:
        """Give the scan of a file, and make it where it is not remembered.

        Raises:
            OSError: The file is gone.
        """
        key = _key(path)
        with self._lock:
            if key in self._scans:
                self._scans.move_to_end(key)
                return self._scans[key]
        made = scan()
        with self._lock:
            self._scans[key] = made
            while sum(len(each.stretch) for each in self._scans.values()) > self._max_frames:
                self._scans.popitem(last=False)
        return made


def _key(path: Path) -> _Key:
    status = path.stat()
    return path.absolute(), status.st_ino, status.st_size, status.st_mtime_ns
