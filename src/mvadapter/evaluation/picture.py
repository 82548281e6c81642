"""Queries and their results in, one picture for people out."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from mvadapter.files import atomic_write
from mvadapter.shapes import FrameImages
from mvadapter.video.preprocess import resize_and_crop

_FRAME_PX = 72
_GAP_PX = 4
_LINE_PX = 20
_MARGIN_PX = 16
_PAPER, _INK, _PALE = (255, 255, 255), (20, 20, 20), (120, 120, 120)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Strip:
    """One result of a query."""

    label: str
    images: FrameImages
    """Its frames, in order."""


def write_picture(path: Path, searches: Sequence[tuple[str, Sequence[Strip]]]) -> None:
    """Write a PNG with each query and, below it, the frames of its results, best first.

    Raises:
        OSError: The folder cannot be written to.
    """
    num_frames = max(len(strip.images) for _, strips in searches for strip in strips)
    width = 2 * _MARGIN_PX + num_frames * (_FRAME_PX + _GAP_PX)
    block_px = _FRAME_PX + _LINE_PX + _GAP_PX
    height = 2 * _MARGIN_PX + sum(2 * _LINE_PX + len(found) * block_px for _, found in searches)
    picture = Image.new("RGB", (width, height), _PAPER)
    pen = ImageDraw.Draw(picture)
    large, small = ImageFont.load_default(15), ImageFont.load_default(12)
    top = _MARGIN_PX
    for query, strips in searches:
        pen.text((_MARGIN_PX, top), query, fill=_INK, font=large)
        top += int(1.5 * _LINE_PX)
        for strip in strips:
            pen.text((_MARGIN_PX, top), strip.label, fill=_PALE, font=small)
            picture.paste(_row(strip.images), (_MARGIN_PX, top + _LINE_PX))
            top += block_px
        top += _LINE_PX // 2
    with atomic_write(path) as aside:
        picture.save(aside, format="png")


def _row(images: FrameImages) -> Image.Image:
    squares = resize_and_crop(images, _FRAME_PX).permute(0, 2, 3, 1).numpy()
    row = np.full((_FRAME_PX, len(squares) * (_FRAME_PX + _GAP_PX), 3), 255, np.uint8)
    for position, square in enumerate(squares):
        left = position * (_FRAME_PX + _GAP_PX)
        row[:, left : left + _FRAME_PX] = square
    return Image.fromarray(row)
