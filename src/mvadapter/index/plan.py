"""What lies there and what is indexed in, what has to be done out; nothing is changed here."""

import os
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from mvadapter.index.find import FileState, Found, Problem, is_gone


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What brings an index up to date with the files and folders that it was given."""

    to_embed: tuple[FileState, ...]
    """New and changed videos."""
    num_unchanged: int
    moved: dict[str, FileState]
    """Path it was indexed under -> the file it is now."""
    removed: frozenset[str]
    """Paths of indexed videos that are no longer there."""
    problems: tuple[Problem, ...]
    """What cannot be indexed, and why."""

    @property
    def leaving(self) -> set[str]:
        """Paths under which nothing will be indexed any more."""
        return {*self.moved, *self.removed}


def plan_changes(sources: Collection[str], found: Found, known: Mapping[str, FileState]) -> Plan:
    """Compare what was found with what is indexed.

    Args:
        sources: The files and folders that were looked at, absolute.
        found: What was found there.
        known: Path -> video as it was indexed.
    """
    new = [file for path, file in found.files.items() if path not in known]
    changed = [file for path, file in found.files.items() if known.get(path, file) != file]
    moved = _moved(new, known)
    came = {file.path for file in moved.values()}
    missing = [path for path in known if path not in found.files and path not in moved]
    removed, problems = _removed(sources, found, missing)
    return Plan(
        to_embed=(*changed, *(file for file in new if file.path not in came)),
        num_unchanged=len(found.files) - len(new) - len(changed),
        moved=moved,
        removed=removed,
        problems=(*problems, *(p for p in found.problems if str(p[0]) not in removed)),
    )


def still_matters(source: str, indexed: Iterable[str]) -> bool:
    """Whether a file or folder is there, or at least something from it is indexed."""
    return not is_gone(source) or any(_is_in(path, source) for path in indexed)


def _moved(new: Iterable[FileState], known: Mapping[str, FileState]) -> dict[str, FileState]:
    places = {_identity(file): path for path, file in known.items()}
    moved: dict[str, FileState] = {}
    for file in new:
        place = places.get(_identity(file))
        if place is not None and place not in moved and is_gone(place):
            moved[place] = file
    return moved


def _identity(file: FileState) -> tuple[str, int, int]:
    return Path(file.path).name, file.size_bytes, file.mtime_ns


def _removed(
    sources: Collection[str], found: Found, missing: Iterable[str]
) -> tuple[frozenset[str], list[Problem]]:
    """Tell videos that were deleted from those whose disk may not be mounted."""
    emptied = {
        folder for folder in found.folders if not any(_is_in(path, folder) for path in found.files)
    }
    removed: set[str] = set()
    num_kept = dict.fromkeys(sorted(emptied), 0)
    for path in missing:
        folder = next((folder for folder in found.folders if _is_in(path, folder)), None)
        if folder is None:
            if path in sources and not is_gone(str(Path(path).parent)):
                removed.add(path)
        elif is_gone(path):
            if folder in emptied:
                num_kept[folder] += 1
            else:
                removed.add(path)
    problems = [
        (
            Path(folder),
            f"holds no video any more; its {num} entries stay, in case a disk is missing",
        )
        for folder, num in num_kept.items()
        if num
    ]
    return frozenset(removed), problems


def _is_in(path: str, source: str) -> bool:
    """Whether an absolute path is a source or lies in it, going by their names."""
    return path == source or path.startswith(source.rstrip(os.sep) + os.sep)
