"""A folder in, a search index out: videos are added to it and moments found in it.

The folder needs nothing from outside but the CLIP, and the videos where they lay::

    index.json             what was indexed, with which CLIP and which adapters
    adapters/<name>/       a copy of each adapter
    vectors/<name>.lance/  the segments of all videos as that adapter sees them
    lock                   held by the process that is writing
"""

import hashlib
import os
import re
import shutil
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass, field, replace
from os import PathLike
from pathlib import Path
from typing import Any, TypeAlias

import torch

from mvadapter.adapters.build import build_adapter
from mvadapter.adapters.methods.frozen import FrozenConfig
from mvadapter.backbone.clip import Backbone
from mvadapter.encoder.checkpoint import (
    WEIGHTS_FILE,
    AdapterRecord,
    load_adapter,
    read_record,
    save_adapter,
)
from mvadapter.encoder.encode import Encoder
from mvadapter.errors import ConfigError, IndexFolderError, UnknownNameError
from mvadapter.files import locked
from mvadapter.index.build import EmbeddedVideo, embed_files
from mvadapter.index.find import AnyPath, FileState, Problem, absolute, find_videos
from mvadapter.index.moments import Group, Moment, Segments, find_moments
from mvadapter.index.plan import Plan, plan_changes, still_matters
from mvadapter.index.record import RECORD_FILE, IndexRecord, read_index_record
from mvadapter.index.table import SegmentTable

OnProgress: TypeAlias = Callable[[int, int, str], None]
"""Called with how many videos are done, how many there are, and the name of one just done."""

_ADAPTERS, _VECTORS, _LOCK = "adapters", "vectors", "lock"
# Of an adapter, which becomes that of a folder and of a table.
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class AddReport:
    """What `VideoIndex.add` has done, in numbers of videos."""

    num_added: int
    num_changed: int
    """Lay there before with another content."""
    num_unchanged: int
    num_moved: int
    """Lay elsewhere before, with the same name, size and time; not embedded again."""
    num_removed: int
    """Lie there no longer."""
    skipped: tuple[Problem, ...]
    """What could not be indexed, and why; the next `add` tries it again."""
    incomplete: tuple[Problem, ...]
    """Videos of which some segments could not be read, and why; their others were indexed."""


