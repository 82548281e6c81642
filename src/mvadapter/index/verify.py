"""An index in, what of it is damaged out; no CLIP is needed for it."""

from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from mvadapter.encoder.adapter_folder import WEIGHTS_FILE, read_record, read_tensors
from mvadapter.errors import MvAdapterError
from mvadapter.index.damage import EMBED_AGAIN
from mvadapter.index.find import FileProblem
from mvadapter.index.record import (
    ADAPTERS_FOLDER,
    RECORD_FILE,
    VECTORS_FOLDER,
    IndexRecord,
    ViewRecord,
    read_index_record,
)
from mvadapter.index.repair import interrupted_repair
from mvadapter.index.segment_table import SegmentTable
from mvadapter.index.totals import DamagedTotalsError, read_totals


@dataclass(slots=True, kw_only=True)
class VerifyReport:
    """What `VideoIndex.verify` has found."""

    num_files: int = 0
    """Files that were compared with their digests; the rows of vectors are counted below."""
    num_segments: int = 0
    """Rows that were compared with their digests, in all views."""
    damaged: list[FileProblem] = field(default_factory=list)
    """Files and videos that are not as they were written, and what to do."""
    unverified: list[FileProblem] = field(default_factory=list)
    """What has no digest to compare it with, and why."""

    @property
    def is_sound(self) -> bool:
        """Whether nothing is damaged."""
        return not self.damaged

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self) | {
            "damaged": [problem.to_dict() for problem in self.damaged],
            "unverified": [problem.to_dict() for problem in self.unverified],
        }


def verify_index(folder: Path) -> VerifyReport:
    """Compare all of an index with the digests that were written with it.

    Raises:
        IndexFolderError: There is no index, or its record is damaged.
    """
    record = read_index_record(folder)
    report = VerifyReport()
    if record.backbone_parts:
        report.num_files += 1
    else:
        _note(report.unverified, folder / RECORD_FILE, "an earlier version wrote it")
    for name in record.adapters:
        _verify_adapter(folder, record, name, report)
        _verify_table(folder, name, report)
    return report


def _verify_adapter(folder: Path, record: IndexRecord, name: str, report: VerifyReport) -> None:
    place = folder / ADAPTERS_FOLDER / name
    try:
        saved = ViewRecord.of(read_record(place))
        read_tensors(place / WEIGHTS_FILE)
    except MvAdapterError as error:
        _note(report.damaged, place, str(error))
        return
    # The weights and the settings.
    report.num_files += 2 if name in record.views else 1
    if name not in record.views:
        _note(report.unverified, place, "an earlier version wrote it: its settings have no digest")
    elif other := record.views[name].difference(saved):
        _note(report.damaged, place, f"is not the adapter of these vectors ({other})")


def _verify_table(folder: Path, name: str, report: VerifyReport) -> None:
    tables = folder / VECTORS_FOLDER
    place = tables / f"{name}.lance"
    if problem := interrupted_repair(tables, name):
        _note(report.damaged, place, f"{problem}; {EMBED_AGAIN}")
    try:
        found = SegmentTable(tables, name).read()
    except MvAdapterError as error:
        _note(report.damaged, place, str(error))
        return
    with suppress(DamagedTotalsError):
        totals = read_totals(tables, name)
        report.num_files += 0 if totals is None else 1 + len(totals.lists_sha256)
    report.num_segments += len(found.rows)
    for path in found.check.damaged:
        reason = f"its vectors in the view {name!r} are damaged; 'mvadapter index' embeds it again"
        _note(report.damaged, Path(path), reason)
    if found.is_complete is False and not found.check.damaged:
        _note(report.damaged, place, f"{found.problem}; {EMBED_AGAIN}")
    elif not found.check.has_digests:
        reason = "an earlier version wrote it; only the lengths of vectors were checked, and the "
        _note(report.unverified, place, reason + "next 'mvadapter index' adds digests")
    elif found.is_complete is None:
        reason = "the last writer was interrupted, so that lost rows would not be noticed; "
        _note(report.unverified, place, reason + "'mvadapter index' completes it")


def _note(problems: list[FileProblem], path: Path, reason: str) -> None:
    problems.append(FileProblem(path=path, reason=reason.removeprefix(f"{path}: ")))
