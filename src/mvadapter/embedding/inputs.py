"""What an encoder is given: how many frames and tokens, and what embeds them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from mvadapter.backbone.clip import Backbone
from mvadapter.data.frames import FrameSettings
from mvadapter.settings import MAX_POSITIONS, MIN_TOKENS, check_range
from mvadapter.shapes import CaptionEmbeddings, FrameMask, VideoEmbeddings, VideoPixels
from mvadapter.video.sample import Sampling

# Far more than any CLIP takes; a larger number is a mistake, or damage, and would fill the memory.


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """How videos and captions become what the encoder sees; saved with every adapter."""

    num_frames: int = 12
    """Frames per video; shorter videos are padded."""
    max_tokens: int = 32
    """Tokens per caption, start and end included; longer captions are cut."""
    sampling: Sampling = "uniform"
    """Which frames of a video are taken."""

    def __post_init__(self) -> None:
        check_range("num_frames", self.num_frames, 1, MAX_POSITIONS)
        check_range("max_tokens", self.max_tokens, MIN_TOKENS, MAX_POSITIONS)


@runtime_checkable
class AnyEncoder(Protocol):
    """What the pipeline needs of an encoder."""

    backbone: Backbone
    inputs: Inputs

    def embed_videos(self, pixels: VideoPixels, frame_mask: FrameMask) -> VideoEmbeddings:
        """Embed every video as a vector of unit length."""
        ...

    def embed_captions(self, captions: str | Sequence[str]) -> CaptionEmbeddings:
        """Embed every caption as a vector of unit length."""
        ...


def frame_settings(encoder: AnyEncoder) -> FrameSettings:
    """Which frames an encoder takes of a segment, and how its CLIP wants them resized."""
    return FrameSettings(
        num_frames=encoder.inputs.num_frames,
        sampling=encoder.inputs.sampling,
        resize=encoder.backbone.pixels.resize,
    )