class VideoIndex:
    """A folder of embedded segments of videos.

    It holds a vector space for each adapter that it was given, all for the same CLIP, and works in
    one of them at a time. Any number of processes may search it while one adds to it.

    Make one with `VideoIndex.create` or `VideoIndex.open`.
    """

    def __init__(self, folder: Path, record: IndexRecord, name: str, backbone: Backbone) -> None:
        self.folder = folder
        self._record = record
        self._enter(name, backbone)

    @classmethod
    def create(
        cls,
        folder: AnyPath,
        encoder: Encoder,
        *,
        name: str | None = None,
        max_segment_seconds: float = 8.0,
    ) -> "VideoIndex":
        """Make an index without videos.

        Args:
            folder: Where to; it must be absent or empty.
            encoder: What shall embed videos and queries.
            name: What to call its adapter; None is the name of its method.
            max_segment_seconds: Videos are cut into as few equal segments as possible, none longer.

        Raises:
            ConfigError: A setting has a value it cannot have.
            IndexFolderError: The folder is an index already, or holds something else.
            OSError: The folder cannot be written to.
        """
        folder = absolute(folder)
        record = IndexRecord(
            backbone_name=_lasting_name(encoder.backbone.name),
            backbone_fingerprint=encoder.backbone.fingerprint,
            max_segment_seconds=float(max_segment_seconds),
        )
        name = _checked_name(name or encoder.adapter.config.name)
        _refuse_occupied(folder)
        folder.mkdir(parents=True, exist_ok=True)
        with _writing(folder):
            _refuse_occupied(folder)
            record = _store_adapter(folder, record, name, encoder)
        return cls(folder, record, name, encoder.backbone)

    @classmethod
    def open(
        cls,
        folder: AnyPath,
        *,
        adapter: str | None = None,
        backbone: Backbone | None = None,
        device: str | torch.device = "cpu",
    ) -> "VideoIndex":
        """Open an index; a folder that is absent or empty becomes one.

        Args:
            folder: Where it lies. A new one is for the CLIP as it is, ``backbone`` or "tiny"; `use`
                gives it an adapter, and `create` makes one with other settings.
            adapter: Which of its adapters to use; None is the one that came last.
            backbone: Its CLIP, where it is in memory already; None loads the one it names.
            device: Where to load it.

        Raises:
            UnknownNameError: It has no such adapter.
            IndexFolderError: There is no index, it is damaged, or it was made with another CLIP.
            AdapterFolderError: Its copy of the adapter is damaged.
            BackboneError: The CLIP that it names cannot be loaded.
        """
        folder = absolute(folder)
        if adapter is None and not any(folder.glob("*")) and not folder.is_file():
            backbone = backbone or Backbone.load("tiny", device=device)
            return cls.create(folder, Encoder(backbone, build_adapter(FrozenConfig(), backbone)))
        record = read_index_record(folder)
        name = adapter or list(record.adapters)[-1]
        if name not in record.adapters:
            raise UnknownNameError("adapter", name, record.adapters)
        if backbone is None:
            backbone = Backbone.load(record.backbone_name, device=device)
        _refuse_other_clip(folder, record, backbone.name, backbone.fingerprint)
        return cls(folder, record, name, backbone)

    @property
    def adapters(self) -> tuple[str, ...]:
        """The names of the adapters whose vectors it holds, in the order in which they came."""
        return tuple(self._record.adapters)

    @property
    def adapter(self) -> str:
        """The name of the one in use."""
        return self._name

    @property
    def encoder(self) -> Encoder:
        """What embeds videos and queries."""
        return self._encoder

    @property
    def max_segment_seconds(self) -> float:
        """The longest that a segment lasts."""
        return self._record.max_segment_seconds

    @property
    def num_videos(self) -> int:
        """How many videos it holds as the adapter in use sees them."""
        return len(self._table.files())

    @property
    def num_segments(self) -> int:
        """How many segments these have."""
        return len(self._table)

    def segments(self) -> Segments:
        """All segments and their embeddings; kept in memory until the index changes."""
        return self._table.segments()

    def use(self, adapter: AnyPath | Encoder, *, name: str | None = None) -> "VideoIndex":
        """Work with another adapter from now on.

        One that is new gets a vector space of its own, without videos until the next `add`, which
        without arguments embeds all that were added before.

        Args:
            adapter: The name of one that the index holds, an adapter folder, or an encoder.
            name: What to call one that is new; None is `name_of_folder`, or the method's name.

        Returns:
            This index.

        Raises:
            UnknownNameError: It is neither a name of this index nor a folder.
            IndexFolderError: It is for another CLIP, or the name stands for another adapter.
            AdapterFolderError: The folder holds no whole adapter.
        """
        backbone = self._encoder.backbone
        self._record = read_index_record(self.folder)
        if isinstance(adapter, Encoder):
            backbone = adapter.backbone
            name = _checked_name(name or adapter.adapter.config.name)
            self._store(name, adapter)
        elif (Path(adapter) / WEIGHTS_FILE).is_file():
            # Before the names of the index: a folder of such a name may have been trained anew.
            saved = read_record(Path(adapter))
            clip = saved.base_model_name_or_path, saved.base_model_fingerprint
            _refuse_other_clip(self.folder, self._record, *clip)
            name = _checked_name(name or name_of_folder(adapter))
            self._store(name, load_adapter(Path(adapter), backbone), saved.training)
        elif str(adapter) in self._record.adapters:
            name = str(adapter)
        else:
            raise UnknownNameError("adapter", str(adapter), self._record.adapters)
        self._enter(name, backbone)
        return self

    def add(
        self,
        paths: AnyPath | Iterable[AnyPath] | None = None,
        *,
        on_progress: OnProgress | None = None,
    ) -> AddReport:
        """Bring the index up to date with files and folders.

        Videos that did not change since they were indexed cost nothing; those that are gone from a
        folder leave the index. Each video enters it whole, in one step: after a crash at any moment
        another `add` only does what is missing. A file that cannot be indexed never ends it.

        A folder in which no video is left keeps its entries, for its disk may not be mounted.

        Args:
            paths: Video files, and folders that are searched for videos; None is all that were
                ever added.
            on_progress: What to call as videos are done.

        Raises:
            IndexFolderError: Another process is writing to this index.
            OSError: The index cannot be written to.
        """
        if isinstance(paths, str | PathLike):
            paths = [paths]
        with _writing(self.folder):
            # Under the lock, for another process may have added something since.
            self._record = read_index_record(self.folder)
            sources = self._record.sources
            if paths is not None:
                sources = tuple(dict.fromkeys(str(absolute(path)) for path in paths))
            found, known = find_videos(sources), self._table.files()
            plan = plan_changes(sources, found, known)
            self._remember(sources, known.keys() - plan.leaving)
            self._table.move(plan.moved)
            self._table.remove(plan.removed)
            outcome = self._embed(plan, known, on_progress)
            self._table.optimise()
        return AddReport(
            num_added=outcome.num_added,
            num_changed=outcome.num_changed,
            num_unchanged=plan.num_unchanged,
            num_moved=len(plan.moved),
            num_removed=len(plan.removed),
            skipped=tuple(sorted((*plan.problems, *outcome.skipped))),
            incomplete=tuple(sorted(outcome.incomplete)),
        )

    def search(
        self,
        query: str,
        top: int = 10,
        *,
        group: Group = "moment",
        min_score: float | None = None,
    ) -> list[Moment]:
        """Find the moments that a query describes, comparing it with every segment.

        Args:
            query: What to look for, in words.
            top: How many moments to return at most.
            group: List every moment, or of each video only its best.
            min_score: Leave out moments that score less; None leaves out nothing.

        Returns:
            The best first; see `find_moments` for where a moment begins and ends.

        Raises:
            ConfigError: The query is empty, or ``top`` is below 1.
            BackboneError: The CLIP has no tokenizer.
        """
        if not query.strip():
            raise ConfigError("the query is empty; say in words what to look for")
        vector = self._encoder.embed_captions([query])[0].float().cpu().numpy()
        segments = self.segments()
        return find_moments(
            segments, segments.vectors @ vector, top=top, group=group, min_score=min_score
        )

    def _enter(self, name: str, backbone: Backbone) -> None:
        folder = self.folder / _ADAPTERS / name
        if read_record(folder).weights_sha256 != self._record.adapters[name]:
            raise IndexFolderError(
                f"{folder}: these are not the weights that the videos were embedded with; "
                f"copy the index again, or build a new one"
            )
        encoder = load_adapter(folder, backbone)
        self._table = SegmentTable(self.folder / _VECTORS, name, backbone.dim)
        self._name, self._encoder = name, encoder

    def _store(
        self, name: str, encoder: Encoder, training: Mapping[str, Any] | None = None
    ) -> None:
        with _writing(self.folder):
            self._record = read_index_record(self.folder)
            self._record = _store_adapter(self.folder, self._record, name, encoder, training)

    def _remember(self, sources: Iterable[str], indexed: Iterable[str]) -> None:
        """Write down what was added, leaving out what is gone with all its videos."""
        every = {*self._record.sources, *sources}
        kept = tuple(sorted(source for source in every if still_matters(source, indexed)))
        self._record = replace(self._record, sources=kept)
        self._record.write(self.folder)

    def _embed(
        self, plan: Plan, known: Mapping[str, FileState], on_progress: OnProgress | None
    ) -> "_Outcome":
        outcome = _Outcome(known=known)
        seconds = self._record.max_segment_seconds
        with closing(
            embed_files(plan.to_embed, self._encoder, max_segment_seconds=seconds)
        ) as batches:
            for videos in batches:
                self._table.replace([video for video in videos if video.spans], known)
                # Of a file that became unreadable, the index would tell what is no longer in it.
                unreadable = {video.file.path for video in videos if not video.spans}
                self._table.remove(unreadable & known.keys())
                outcome.count(videos)
                if on_progress is not None and videos:
                    name = Path(videos[-1].file.path).name
                    on_progress(outcome.num_done, len(plan.to_embed), name)
        return outcome


