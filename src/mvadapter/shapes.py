"""Names of tensor axes, defined once.

A leading word names an axis; two arguments of one function that share a word share its length.
Masks are True where something is real.
"""

from typing import TypeAlias

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

FrameImages: TypeAlias = UInt8[np.ndarray, "frame height width channel"]
FrameSeconds: TypeAlias = Float[np.ndarray, " frame"]

VideoPixels: TypeAlias = Float[Tensor, "video frame channel height width"]
FrameMask: TypeAlias = Bool[Tensor, "video frame"]
"""True where the frame is real, False where it pads a shorter video."""

TokenIds: TypeAlias = Int[Tensor, "caption token"]
TokenMask: TypeAlias = Bool[Tensor, "caption token"]
"""True for start, words and end of a caption, False where it is padded."""

Tokens: TypeAlias = Float[Tensor, "image_or_caption token width"]
"""The residual stream of one tower: a row per frame (vision) or per caption (text)."""

FrameEmbeddings: TypeAlias = Float[Tensor, "video frame dim"]
VideoEmbeddings: TypeAlias = Float[Tensor, "video dim"]
CaptionEmbeddings: TypeAlias = Float[Tensor, "caption dim"]

Scores: TypeAlias = Float[Tensor, "caption video"]
CaptionVideo: TypeAlias = Int[Tensor, " caption"]
"""For each caption, the index of the video it belongs to."""
