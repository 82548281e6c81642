"""Files found and files indexed in, what has to change in the index out."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from mvadapter.index.find import FileProblem, FileState, FolderScan, is_gone, is_in


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexChanges:
    """What brings an index up to date with files and folders."""

    to_embed: tuple[FileState, ...]
    """New and changed videos."""
    num_unchanged: int
    moved: dict[str, FileState]
    """Path it was indexed under -> the file it is now."""
    removed: frozenset[str]
    """Paths of indexed videos that were deleted."""
    problems: tuple[FileProblem, ...]
    """What cannot be indexed, and why."""

    @property
    def leaving(self) -> set[str]:
        """Paths under which nothing will be indexed any more."""
        return {*self.moved, *self.removed}


def find_changes(
    sources: Collection[str], scan: FolderScan, known: Mapping[str, FileState]
) -> IndexChanges:
    """Compare the files found with the files indexed.

    Args:
        sources: The files and folders that were scanned, absolute.
        scan: What was found there.
        known: Path -> video as it was indexed.
    """
    new = [file for path, file in scan.files.items() if path not in known]
    changed = [file for path, file in scan.files.items() if known.get(path, file) != file]
    moved = _moved(new, known)
    arrived = {file.path for file in moved.values()}
    missing = [path for path in known if path not in scan.files and path not in moved]
    removed, problems = _removed(sources, scan, missing)
    return IndexChanges(
        to_embed=(*changed, *(file for file in new if file.path not in arrived)),
        num_unchanged=len(scan.files) - len(new) - len(changed),
        moved=moved,
        removed=removed,
        problems=(*problems, *(p for p in scan.problems if str(p.path) not in removed)),
    )


def still_matters(source: str, indexed: Iterable[str]) -> bool:
    """Whether a file or folder exists, or at least something from it is indexed."""
    return not is_gone(source) or any(is_in(path, source) for path in indexed)


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
    sources: Collection[str], scan: FolderScan, missing: Iterable[str]
) -> tuple[frozenset[str], list[FileProblem]]:
    """Separate videos that were deleted from those whose disk may not be mounted."""
    emptied = {
        folder for folder in scan.folders if not any(is_in(path, folder) for path in scan.files)
    }
    removed: set[str] = set()
    num_kept = dict.fromkeys(sorted(emptied), 0)
    for path in missing:
        folder = next((folder for folder in scan.folders if is_in(path, folder)), None)
        if folder is None:
            if path in sources and not is_gone(str(Path(path).parent)):
                removed.add(path)
        elif is_gone(path):
            if folder in emptied:
                num_kept[folder] += 1
            else:
                removed.add(path)
    problems = [
        FileProblem(
            path=Path(folder),
            reason=f"has no videos; its {num} entries are kept, in case a disk is missing",
        )
        for folder, num in num_kept.items()
        if num
    ]
    return frozenset(removed), problems
