"""A folder in, a search index out: add videos to it, open a view of it, search the view."""

from collections.abc import Callable, Iterable
from pathlib import Path

import torch

from mvadapter.backbone.clip import Backbone
from mvadapter.backbone.precision import PrecisionChoice
from mvadapter.embedding.files import SEGMENT_SECONDS
from mvadapter.encoder.adapter_folder import CONFIG_FILE, read_record
from mvadapter.encoder.checkpoint import load_adapter
from mvadapter.encoder.encode import Encoder
from mvadapter.index.find import AnyPath, absolute
from mvadapter.index.reader import IndexView
from mvadapter.index.record import (
    ADAPTERS_FOLDER,
    RECORD_FILE,
    VECTORS_FOLDER,
    IndexRecord,
    read_index_record,
)
from mvadapter.index.remove import RemoveReport, remove_videos
from mvadapter.index.segment_table import SegmentTable
from mvadapter.index.verify import VerifyReport, verify_index
from mvadapter.index.views import (
    load_view_encoder,
    name_of_folder,
    refuse_other_clip,
    store_view,
)
from mvadapter.index.writer import AddReport, add_videos, create_index, write_lock
from mvadapter.isolation import Isolation


class VideoIndex:
    """A folder of embedded segments of videos.

    It has one view for each adapter that was added to it, all of the same CLIP. What is on disk
    counts: the object keeps only encoders and views that are still those on disk, and any number of
    processes may search the index while one adds to it.

    Make one with `VideoIndex.create` or `VideoIndex.open`.
    """

    def __init__(self, folder: Path, backbone: Backbone) -> None:
        self.folder = folder
        self.backbone = backbone
        # Each with what on disk it was read from.
        self._encoders: dict[str, tuple[int, Encoder]] = {}
        self._latest_views: dict[str, tuple[tuple[int, int], IndexView]] = {}

    @classmethod
    def create(
        cls,
        folder: AnyPath,
        encoder: Encoder,
        *,
        name: str | None = None,
        max_segment_seconds: float = SEGMENT_SECONDS,
    ) -> "VideoIndex":
        """Make an index without videos.

        Args:
            folder: The folder to make; it must be absent or empty.
            encoder: What embeds videos and queries in its first view.
            name: The name of that view; None is the name of the adapter's method.
            max_segment_seconds: Videos are cut into as few equal segments as possible, none longer.

        Raises:
            ConfigError: A setting has a value it cannot have.
            IndexFolderError: The folder is an index already, or holds something else.
            OSError: The folder cannot be written to.
        """
        folder = absolute(folder)
        name = name or encoder.adapter.config.name
        create_index(folder, encoder, name, float(max_segment_seconds))
        return cls(folder, encoder.backbone)

    @classmethod
    def open(
        cls,
        folder: AnyPath,
        *,
        backbone: Backbone | None = None,
        device: str | torch.device = "cpu",
    ) -> "VideoIndex":
        """Open an index that exists.

        Args:
            folder: The folder of the index.
            backbone: Its CLIP, where it is in memory already; None loads it.
            device: The torch device for loading it.

        Raises:
            IndexFolderError: There is no index, it is damaged, or it was made with another CLIP.
            BackboneError: The CLIP of the index cannot be loaded.
        """
        folder = absolute(folder)
        record = read_index_record(folder)
        if backbone is None:
            backbone = Backbone.load(record.backbone_name, device=device)
        refuse_other_clip(
            folder, record, backbone.name, backbone.fingerprint, backbone.fingerprint_parts
        )
        return cls(folder, backbone)

    @property
    def views(self) -> tuple[str, ...]:
        """The names of its views, oldest first."""
        return tuple(read_index_record(self.folder).adapters)

    @property
    def max_segment_seconds(self) -> float:
        """The longest that a segment lasts."""
        return read_index_record(self.folder).max_segment_seconds

    def view(self, name: str | None = None) -> IndexView:
        """Read a view into memory, to search it; the same object as before if nothing has changed.

        Args:
            name: The view; None is the newest.

        Raises:
            UnknownNameError: The index has no such view.
            IndexFolderError: The index is damaged.
            AdapterFolderError: Its copy of the adapter is damaged.
        """
        record = read_index_record(self.folder)
        name = record.view_name(name)
        encoder = self._encoder(record, name)
        table = SegmentTable(self.folder / VECTORS_FOLDER, name, self.backbone.dim)
        # Before the segments: if both change in between, the next call reads them again.
        state = _written_at(self.folder / RECORD_FILE), table.version
        known_state, view = self._latest_views.get(name, (None, None))
        if view is None or state != known_state:
            view = IndexView(name=name, encoder=encoder, segments=table.segments())
            self._latest_views[name] = state, view
        return view

    def add_view(self, adapter: Encoder | AnyPath, *, name: str | None = None) -> str:
        """Add the view of another adapter; `add` then embeds the videos for it.

        Without arguments, that `add` embeds all videos that were added before. An adapter that the
        index has under this name already is not added again.

        Args:
            adapter: An encoder, or an adapter folder, which is copied.
            name: The name of the view; None is `name_of_folder`, or the name of the method.

        Returns:
            The name of the view.

        Raises:
            ConfigError: A view cannot have this name.
            IndexFolderError: The adapter is for another CLIP, or the name belongs to another one.
            AdapterFolderError: The folder holds no complete adapter.
            OSError: The index cannot be written to.
        """
        training = None
        if isinstance(adapter, Encoder):
            encoder, name = adapter, name or adapter.adapter.config.name
        else:
            saved = read_record(Path(adapter))
            refuse_other_clip(
                self.folder,
                read_index_record(self.folder),
                saved.base_model_name_or_path,
                saved.base_model_fingerprint,
                saved.base_model_parts,
            )
            encoder = load_adapter(Path(adapter), self.backbone)
            name, training = name or name_of_folder(adapter), saved.training
        with write_lock(self.folder):
            # Under the lock, because another process may have added a view.
            store_view(self.folder, read_index_record(self.folder), name, encoder, training)
        return name

    def add(
        self,
        paths: AnyPath | Iterable[AnyPath] | None = None,
        *,
        view: str | None = None,
        precision: PrecisionChoice = "auto",
        isolation: Isolation | None = None,
        on_progress: Callable[[int, int, str], object] | None = None,
    ) -> AddReport:
        """Bring a view up to date with files and folders.

        Videos that did not change since they were indexed cost nothing; those that were deleted
        from a folder that still holds others leave the index. Each video enters it complete, in one
        step: after a crash at any moment, another `add` does only what is missing. A file that
        cannot be indexed is reported, and the others are indexed. Damaged entries are embedded
        again.

        Videos of a folder that is gone, or in which no video is left, stay and are reported as
        missing, because its disk may not be mounted; `remove` removes them.

        Args:
            paths: Video files, and folders that are searched for videos; None is all that were
                ever added.
            view: The view to add to; None is the newest.
            precision: Of the arithmetic; ``auto`` asks the processor.
            isolation: What a process may take that decodes videos; see `embed_files`.
            on_progress: Called as videos are done, with how many are done, how many there are, and
                the name of one just done.

        Raises:
            UnknownNameError: The index has no such view.
            IndexFolderError: Another process is writing to this index, or it is damaged.
            OSError: The index cannot be written to.
        """
        record = read_index_record(self.folder)
        name = record.view_name(view)
        encoder = self._encoder(record, name)
        return add_videos(self.folder, name, encoder, paths, precision, isolation, on_progress)

    def remove(self, paths: AnyPath | Iterable[AnyPath]) -> RemoveReport:
        """Remove videos from all views, whether their files are there or not.

        A folder that was added is forgotten with its videos; a video that is in a folder that was
        added, and is still there, comes back with the next `add`.

        Args:
            paths: Video files, and folders whose videos are removed.

        Raises:
            DataError: Nothing of the index is at one of the paths.
            IndexFolderError: Another process is writing to this index, or it is damaged.
            StorageError: The index cannot be written to.
        """
        return remove_videos(self.folder, paths)

    def verify(self) -> VerifyReport:
        """Compare every file of the index with the digests that were written with it.

        What is damaged is reported and stays as it is; `add` embeds damaged videos again.

        Raises:
            IndexFolderError: There is no index any more, or its record is damaged.
        """
        return verify_index(self.folder)

    def _encoder(self, record: IndexRecord, name: str) -> Encoder:
        state = _written_at(self.folder / ADAPTERS_FOLDER / name / CONFIG_FILE)
        known_state, encoder = self._encoders.get(name, (None, None))
        if encoder is None or state != known_state:
            encoder = load_view_encoder(self.folder, record, name, self.backbone)
            self._encoders[name] = state, encoder
        return encoder


def _written_at(path: Path) -> int:
    """When a file was last written, in nanoseconds; 0 for a missing file."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0