@dataclass(slots=True, kw_only=True)
class _Outcome:
    """What became of the videos so far."""

    known: Mapping[str, FileState]
    num_done: int = 0
    num_added: int = 0
    num_changed: int = 0
    skipped: list[Problem] = field(default_factory=list)
    incomplete: list[Problem] = field(default_factory=list)

    def count(self, videos: Iterable[EmbeddedVideo]) -> None:
        for video in videos:
            self.num_done += 1
            if video.spans and video.file.path in self.known:
                self.num_changed += 1
            elif video.spans:
                self.num_added += 1
            if video.problem is not None:
                problems = self.incomplete if video.spans else self.skipped
                problems.append((Path(video.file.path), video.problem))


def _writing(folder: Path) -> AbstractContextManager[None]:
    """Keep other processes from writing to an index."""
    refusal = f"{folder}: another process is writing to this index; try again when it is done"
    return locked(folder / _LOCK, IndexFolderError(refusal))


def _store_adapter(
    folder: Path,
    record: IndexRecord,
    name: str,
    encoder: Encoder,
    training: Mapping[str, Any] | None = None,
) -> IndexRecord:
    """Copy an adapter into an index and make its empty table, unless it is there already.

    Raises:
        IndexFolderError: It is for another CLIP, or the name stands for another adapter.
    """
    backbone = encoder.backbone
    _refuse_other_clip(folder, record, backbone.name, backbone.fingerprint)
    place = folder / _ADAPTERS / name
    aside = place.with_name(f".{name}.part")
    try:
        saved = save_adapter(encoder, aside, training)
        if name in record.adapters:
            if _essence(read_record(place)) != _essence(saved):
                raise IndexFolderError(
                    f"{folder}: {name!r} stands for another adapter in this index (weights "
                    f"{record.adapters[name][:12]}, not {saved.weights_sha256[:12]}); "
                    f"give this one, or its folder, another name"
                )
            return record
        # What may be here was left by a process that did not come to the end of this function.
        shutil.rmtree(place, ignore_errors=True)
        aside.rename(place)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    SegmentTable.create(folder / _VECTORS, name, backbone.dim)
    record = replace(record, adapters={**record.adapters, name: saved.weights_sha256})
    record.write(folder)
    return record


