"""What every dataset yields: a segment of a video with its captions."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Int


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A segment of a video, or a complete video, with its captions."""

    id: str
    """Unique in its split."""
    video: Path
    """The file."""
    captions: tuple[str, ...]
    """At least one."""
    start_seconds: float | None = None
    """Start of the segment; None is the start of the video."""
    end_seconds: float | None = None
    """End of the segment; None is the end of the video."""
    split: str = "train"
    """The part of the dataset it belongs to, such as "train" or "test"."""
    group: str = ""
    """Records of one group train in one batch, so that each is a negative of the others; empty for
    a single record."""

    @property
    def unit(self) -> str:
        """What of a dataset belongs together: its group, or else its video with all segments."""
        return f"group {self.group}" if self.group else f"video {self.video}"


def number_units(records: Sequence[Record]) -> Int[np.ndarray, " record"]:
    """Number the records; those that belong together share a number."""
    return np.unique([record.unit for record in records], return_inverse=True)[1]


def fingerprint(records: Sequence[Record]) -> str:
    """A hash of the records: ids, file names, spans, splits and captions, in order."""
    digest = hashlib.sha256()
    for record in records:
        row = (
            record.id, record.video.name, record.start_seconds, record.end_seconds,
            record.split, record.group, record.captions,
        )  # fmt: skip
        digest.update(json.dumps(row).encode())
    return digest.hexdigest()
