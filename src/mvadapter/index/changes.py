"""Files found and files indexed in, what has to change in the index out."""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from mvadapter.documents.text import is_missing
from mvadapter.index.find import (
    FileProblem,
    FileState,
    FolderScan,
    is_in,
    same_spelling,
)
from mvadapter.video.folder import holds_videos, is_left_out


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
    missing: dict[str, int]
    """Folder without videos, or that is not there -> how many indexed videos it had; they stay, for
    its disk may not be mounted."""
    left_out: tuple[FileProblem, ...]
    """Indexed videos that stay, but would not be found in their folder now, and what to do."""
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
    absent = [
        path
        for path in known
        if path not in scan.files and path not in moved
        if any(is_in(path, source) for source in sources) and is_missing(Path(path))
    ]
    living = set(filter(_still_holds_videos, {Path(path).parent for path in absent}))
    removed = {path for path in absent if Path(path).parent in living}
    missing = _missing([path for path in absent if path not in removed], sources, scan)
    return IndexChanges(
        to_embed=(*changed, *(file for file in new if file.path not in arrived)),
        num_unchanged=len(scan.files) - len(new) - len(changed),
        moved=moved,
        removed=frozenset(removed),
        missing=missing,
        left_out=tuple(_left_out(sources, scan, known)),
        # A file that was named and is gone is reported as removed or missing.
        problems=tuple(p for p in scan.problems if str(p.path) not in absent),
    )


def lasting_sources(
    recorded: Collection[str],
    given: Collection[str],
    known: Collection[str],
    leaving: Collection[str],
) -> list[str]:
    """The files and folders to record as added, sorted.

    One that is gone is forgotten only when its last video leaves the index: its entries may have
    been damaged and lost while its disk is not mounted.

    Args:
        recorded: Those of earlier calls.
        given: Those of this one.
        known: Paths of the indexed videos.
        leaving: Those of them that were moved or deleted.
    """
    staying = set(known) - set(leaving)
    return sorted(
        source
        for source in {*recorded, *given}
        if not is_missing(Path(source))
        or any(is_in(path, source) for path in staying)
        or (source in recorded and not any(is_in(path, source) for path in leaving))
    )


def _moved(new: Iterable[FileState], known: Mapping[str, FileState]) -> dict[str, FileState]:
    places = {_identity(file): path for path, file in known.items()}
    moved: dict[str, FileState] = {}
    for file in new:
        place = places.get(_identity(file))
        if place is not None and place not in moved and _is_now(place, file.path):
            moved[place] = file
    return moved


def _identity(file: FileState) -> tuple[str, int, int]:
    return same_spelling(Path(file.path).name), file.size_bytes, file.mtime_ns


def _is_now(place: str, path: str) -> bool:
    """Whether what was at one path is at another; a copy or a second link is not."""
    if is_missing(Path(place)):
        return True
    # Where a file system takes both spellings of one name, both are there.
    return same_spelling(place) == same_spelling(path) and Path(place).samefile(path)


def _still_holds_videos(folder: Path) -> bool:
    """Whether a folder has videos, so that one that is absent was deleted.

    The folder of a disk that is not mounted is empty, or holds a note that says so.
    """
    try:
        return holds_videos(folder)
    except OSError:
        return False


def _left_out(
    sources: Iterable[str], scan: FolderScan, known: Iterable[str]
) -> Iterator[FileProblem]:
    reason = (
        "is in the index, but is of a kind that is not looked for in folders any more; "
        "'mvadapter remove' removes it from the index"
    )
    for path in known:
        above = [source for source in sources if path not in scan.files and is_in(path, source)]
        if (
            above
            and not is_missing(Path(path))
            and all(is_left_out(path, source) for source in above)
        ):
            yield FileProblem(path=Path(path), reason=reason)


def _missing(absent: Iterable[str], sources: Collection[str], scan: FolderScan) -> dict[str, int]:
    """Count missing videos by the highest folder, inside a source, that has no videos."""
    alive = {str(folder) for path in scan.files for folder in Path(path).parents}
    found: Counter[str] = Counter()
    for path in absent:
        folder = Path(path).parent
        for above in folder.parents:
            if str(above) in alive or not any(is_in(str(above), source) for source in sources):
                break
            folder = above
        found[str(folder)] += 1
    return dict(sorted(found.items()))