def _essence(saved: AdapterRecord) -> tuple[object, ...]:
    """What makes two adapters embed alike."""
    return saved.method, saved.settings, saved.inputs, saved.weights_sha256


def _refuse_other_clip(folder: Path, record: IndexRecord, name: str, fingerprint: str) -> None:
    if fingerprint != record.backbone_fingerprint:
        raise IndexFolderError(
            f"{folder}: made with CLIP {record.backbone_name!r} (weights "
            f"{record.backbone_fingerprint[:12]}), not {name!r} (weights {fingerprint[:12]}); "
            f"use that CLIP, or build a new index for this one"
        )


def _refuse_occupied(folder: Path) -> None:
    if not folder.exists():
        return
    if not folder.is_dir():
        raise IndexFolderError(f"{folder}: is a file; name a folder for the index")
    names = {entry.name for entry in folder.iterdir()}
    if RECORD_FILE in names:
        raise IndexFolderError(f"{folder}: is an index already; open it, or name another folder")
    # These an interrupted `create` leaves behind.
    if others := sorted(names - {_ADAPTERS, _VECTORS, _LOCK}):
        raise IndexFolderError(
            f"{folder}: holds other things ({others[0]!r}) and is no index; name an empty folder"
        )


def name_of_folder(adapter: AnyPath) -> str:
    """Find what to call an adapter folder in an index: as it is called, where that may be.

    Otherwise it is what is left without other characters, and a mark that no other name leads to.
    """
    name = absolute(adapter).name
    if _NAME.fullmatch(name):
        return name
    ascii_name = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    readable = re.sub(r"[^A-Za-z0-9_.-]+", "_", ascii_name).lstrip(".-") or "adapter"
    return f"{readable}-{hashlib.sha256(os.fsencode(name)).hexdigest()[:6]}"


def _checked_name(name: str) -> str:
    """Refuse names that cannot stand for a file and a table.

    Raises:
        ConfigError: The name has other characters, or begins with a dot or a dash.
    """
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f"adapter name {name!r} may hold letters, digits, '_', '-' and '.' and begin with one "
            f"of the first three; give another name"
        )
    return name


def _lasting_name(name: str) -> str:
    """A backbone's name that means the same in every working folder."""
    return str(absolute(name)) if name != "tiny" and Path(name).is_dir() else name
