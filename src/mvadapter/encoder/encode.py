"""Videos, pictures and captions in, embeddings out."""

import math
from collections import ChainMap
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, TypeAlias, cast

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from PIL import Image, ImageOps
from torch import Tensor, nn

from mvadapter.adapters.base import Adapter
from mvadapter.adapters.build import build_adapter
from mvadapter.adapters.methods.frozen import FrozenConfig
from mvadapter.backbone.clip import Backbone
from mvadapter.backbone.towers import run_text, run_vision
from mvadapter.data.records import Record
from mvadapter.embedding.batch import embed_batch
from mvadapter.embedding.inputs import Inputs
from mvadapter.embedding.records import EmbeddingOptions, embed_all_videos, open_frames
from mvadapter.encoder.adapter_folder import read_adapter
from mvadapter.errors import ConfigError
from mvadapter.shapes import (
    CaptionEmbeddings,
    FrameEmbeddings,
    FrameMask,
    TokenIds,
    TokenMask,
    VideoEmbeddings,
    VideoPixels,
)
from mvadapter.video.preprocess import resize

# What fits into memory beside the activations of a large CLIP.
_CAPTIONS_AT_ONCE = 256
_IMAGES_AT_ONCE = 16

AnyImage: TypeAlias = Image.Image | npt.NDArray[Any]
"""A Pillow image, or a uint8 array [height width channel] of red, green and blue."""


