"""What FFmpeg cannot read, apart from what it has no memory for."""

from collections.abc import Iterator
from contextlib import contextmanager

from av.error import FFmpegError


@contextmanager
def damage_ignored() -> Iterator[None]:
    """Go on after what FFmpeg cannot read.

    Raises:
        MemoryError: There is too little memory, which says nothing about the file.
    """
    try:
        yield
    except MemoryError:
        # FFmpeg's own is of both kinds.
        raise
    except (FFmpegError, IndexError):
        # PyAV looks for an end, too, in streams that a damaged file made up on the way.
        return
