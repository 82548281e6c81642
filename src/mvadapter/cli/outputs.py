"""Output options: what a command may write, checked before its work, which may take hours."""

from collections.abc import Callable, Iterable
from pathlib import Path

from mvadapter.data.origin import ORIGIN_SUFFIX
from mvadapter.errors import ConfigError
from mvadapter.storage import make_folder, writing
from mvadapter.unfinished import unfinished


def check_output(
    path: Path,
    suffixes: Iterable[str],
    inputs: Iterable[Path | None],
    *,
    is_ours: Callable[[Path], bool],
    overwrite: bool,
) -> None:
    """Refuse an output file that is an input, or that would replace someone else's file.

    Args:
        path: The file to write.
        suffixes: What its name may end in.
        inputs: Files and folders that the command reads; None is an option that was not used.
        is_ours: Whether an existing file is what this command writes, which it may replace.
        overwrite: Whether any other file may be replaced too; never one that the command reads.

    Raises:
        ConfigError: It may not be written.
        StorageError: It cannot be written.
    """
    if path.is_dir():
        raise ConfigError(f"{path}: is a folder; choose a file name")
    if path.suffix.lower() not in (suffixes := tuple(suffixes)):
        raise ConfigError(f"{path}: must end in {' or '.join(suffixes)}; choose another file name")
    if path.name.endswith(ORIGIN_SUFFIX):
        raise ConfigError(
            f"{path}: names that end in {ORIGIN_SUFFIX} belong to prepared tables; choose another"
        )
    is_foreign = path.exists() and not (path.is_file() and is_ours(path))
    for read in inputs:
        if read is not None and (_is_same(path, read) or (is_foreign and _is_inside(path, read))):
            raise ConfigError(f"{path}: is read by this command; choose another output")
    if is_foreign and not overwrite:
        raise ConfigError(
            f"{path}: exists, and mvadapter did not write it; choose another output, or add "
            f"--overwrite"
        )
    make_folder(path.parent)
    # Rather than after hours of work; what is written here is removed at once.
    with writing(path), unfinished(path.parent):
        pass


def _is_same(path: Path, other: Path) -> bool:
    """Whether two paths are one file, also through links."""
    try:
        return path.samefile(other)
    except OSError:
        # One of them is not there; their names decide.
        return path.resolve() == other.resolve()


def _is_inside(path: Path, folder: Path) -> bool:
    return folder.is_dir() and path.resolve().is_relative_to(folder.resolve())