class Encoder:
    """One frozen CLIP and one adapter, side by side.

    The backbone is shared and never changed: a hundred encoders hold one CLIP in memory, threads
    may use different ones at once, and swapping an adapter is an assignment to ``adapter`` (for one
    that takes other frames or tokens, to ``inputs`` as well).

    Args:
        backbone: The frozen CLIP.
        adapter: What `build_adapter` made for it.
        inputs: Frames, tokens and sampling it is meant for; by default as many frames and tokens
            as the adapter has positions for.
        gradient_checkpointing: Keep only each block's input for the backward pass and compute the
            rest again: less memory for about a third more time.
    """

    def __init__(
        self,
        backbone: Backbone,
        adapter: Adapter,
        *,
        inputs: Inputs | None = None,
        gradient_checkpointing: bool = False,
    ) -> None:
        self.backbone = backbone
        self.adapter = adapter
        self.inputs = inputs or _widest_inputs(adapter)
        self.gradient_checkpointing = gradient_checkpointing

    @classmethod
    def load(
        cls,
        name_or_path: str | Path,
        adapter: str | Path | None = None,
        *,
        inputs: Inputs | None = None,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> "Encoder":
        """Load a CLIP, and an adapter folder beside it or none.

        Args:
            name_or_path: What `Backbone.load` takes.
            adapter: What `save_adapter` wrote; None is the frozen CLIP.
            inputs: Frames and tokens of the frozen CLIP; an adapter has its own.
            device: Torch device, such as "cpu" or "cuda".
            dtype: ``torch.float32`` or ``torch.bfloat16``.

        Raises:
            ConfigError: There are inputs beside an adapter.
            BackboneError: The CLIP cannot be loaded.
            AdapterFolderError: The adapter is missing, damaged, or made for another CLIP.
        """
        if adapter is not None and inputs is not None:
            raise ConfigError("an adapter has its own inputs; leave out inputs")
        backbone = Backbone.load(name_or_path, device=device, dtype=dtype)
        if adapter is None:
            return cls(backbone, build_adapter(FrozenConfig(), backbone), inputs=inputs)
        return read_encoder(Path(adapter), backbone)

    @property
    def temperature(self) -> float:
        """The factor on scores in the loss, exp(logit_scale)."""
        return float(self.log_temperature.detach().exp())

    @property
    def log_temperature(self) -> Float[Tensor, ""]:
        """logit_scale: frozen with CLIP, or this adapter's own where it trains all of CLIP."""
        own = self.adapter.backbone_weights.get("logit_scale")
        if own is None:
            return self.backbone.weights["logit_scale"]
        return own

    def clamp_temperature(self) -> None:
        """Keep a trained temperature at 100 or below, as CLIP's own training did.

        To be called after each step and each load (Radford et al. 2021, section 2.5).
        """
        own = self.adapter.backbone_weights.get("logit_scale")
        if own is not None:
            with torch.no_grad():
                own.clamp_(max=math.log(100))

    def trainable_parameters(self) -> dict[str, nn.Parameter]:
        """Full name -> parameter: exactly what training moves and a save writes."""
        return self.adapter.trainable_parameters()

    def embed_frames(self, pixels: VideoPixels, frame_mask: FrameMask) -> FrameEmbeddings:
        """Embed every frame: the projected class token, not normalised.

        A method with an `Adapter.after_projection` has worked on these features.

        Where ``frame_mask`` is False the result carries no meaning.

        Raises:
            ConfigError: The frames have the wrong size, or are more than the adapter takes.
        """
        frames = run_vision(
            pixels,
            frame_mask,
            self.backbone.vision,
            self._weights(),
            self.adapter.video_blocks,
            is_checkpointed=self.gradient_checkpointing and torch.is_grad_enabled(),
        )
        return self.adapter.after_projection(frames, frame_mask)

    def embed_videos(self, pixels: VideoPixels, frame_mask: FrameMask) -> VideoEmbeddings:
        """Embed every video: the mean of its real frames, as a vector of unit length.

        Raises:
            ConfigError: The frames have the wrong size, or are more than the adapter takes.
            ValueError: A video has no real frame.
        """
        return mean_pool(self.embed_frames(pixels, frame_mask), frame_mask)

    def embed_tokens(self, token_ids: TokenIds, token_mask: TokenMask) -> CaptionEmbeddings:
        """Embed every caption as a vector of unit length.

        Raises:
            ConfigError: The captions are longer than CLIP or the adapter takes.
        """
        features = run_text(
            token_ids,
            token_mask,
            self.backbone.text,
            self._weights(),
            self.adapter.text_blocks,
            is_checkpointed=self.gradient_checkpointing and torch.is_grad_enabled(),
        )
        return F.normalize(features.float(), dim=-1)

    def embed_captions(self, captions: str | Sequence[str]) -> CaptionEmbeddings:
        """Embed captions given in words, without gradients, as vectors of unit length.

        Args:
            captions: One caption, or several.

        Raises:
            BackboneError: The backbone has no tokenizer.
        """
        captions = [captions] if isinstance(captions, str) else captions
        device = self.backbone.device
        parts = [torch.zeros(0, self.backbone.dim, device=device)]
        for start in range(0, len(captions), _CAPTIONS_AT_ONCE):
            part = captions[start : start + _CAPTIONS_AT_ONCE]
            token_ids, mask = self.backbone.tokenizer.encode(part, self.inputs.max_tokens)
            with torch.inference_mode():
                parts.append(self.embed_tokens(token_ids.to(device), mask.to(device)))
        return torch.cat(parts)

    def embed_video_files(
        self, paths: str | PathLike[str] | Sequence[str | PathLike[str]]
    ) -> VideoEmbeddings:
        """Embed complete video files without gradients, each as one vector of unit length.

        `mvadapter.embed_files` embeds the segments of any number of files instead.

        Raises:
            VideoError: A file gives no frames.
        """
        paths = [paths] if isinstance(paths, str | PathLike) else paths
        records = [Record(id=str(path), video=Path(path), captions=()) for path in paths]
        frames = open_frames(self, records)
        return embed_all_videos(self, len(records), frames, EmbeddingOptions()).videos

    def embed_images(self, images: Sequence[AnyImage]) -> VideoEmbeddings:
        """Embed pictures without gradients: each is a video of one frame.

        Args:
            images: Pillow's images, turned upright as their EXIF data say, or uint8 arrays
                [height width channel] of red, green and blue.

        Raises:
            ConfigError: An array is not a picture.
        """
        how = self.backbone.pixels.resize
        parts = [torch.zeros(0, self.backbone.dim, device=self.backbone.device)]
        for start in range(0, len(images), _IMAGES_AT_ONCE):
            part = images[start : start + _IMAGES_AT_ONCE]
            frames = [resize(_array_of(image)[None], how) for image in part]
            parts.append(embed_batch(self, frames, "float32"))
        return torch.cat(parts)

    def _weights(self) -> Mapping[str, Tensor]:
        copies = self.adapter.backbone_weights
        if not copies:
            return self.backbone.weights
        # Cast on every run, so that the copies stay float32 beside a bfloat16 backbone.
        dtype = self.backbone.dtype
        cast_copies = {name: copy.to(dtype) for name, copy in copies.items()}
        return ChainMap(cast_copies, cast("dict[str, Tensor]", self.backbone.weights))


def read_encoder(folder: Path, backbone: Backbone) -> Encoder:
    """Put the adapter of a folder beside its CLIP.

    Raises:
        AdapterFolderError: The folder is missing, damaged, or made for another CLIP.
    """
    adapter, inputs = read_adapter(folder, backbone)
    encoder = Encoder(backbone, adapter, inputs=inputs)
    encoder.clamp_temperature()
    return encoder


def mean_pool(frames: FrameEmbeddings, mask: FrameMask) -> VideoEmbeddings:
    """Average the real frames of each video and scale the mean to unit length.

    Frames are scaled to unit length first (CLIP4Clip, Luo et al. 2021, section 3.2, and its code).

    Raises:
        ValueError: A video has no real frame.
    """
    # While a graph is traced there are no values to look at.
    if not torch.compiler.is_compiling() and not bool(mask.any(dim=1).all()):
        empty = int((~mask.any(dim=1)).nonzero()[0])
        raise ValueError(
            f"video {empty} of the batch has no real frame; its frame mask is all False"
        )
    weights = mask.unsqueeze(-1).float()
    frames = F.normalize(frames.float(), dim=-1)
    # Not a plain product: a padded frame may hold anything, and 0 * inf is not 0.
    total = torch.where(mask.unsqueeze(-1), frames, 0.0).sum(dim=1)
    return F.normalize(total / weights.sum(dim=1), dim=-1)


def _array_of(image: AnyImage) -> UInt8[np.ndarray, "height width 3"]:
    if isinstance(image, Image.Image):
        image = ImageOps.exif_transpose(image).convert("RGB")
    # A copy, because torch does not take arrays that cannot be written to.
    pixels = np.array(image)
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or not pixels.size:
        raise ConfigError(
            f"an image must be a uint8 array [height width 3], "
            f"got {pixels.dtype} {list(pixels.shape)}; convert it first"
        )
    return pixels


def _widest_inputs(adapter: Adapter) -> Inputs:
    usual = Inputs()
    return Inputs(
        num_frames=adapter.longest_video or usual.num_frames,
        max_tokens=adapter.longest_caption or usual.max_tokens,
    )
