"""Frames in, the pixels CLIP expects out."""

from collections.abc import Sequence
from typing import TypeAlias

import torch
from jaxtyping import Float, Shaped, UInt8
from torch import Tensor
from torch.nn import functional

from mvadapter.backbone.recipes import Interpolation, PixelRecipe, Resize
from mvadapter.errors import DataError
from mvadapter.shapes import FrameImages, FrameMask

ImageTensor: TypeAlias = UInt8[Tensor, "frame height width channel"]
SquareImages: TypeAlias = UInt8[Tensor, "frame channel size size"]
SquarePixels: TypeAlias = Float[Tensor, "frame channel size size"]


def resize(images: FrameImages | ImageTensor, how: Resize) -> SquareImages:
    """Turn every frame into a square of pixels, 0 to 255.

    With antialiasing, as transformers' CLIPImageProcessor does with Pillow: the two differ by at
    most 2 of 255. A torch tensor is worked on where it is, CPU or GPU.

    Raises:
        DataError: There are no frames, or they have no pixels.
    """
    if 0 in images.shape:
        raise DataError(f"images must hold at least one frame and one pixel, got {images.shape}")
    # frame height width channel -> frame channel height width
    stack = torch.as_tensor(images).permute(0, 3, 1, 2)
    if how.fit == "squash":
        return _scale(stack, (how.size_px, how.size_px), how.interpolation).contiguous()
    height, width = stack.shape[2:]
    short = min(height, width)
    # Rounded down as transformers' get_resize_output_image_size does.
    size = int(how.short_side_px * height / short), int(how.short_side_px * width / short)
    scaled = _scale(stack, size, how.interpolation)
    top, left = (scaled.shape[2] - how.size_px) // 2, (scaled.shape[3] - how.size_px) // 2
    return scaled[:, :, top : top + how.size_px, left : left + how.size_px].contiguous()


def resize_and_crop(images: FrameImages | ImageTensor, size_px: int) -> SquareImages:
    """Scale the short side of every frame to `size_px` and cut out the middle square, bicubic.

    Raises:
        ConfigError: `size_px` is below 1.
        DataError: There are no frames, or they have no pixels.
    """
    return resize(images, Resize.crop(size_px))


def normalise(
    pixels: UInt8[Tensor, "*batch channel height width"], recipe: PixelRecipe
) -> Float[Tensor, "*batch channel height width"]:
    """Bring pixels of 0 to 255 to the mean and spread that a CLIP expects, as float32."""
    mean = torch.tensor(recipe.mean, device=pixels.device).view(3, 1, 1)
    std = torch.tensor(recipe.std, device=pixels.device).view(3, 1, 1)
    return (pixels.float() / 255 - mean) / std


def to_pixels(
    images: FrameImages | ImageTensor,
    recipe: PixelRecipe | int,
    device: str | torch.device = "cpu",
) -> SquarePixels:
    """Turn frames into what a vision tower takes: resized and normalised on `device`.

    Args:
        images: The frames.
        recipe: How the CLIP wants them, its ``backbone.pixels``; a number stands for the recipe of
            OpenAI's CLIPs at that size.
        device: Where the work is done and the result lies.

    Raises:
        ConfigError: The size is below 1.
        DataError: There are no frames, or they have no pixels.
    """
    if isinstance(recipe, int):
        recipe = PixelRecipe.openai(recipe)
    return normalise(resize(torch.as_tensor(images).to(device), recipe.resize), recipe)


def pad_frames(
    videos: Sequence[Shaped[Tensor, "_ channel height width"]], num_frames: int
) -> tuple[Shaped[Tensor, "video frame channel height width"], FrameMask]:
    """Stack videos of different numbers of frames, filling up with zeros.

    Args:
        videos: The frames of each video; all of one type, size and device.
        num_frames: Frames each video has afterwards.

    Returns:
        The stack, and the mask that is True where a frame is real.

    Raises:
        DataError: There is no video, or one has no frame, or one has more than `num_frames`.
    """
    if not videos:
        raise DataError("there must be at least one video to stack, got none")
    lengths = [len(video) for video in videos]
    for index, length in enumerate(lengths):
        if not 1 <= length <= num_frames:
            raise DataError(f"video {index} must have 1 to {num_frames} frames, got {length}")
    first = videos[0]
    stack = first.new_zeros(len(videos), num_frames, *first.shape[1:])
    for row, video in zip(stack, videos, strict=True):
        row[: len(video)] = video
    positions = torch.arange(num_frames, device=first.device)
    return stack, positions < torch.tensor(lengths, device=first.device)[:, None]


def _scale(stack: Tensor, size: tuple[int, int], interpolation: Interpolation) -> Tensor:
    if stack.device.type != "cpu":
        return _scale_as_floats(stack, size, interpolation)
    # Here torch has Pillow's own fixed-point arithmetic, faster than floats and nearer to it.
    return functional.interpolate(stack, size, mode=interpolation, antialias=True)


def _scale_as_floats(stack: Tensor, size: tuple[int, int], interpolation: Interpolation) -> Tensor:
    # Pillow resizes rows, rounds to bytes, then resizes columns; without the clamping in between,
    # sharp edges would come out up to 20 of 255 apart.
    for height, width in ((stack.shape[2], size[1]), size):
        scaled = functional.interpolate(
            stack.float(), (height, width), mode=interpolation, antialias=True
        )
        stack = scaled.round().clamp(0, 255)
    return stack.to(torch.uint8)
