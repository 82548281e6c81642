"""Video files in, an index on disk that is up to date with them out."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from mvadapter.backbone.precision import PrecisionChoice
from mvadapter.backbone.source import lasting_name
from mvadapter.documents.text import is_missing
from mvadapter.embedding.files import EmbeddedFile, embed_files
from mvadapter.encoder.encode import Encoder
from mvadapter.errors import IndexFolderError
from mvadapter.files import locked
from mvadapter.index.changes import find_changes, lasting_sources
from mvadapter.index.counting import counted
from mvadapter.index.find import (
    AnyPath,
    FileProblem,
    FileState,
    absolute_paths,
    find_videos,
)
from mvadapter.index.record import (
    ADAPTERS_FOLDER,
    LOCK_FILE,
    RECORD_FILE,
    VECTORS_FOLDER,
    IndexRecord,
    read_index_record,
)
from mvadapter.index.repair import finish_repair, open_repaired
from mvadapter.index.segment_table import SegmentTable
from mvadapter.index.views import refuse_bad_name, store_view
from mvadapter.isolation import Isolation
from mvadapter.storage import make_folder
from mvadapter.unfinished import finished_names

# What is lost when the process is killed is at most the embeddings of so many segments.
_GROUP_SEGMENTS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class AddReport:
    """What `VideoIndex.add` has done, in numbers of videos."""

    view: str
    """The view to which the videos were added."""
    num_added: int
    num_changed: int
    """Indexed before with another content."""
    num_unchanged: int
    num_moved: int
    """Indexed before at another path, with the same name, size and time; not embedded again."""
    num_removed: int
    """Deleted since they were indexed, from folders that still hold other videos."""
    num_missing: int
    """Their folder is gone or has no videos; they stay, because its disk may not be mounted."""
    missing: tuple[FileProblem, ...]
    """Those folders, and what to do."""
    repaired: str | None
    """What of the view was damaged, in one line; its videos were embedded again where they are."""
    skipped: tuple[FileProblem, ...]
    """What could not be indexed, and why; the next `add` tries it again."""
    incomplete: tuple[FileProblem, ...]
    """Videos of which some segments could not be read, and why; their others were indexed."""
    remarks: tuple[FileProblem, ...]
    """Videos whose times are unusual, and how they were read, and indexed ones that are not looked
    for any more; nothing of them is missing."""
    num_videos: int
    """Videos in the view afterwards."""
    num_segments: int
    """Their segments."""

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self) | {
            "skipped": [problem.to_dict() for problem in self.skipped],
            "incomplete": [problem.to_dict() for problem in self.incomplete],
            "remarks": [remark.to_dict() for remark in self.remarks],
            "missing": [problem.to_dict() for problem in self.missing],
        }


def write_lock(folder: Path) -> AbstractContextManager[None]:
    """Keep other writers out of an index.

    Entering it raises IndexFolderError where another process is writing.
    """
    refusal = f"{folder}: another process is writing to this index; try again when it has finished"
    return locked(folder / LOCK_FILE, IndexFolderError(refusal))


def create_index(folder: Path, encoder: Encoder, name: str, max_segment_seconds: float) -> None:
    """Make the folder of an index with one view and no videos.

    Raises:
        ConfigError: The name or the length of segments cannot be used.
        IndexFolderError: The folder is an index already, or holds something else.
        OSError: The folder cannot be written to.
    """
    refuse_bad_name(name)
    record = IndexRecord(
        backbone_name=lasting_name(encoder.backbone.name),
        backbone_fingerprint=encoder.backbone.fingerprint,
        backbone_parts=encoder.backbone.fingerprint_parts,
        max_segment_seconds=max_segment_seconds,
    )
    _refuse_occupied(folder)
    make_folder(folder)
    with write_lock(folder):
        # Another process may have made one in the meantime.
        _refuse_occupied(folder, is_locked=True)
        store_view(folder, record, name, encoder)


def add_videos(  # noqa: PLR0913, PLR0917 - what `VideoIndex.add` passes on
    folder: Path,
    view: str,
    encoder: Encoder,
    paths: AnyPath | Iterable[AnyPath] | None,
    precision: PrecisionChoice,
    isolation: Isolation | None,
    on_progress: Callable[[int, int, str], object] | None,
) -> AddReport:
    """Bring a view of an index up to date; see `VideoIndex.add`.

    Raises:
        IndexFolderError: Another process is writing to this index, or it is damaged.
        OSError: The index cannot be written to.
    """
    with write_lock(folder):
        record = read_index_record(folder)
        sources = record.sources if paths is None else absolute_paths(paths)
        table, repaired = open_repaired(folder / VECTORS_FOLDER, view, encoder.backbone.dim)
        if repaired:
            # What was lost may have come from any of them.
            sources = tuple(dict.fromkeys((*sources, *record.sources)))
        scan, known = find_videos(sources), table.files()
        changes = find_changes(sources, scan, known)
        lasting = lasting_sources(record.sources, sources, known, changes.leaving)
        # An index of an earlier version has no parts yet.
        parts = encoder.backbone.fingerprint_parts
        replace(record, sources=tuple(lasting), backbone_parts=parts).write(folder)
        table.move(changes.moved)
        table.remove(changes.removed)
        files = {file.path: file for file in changes.to_embed}
        embedded = embed_files(
            files,
            encoder,
            max_segment_seconds=record.max_segment_seconds,
            precision=precision,
            isolation=isolation,
        )
        tally = _Tally(known=known, num_files=len(files))
        with closing(embedded):
            for videos in _groups(embedded):
                _store(table, [(files[video.path], video) for video in videos], known)
                tally.count(videos, on_progress)
        table.finish()
        finish_repair(table)
        return AddReport(
            view=view,
            num_added=tally.num_added,
            num_changed=tally.num_changed,
            num_unchanged=changes.num_unchanged,
            num_moved=len(changes.moved),
            num_removed=len(changes.removed),
            num_missing=sum(changes.missing.values()),
            missing=tuple(_missing(folder, num) for folder, num in changes.missing.items()),
            repaired=repaired,
            skipped=tuple(
                sorted((*(_with_advice(p, record) for p in changes.problems), *tally.skipped))
            ),
            incomplete=tuple(sorted(tally.incomplete)),
            remarks=tuple(sorted((*changes.left_out, *tally.remarks))),
            num_videos=len(table.files()),
            num_segments=len(table),
        )


@dataclass(slots=True, kw_only=True)
class _Tally:
    """Counts the results of embedding."""

    known: Mapping[str, FileState]
    num_files: int
    num_done: int = 0
    num_added: int = 0
    num_changed: int = 0
    skipped: list[FileProblem] = field(default_factory=list)
    incomplete: list[FileProblem] = field(default_factory=list)
    remarks: list[FileProblem] = field(default_factory=list)

    def count(
        self,
        videos: Sequence[EmbeddedFile],
        on_progress: Callable[[int, int, str], object] | None,
    ) -> None:
        for video in videos:
            if video.spans and video.path in self.known:
                self.num_changed += 1
            elif video.spans:
                self.num_added += 1
            if video.problem is not None:
                problems = self.incomplete if video.spans else self.skipped
                problems.append(FileProblem(path=Path(video.path), reason=video.problem))
            if video.remark is not None:
                self.remarks.append(FileProblem(path=Path(video.path), reason=video.remark))
        self.num_done += len(videos)
        if on_progress is not None and videos:
            on_progress(self.num_done, self.num_files, Path(videos[-1].path).name)


def _groups(videos: Iterable[EmbeddedFile]) -> Iterator[list[EmbeddedFile]]:
    """Collect videos of some segments in all, because each change of a table takes a while."""
    group: list[EmbeddedFile] = []
    for video in videos:
        group.append(video)
        if sum(len(one.spans) for one in group) >= _GROUP_SEGMENTS:
            yield group
            group = []
    if group:
        yield group


def _store(
    table: SegmentTable,
    videos: Sequence[tuple[FileState, EmbeddedFile]],
    known: Mapping[str, FileState],
) -> None:
    table.replace([(file, video) for file, video in videos if video.spans], known)
    # A file that became unreadable no longer holds what was indexed of it.
    unreadable = {file.path for file, video in videos if not video.spans}
    table.remove(unreadable & known.keys())


def _missing(folder: str, num_videos: int) -> FileProblem:
    return FileProblem(
        path=Path(folder),
        reason=f"has no videos now; the index keeps {counted(num_videos, 'video')} of it, in case "
        f"a disk is not mounted ('mvadapter remove' removes what is gone for good)",
    )


def _with_advice(problem: FileProblem, record: IndexRecord) -> FileProblem:
    """Add the way out to what is reported each time."""
    if str(problem.path) not in record.sources or not is_missing(problem.path):
        return problem
    return replace(problem, reason=f"{problem.reason}; 'mvadapter remove' drops it from the index")


def _refuse_occupied(folder: Path, *, is_locked: bool = False) -> None:
    if not folder.exists():
        return
    if not folder.is_dir():
        raise IndexFolderError(f"{folder}: is a file; choose a folder for the index")
    names = finished_names(folder)
    if RECORD_FILE in names:
        if not is_locked:
            # "Another process is writing" is the better answer where it is true.
            with write_lock(folder):
                pass
        raise IndexFolderError(f"{folder}: is already an index; open it, or choose another folder")
    # An interrupted `create_index` leaves these.
    if others := sorted(names - {ADAPTERS_FOLDER, VECTORS_FOLDER, LOCK_FILE}):
        raise IndexFolderError(
            f"{folder}: contains other files ({others[0]!r}) and is not an index; "
            f"choose an empty folder"
        )
