"""Everything mvadapter raises on purpose, as one tree.

    MvAdapterError
    ├── ConfigError              a setting has a value it cannot have
    │   └── UnknownNameError     a name is not among the known ones
    ├── DataError                a table, a caption or a score matrix cannot be used
    ├── VideoError               a video file gives no frames
    ├── BackboneError            a CLIP cannot be loaded, or is not the one that was asked for
    ├── AdapterFolderError       a saved adapter is missing, damaged or made for something else
    ├── IndexFolderError         a search index is missing, damaged or made with another encoder
    ├── TrainingError            a training run cannot start, continue or be resumed
    │   └── DivergedError        its loss is no longer a number
    ├── StorageError             a file or folder cannot be written: a full disk, no permission
    └── MissingExtraError        a package of an optional extra is not installed

Each message is one line: what, where, what was expected, what to do.
"""

from collections.abc import Iterable
from difflib import get_close_matches

_LISTED = 20
"""Beside a near one, more names than these would only bury it."""


class MvAdapterError(Exception):
    """Base of every error raised on purpose; catching it catches them all."""


class ConfigError(MvAdapterError, ValueError):
    """A setting has a value it cannot have."""


class UnknownNameError(ConfigError):
    """A name is not among the known ones; the message offers the nearest."""

    def __init__(
        self,
        kind: str,
        got: str,
        known: Iterable[str],
        advice: str = "",
        *,
        nearest: str | None = None,
    ) -> None:
        names = sorted(known)
        close = [nearest] if nearest else get_close_matches(got, names, n=1)
        message = f"{kind} {got!r} is not known."
        if close:
            message += f" Did you mean {close[0]!r}?"
        if not close or len(names) <= _LISTED:
            message += f" Known: {', '.join(names)}."
        super().__init__(message + (f" {advice}" if advice else ""))

    def __reduce__(self) -> tuple[object, ...]:
        return _with_message, (type(self), str(self))


class DataError(MvAdapterError, ValueError):
    """A table, a caption or a score matrix cannot be used."""


class VideoError(MvAdapterError):
    """A video file gives no frames; the message names the file and the reason."""


class BackboneError(MvAdapterError):
    """A CLIP cannot be loaded, or is not the one that was asked for."""


class AdapterFolderError(MvAdapterError):
    """A saved adapter is missing, damaged or made for something else."""


class IndexFolderError(MvAdapterError):
    """A search index is missing, damaged or made with another encoder."""


class TrainingError(MvAdapterError):
    """A training run cannot start, continue or be resumed."""


class DivergedError(TrainingError):
    """The loss of a training run is no longer a number: its learning rate is too high."""


class StorageError(MvAdapterError, OSError):
    """A file or folder cannot be written; the message names it, the reason and what to do."""

    def __init__(self, message: str, *, number: int | None = None) -> None:
        super().__init__(message)
        self.errno = number
        """The system's number of the reason; see the module `errno`."""

    def __reduce__(self) -> tuple[object, ...]:
        return _storage_error, (str(self), self.errno)


class MissingExtraError(MvAdapterError, ImportError):
    """A package of an optional extra is not installed; the message gives the pip command."""

    def __init__(self, purpose: str, package: str, *, extra: str) -> None:
        super().__init__(
            f"{package} is not installed; for {purpose}, run: pip install 'mvadapter[{extra}]'"
        )

    def __reduce__(self) -> tuple[object, ...]:
        return _with_message, (type(self), str(self))


def _storage_error(message: str, number: int | None) -> StorageError:
    return StorageError(message, number=number)


def _with_message(kind: type[MvAdapterError], message: str) -> MvAdapterError:
    """Make an error again that came from another process."""
    error = kind.__new__(kind)
    error.args = (message,)
    return error
