"""Shapes in, pictures out: coloured shapes drawn from signed distances, with soft edges.

The tiny CLIP was pretrained on such pictures, and synthetic videos are made of them, so both stay
in one distribution.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeAlias

import numpy as np
from jaxtyping import Float, Int, UInt8

from mvadapter.errors import ConfigError, UnknownNameError
from mvadapter.settings import check_range

Rgb: TypeAlias = tuple[int, int, int]
Picture: TypeAlias = UInt8[np.ndarray, "size size 3"]
Pictures: TypeAlias = UInt8[np.ndarray, "picture size size 3"]
_Plane: TypeAlias = Float[np.ndarray, "height width"]
_Distance: TypeAlias = Callable[[np.ndarray, np.ndarray], np.ndarray]

DARK_GREY: Rgb = (40, 40, 44)

COLORS: Mapping[str, Rgb] = MappingProxyType(
    {
        "red": (225, 35, 40),
        "orange": (255, 135, 0),
        "yellow": (250, 230, 40),
        "green": (30, 170, 60),
        "cyan": (50, 220, 230),
        "blue": (40, 80, 240),
        "purple": (155, 50, 205),
        "white": (245, 245, 245),
    }
)
"""Every colour a shape can have."""


# Distances follow https://iquilezles.org/articles/distfunctions2d, in units of the radius, y down;
# negative inside. Corners may be bounds instead of true distances: only the edge's pixel matters.


def _circle(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.hypot(x, y) - 0.92


def _square(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.maximum(np.abs(x), np.abs(y)) - 0.82


def _triangle(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    # The sides run from (0, -1) to (+-1, 0.8); their outward normal is (1.8, -1) / |(1.8, -1)|.
    side = (1.8 * np.abs(x) - y - 1.0) / 2.059126
    return np.maximum(side, y - 0.8)


def _star(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    fifth = 2.0 * np.pi / 5.0
    # The five points are folded onto one, and that one onto its upper half.
    angle = np.abs((np.arctan2(x, -y) + 0.5 * fifth) % fifth - 0.5 * fifth)
    length = np.hypot(x, y)
    along, across = length * np.cos(angle), length * np.sin(angle)
    # The edge runs from the point (1.05, 0) to the dent at radius 0.45, half a fifth further.
    dent_x, dent_y = 0.45 * np.cos(0.5 * fifth), 0.45 * np.sin(0.5 * fifth)
    return ((along - 1.05) * dent_y + across * (1.05 - dent_x)) / np.hypot(dent_y, 1.05 - dent_x)


def _ring(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.abs(np.hypot(x, y) - 0.75) - 0.23


def _cross(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    across, down = np.abs(x), np.abs(y)
    return np.maximum(np.minimum(across, down) - 0.3, np.maximum(across, down) - 0.95)


def _diamond(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    # Narrow, so that it is no square standing on its corner.
    return (np.abs(x) + 0.6 * np.abs(y) - 0.6) / 1.16619


def _heart(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    scale = 0.58
    across, up = np.abs(x) * scale, 0.55 - y * scale
    lobe = np.hypot(across - 0.25, up - 0.75) - 0.353553
    foot = 0.5 * np.maximum(across + up, 0.0)
    edge = np.minimum(np.hypot(across, up - 1.0), np.hypot(across - foot, up - foot))
    body = edge * np.sign(across - up)
    return np.where(across + up > 1.0, lobe, body) / scale


_DISTANCES: Mapping[str, _Distance] = MappingProxyType(
    {
        "circle": _circle,
        "square": _square,
        "triangle": _triangle,
        "star": _star,
        "ring": _ring,
        "cross": _cross,
        "diamond": _diamond,
        "heart": _heart,
    }
)

KINDS: tuple[str, ...] = tuple(_DISTANCES)
"""Every kind a shape can be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """One coloured shape; lengths are fractions of the picture's side.

    Raises:
        UnknownNameError: The kind is not in `KINDS` or the colour not in `COLORS`.
        ConfigError: The radius is not positive.
    """

    kind: str
    """One of `KINDS`."""
    color: str
    """One of `COLORS`."""
    x: float
    """Centre, 0 at the left edge, 1 at the right one; beyond them the shape leaves the picture."""
    y: float
    """Centre, 0 at the top edge, 1 at the bottom one."""
    radius: float
    """About half the shape's height; all of it is within 1.1 radii of the centre per axis."""

    def __post_init__(self) -> None:
        if self.kind not in _DISTANCES:
            raise UnknownNameError("shape", self.kind, KINDS)
        if self.color not in COLORS:
            raise UnknownNameError("color", self.color, COLORS)
        if not self.radius > 0.0:
            raise ConfigError(f"shape.radius must be positive, got {self.radius}")


def draw(shapes: Sequence[Shape], size_px: int, background: Rgb = DARK_GREY) -> Picture:
    """Draw shapes on a plain background, later ones over earlier ones.

    Raises:
        ConfigError: The size is below one pixel.
    """
    check_range("size_px", size_px, 1)
    canvas = np.empty((size_px, size_px, 3), dtype=np.float32)
    canvas[:] = background
    for shape in shapes:
        _paint(canvas, shape)
    return np.rint(canvas).astype(np.uint8)


def draw_batch(
    scenes: Sequence[Sequence[Shape]], size_px: int, backgrounds: Sequence[Rgb]
) -> Pictures:
    """Draw many pictures, each with its own background.

    Raises:
        ConfigError: There is not one background for each scene.
    """
    if len(scenes) != len(backgrounds):
        raise ConfigError(
            f"draw_batch needs one background for each scene, "
            f"got {len(backgrounds)} for {len(scenes)}"
        )
    pictures = np.empty((len(scenes), size_px, size_px, 3), dtype=np.uint8)
    for picture, shapes, background in zip(pictures, scenes, backgrounds, strict=True):
        picture[:] = draw(shapes, size_px, background)
    return pictures


def _paint(canvas: Float[np.ndarray, "size size 3"], shape: Shape) -> None:
    # Only the window around the shape is computed: ten times faster than the full picture.
    size_px = canvas.shape[0]
    rows = _span(shape.y, shape.radius, size_px)
    columns = _span(shape.x, shape.radius, size_px)
    if not len(rows) or not len(columns):
        return
    y = ((rows + np.float32(0.5)) / size_px - shape.y) / shape.radius
    x = ((columns + np.float32(0.5)) / size_px - shape.x) / shape.radius
    distance = _DISTANCES[shape.kind](x[None, :], y[:, None])
    cover = _cover(distance * (shape.radius * size_px))[:, :, None]
    window = canvas[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    window += cover * (np.asarray(COLORS[shape.color], dtype=np.float32) - window)


def _span(center: float, radius: float, size_px: int) -> Int[np.ndarray, " pixel"]:
    first = max(0, int(np.floor((center - 1.1 * radius) * size_px)) - 1)
    last = min(size_px, int(np.ceil((center + 1.1 * radius) * size_px)) + 1)
    return np.arange(first, last)


def _cover(distance_px: _Plane) -> _Plane:
    """Share of each pixel inside the shape: the edge is soft over one pixel."""
    return np.clip(0.5 - distance_px, 0.0, 1.0)
