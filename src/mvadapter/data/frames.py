"""A record in, the frames that a model sees of it out."""

from dataclasses import dataclass
from typing import TypeAlias

from jaxtyping import UInt8
from torch import Tensor

from mvadapter.backbone.recipes import Resize
from mvadapter.data.records import Record
from mvadapter.settings import MAX_POSITIONS, check_range
from mvadapter.video.decode import read_segment
from mvadapter.video.preprocess import resize
from mvadapter.video.sample import Sampling

FrameBytes: TypeAlias = UInt8[Tensor, "_ channel height width"]
"""The frames of one video at the model's size; videos may have different numbers of them."""

_WAITING_BYTES = 256 * 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameSettings:
    """Which frames of a segment are taken, and how they are resized."""

    num_frames: int
    """Frames per segment, fewer for a short one."""
    sampling: Sampling
    """How frames are chosen."""
    resize: Resize
    """How they are resized."""

    def __post_init__(self) -> None:
        check_range("num_frames", self.num_frames, 1, MAX_POSITIONS)

    def max_waiting(self, most: int) -> int:
        """How many segments may be in memory at once, decoded and not yet used.

        Args:
            most: As many as are useful.
        """
        num_bytes = self.num_frames * 3 * self.resize.size_px**2
        return max(1, min(most, _WAITING_BYTES // num_bytes))

    def decode(self, record: Record) -> FrameBytes:
        """Decode the frames of a record and resize them for the model.

        Raises:
            VideoError: The video gives none.
        """
        segment = read_segment(
            record.video,
            self.num_frames,
            record.start_seconds,
            record.end_seconds,
            sampling=self.sampling,
        )
        return resize(segment.images, self.resize)
