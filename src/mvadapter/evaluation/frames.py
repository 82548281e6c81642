"""An encoder and records in, a source of the frames that it wants of them out."""

import logging
from collections.abc import Sequence
from pathlib import Path

from mvadapter.data.batches import FrameLoader, FrameSettings
from mvadapter.data.frame_store import FrameStore, stored_folders
from mvadapter.data.records import Record
from mvadapter.encoder.encode import Encoder

log = logging.getLogger(__name__)


def open_frames(
    encoder: Encoder,
    records: Sequence[Record],
    table: Path | None = None,
    *,
    num_threads: int = 2,
    cache_bytes: int = 0,
) -> FrameLoader:
    """Open the frames of records: stored ones where the table has them, else decoded.

    Args:
        encoder: What the frames are for.
        records: The records, which are asked for by position.
        table: Where the records come from; beside it, ``data prepare --frames`` stores frames.
        num_threads: How many records are read at once.
        cache_bytes: Frames up to this size stay in memory for the next time.

    Raises:
        DataError: The index of the stored frames is damaged.
    """
    settings = FrameSettings(
        num_frames=encoder.inputs.num_frames,
        sampling=encoder.inputs.sampling,
        image_px=encoder.backbone.vision.image_px,
    )
    read = settings.decode
    folders = {} if table is None else stored_folders(table)
    if settings in folders:
        read = FrameStore(folders[settings], settings).frames
    elif folders:
        log.warning(
            "%s: frames are stored for other settings (%s), so the videos are decoded; mvadapter "
            "data prepare stores these too with --frames --num-frames %d --sampling %s "
            "--image-px %d",
            table,
            ", ".join(folder.name for folder in folders.values()),
            settings.num_frames,
            settings.sampling,
            settings.image_px,
        )
    return FrameLoader(records, read, num_threads=num_threads, cache_bytes=cache_bytes)
