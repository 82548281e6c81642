"""What goes wrong while a file is written, in; one error that names the file and the way out, out.

Every library reports a full disk in its own way: the system's OSError, safetensors and LanceDB
(Rust) with the system's number inside a text, PyAV and pyarrow with errors of their own.
"""

import errno
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mvadapter.errors import MvAdapterError, StorageError

_NUMBER = re.compile(r"(?:\(os error |\[errno |\bOs \{ code: )(\d+)", re.IGNORECASE)
# What only writing meets. FFmpeg raises its other errors for a source that it reads as well.
_OF_WRITING = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG)
# What Windows reports for a full disk, under numbers that are other errors elsewhere.
_WINDOWS_FULL = (39, 112)
_AGAIN = "run the same command again"
_ADVICE = {
    errno.ENOSPC: f"free some space and {_AGAIN}",
    errno.EDQUOT: f"free some space or raise the quota, and {_AGAIN}",
    errno.EROFS: "choose another folder, or mount it with permission to write",
    errno.EACCES: "choose another folder, or change its permissions",
    errno.EPERM: "choose another folder, or change its permissions",
    errno.ENOENT: f"its folder was removed; {_AGAIN}",
    errno.EFBIG: f"raise the limit on the size of files, and {_AGAIN}",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.ENOTDIR: "a part of its path is a file; choose another folder",
    errno.EEXIST: "a part of its path is a file; choose another folder",
    errno.EISDIR: "there is a folder of this name; choose another name",
}


@contextmanager
def writing(path: Path, num_bytes: int = 0) -> Iterator[None]:
    """Turn the errors of the system and of libraries that write into one that names the file.

    Args:
        path: What is written.
        num_bytes: How much, where that is known; the space for it is asked for before the block.

    Raises:
        StorageError: It cannot be written.
    """
    check_space(path, num_bytes)
    try:
        yield
    except Exception as error:
        number = None if isinstance(error, MvAdapterError) else system_error(error)
        if number is None or not _is_about(error, path, number):
            raise
        raise StorageError(_complaint(path, number, num_bytes), number=number) from error


def check_space(path: Path, num_bytes: int) -> None:
    """Refuse to begin what has no room.

    Raises:
        StorageError: The file system has less space left than ``num_bytes``.
    """
    if num_bytes and (free := _free_bytes(path)) is not None and free < num_bytes:
        number = errno.ENOSPC
        raise StorageError(_complaint(path, number, num_bytes), number=number)


def make_folder(path: Path) -> None:
    """Make a folder, with those above it, unless it is there.

    Raises:
        StorageError: It cannot be made.
    """
    with writing(path):
        path.mkdir(parents=True, exist_ok=True)


def system_error(error: BaseException) -> int | None:
    """The system's number of an error, which libraries hide in their texts; None if there is none.

    See the module `errno` for the meaning of the numbers.
    """
    if isinstance(error, OSError) and error.errno in errno.errorcode:
        return error.errno
    found = _NUMBER.search(str(error))
    # FFmpeg has numbers of its own, for data that cannot be read and the like.
    if found is None or (number := int(found[1])) not in errno.errorcode:
        return None
    return errno.ENOSPC if os.name == "nt" and number in _WINDOWS_FULL else number


def _is_about(error: BaseException, path: Path, number: int) -> bool:
    """Whether an error comes from writing there, and not from another file that is read."""
    named = error.filename if isinstance(error, OSError) else None
    if isinstance(named, str | bytes | os.PathLike):
        # FFmpeg is given names with a protocol, so that it takes none from the name itself.
        other = Path(os.fsdecode(named).removeprefix("file:"))
        # Where a file is written until it is complete: a folder `.part` beside it.
        is_unfinished = any(
            place.parent == path.parent and place.suffix == ".part"
            for place in (other, *other.parents)
        )
        return other == path or other in path.parents or path in other.parents or is_unfinished
    # FFmpeg does not say whether it was reading or writing.
    return number in _OF_WRITING or not type(error).__module__.startswith("av.")


def _complaint(path: Path, number: int, num_bytes: int) -> str:
    reason = os.strerror(number).lower()
    advice = _ADVICE.get(number, f"check the disk, and {_AGAIN}")
    needs = ""
    if number in {errno.ENOSPC, errno.EDQUOT}:
        free = _free_bytes(path)
        if number == errno.ENOSPC and _has_no_inodes(path):
            reason, advice = "no more files fit on this disk", f"delete some files and {_AGAIN}"
        elif num_bytes and free is not None:
            needs = f"; needs {_megabytes(num_bytes)}, {_megabytes(free)} are free"
    return f"{path}: cannot be written ({reason}){needs}; {advice}"


def _megabytes(num_bytes: int) -> str:
    return f"{num_bytes / 1e6:.1f} MB"


def _free_bytes(path: Path) -> int | None:
    try:
        return shutil.disk_usage(_existing(path)).free
    except OSError:
        return None


def _has_no_inodes(path: Path) -> bool:
    if os.name == "nt":
        return False
    try:
        status = os.statvfs(_existing(path))
    except OSError:
        return False
    # Some file systems count no inodes and report 0 of 0.
    return status.f_files > 0 and status.f_favail == 0


def _existing(path: Path) -> Path:
    """The nearest folder above a path that is there."""
    return next((place for place in path.absolute().parents if place.is_dir()), Path.cwd())
