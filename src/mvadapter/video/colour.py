"""A decoded frame in, red, green and blue for an ordinary screen out.

An ordinary screen is what CLIP's pictures were made for: BT.709 primaries and the transfer of sRGB.
"""

from functools import cache
from typing import TypeAlias

import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import (
    ColorPrimaries,
    Colorspace,
    ColorTrc,
    VideoReformatter,
)
from jaxtyping import Float32, Float64, UInt8, UInt16

ColourImage: TypeAlias = UInt8[np.ndarray, "height width channel"]
DeepImage: TypeAlias = UInt16[np.ndarray, "height width channel"]
Table: TypeAlias = Float32[np.ndarray, " value"]

# FFmpeg's AVCOL_SPC_UNSPECIFIED and _RESERVED, and the matrix of BT.2020 with constant luminance,
# for which PyAV has no names. The last is not worth its own arithmetic: nobody makes such films.
_UNSPECIFIED = frozenset({2, 3})
_BT2020_CONSTANT = 10
# What players take for high definition where a file does not say how its colours are coded.
_HD_LINES, _HD_COLUMNS = 720, 1280

# BT.2408: white paper has 203 cd/m2, which are 75 % of an HLG signal on a screen of 1000 cd/m2.
_WHITE_NITS = 203.0
_HLG_PEAK_NITS = 1000.0
# Light up to this share of white is shown as it is, what is brighter is compressed towards white.
_KNEE = 0.75
# Rows mapped at once, so that what is computed stays in the processor's cache.
_BLOCK_ROWS = 16

# Linear light in other primaries -> in those of BT.709, from the primaries of BT.2020 (BT.2087) and
# of Display P3 (SMPTE 432-1), all with the white of D65.
_TO_709: dict[int, tuple[tuple[float, ...], ...]] = {
    ColorPrimaries.BT2020: (
        (1.660491, -0.587641, -0.072850),
        (-0.124550, 1.132900, -0.008349),
        (-0.018151, -0.100579, 1.118730),
    ),
    ColorPrimaries.SMPTE432: (
        (1.224940, -0.224940, 0.0),
        (-0.042057, 1.042057, 0.0),
        (-0.019638, -0.078636, 1.098274),
    ),
}


def to_rgb(
    reformatter: VideoReformatter, frame: VideoFrame, width: int, height: int
) -> ColourImage:
    """Convert a frame as a player does, and scale it.

    High dynamic range (PQ, HLG) and wide colours (BT.2020, Display P3) are mapped to what an
    ordinary screen shows. Where a file does not say how its colours are coded, high definition is
    taken for BT.709 and anything smaller for BT.601.

    Raises:
        FFmpegError: It says that they are coded in a way that FFmpeg cannot convert.
    """
    matrix = _matrix(frame)
    if not _is_mapped(frame):
        picture = reformatter.reformat(
            frame, width=width, height=height, format="rgb24", src_colorspace=matrix
        )
        return picture.to_ndarray()
    picture = reformatter.reformat(
        frame, width=width, height=height, format="rgb48le", src_colorspace=matrix
    )
    return _for_ordinary_screen(picture.to_ndarray(), frame.color_trc, _primaries(frame))


def _matrix(frame: VideoFrame) -> Colorspace | None:
    """Which matrix to assume; None is the frame's own."""
    if frame.colorspace == _BT2020_CONSTANT:
        return Colorspace.BT2020
    if frame.colorspace not in _UNSPECIFIED or frame.format.is_rgb or frame.format.has_palette:
        return None
    if _is_mapped(frame):
        return (
            Colorspace.BT2020 if _primaries(frame) == ColorPrimaries.BT2020 else Colorspace.ITU709
        )
    is_hd = frame.height >= _HD_LINES or frame.width >= _HD_COLUMNS
    return Colorspace.ITU709 if is_hd else Colorspace.ITU601


def _is_mapped(frame: VideoFrame) -> bool:
    return _is_hdr(frame.color_trc) or frame.color_primaries in _TO_709


def _is_hdr(transfer: int) -> bool:
    return transfer in {ColorTrc.SMPTE2084, ColorTrc.ARIB_STD_B67}


def _primaries(frame: VideoFrame) -> int:
    """The primaries of a mapped frame; high dynamic range without a word on them is BT.2020."""
    is_said = frame.color_primaries != ColorPrimaries.UNSPECIFIED
    return frame.color_primaries if is_said else ColorPrimaries.BT2020


def _for_ordinary_screen(image: DeepImage, transfer: int, primaries: int) -> ColourImage:
    light_of, shown = _light_table(transfer), _screen_table()
    matrix = np.array(_TO_709.get(primaries) or np.eye(3), np.float32)
    mapped = np.empty(image.shape, np.uint8)
    # One colour after the other: five times as fast as all three at once.
    for row in range(0, len(image), _BLOCK_ROWS):
        block = image[row : row + _BLOCK_ROWS]
        red, green, blue = (np.take(light_of, block[:, :, channel]) for channel in range(3))
        lights = [line[0] * red + line[1] * green + line[2] * blue for line in matrix]
        if _is_hdr(transfer):
            # By the brightest of the three, so that a colour keeps its hue.
            gain = _gain(np.maximum(np.maximum(lights[0], lights[1]), lights[2]))
            lights = [light * gain for light in lights]
        for channel, light in enumerate(lights):
            level = (np.clip(light, 0, 1) * np.float32(65535) + np.float32(0.5)).astype(np.uint16)
            mapped[row : row + _BLOCK_ROWS, :, channel] = np.take(shown, level)
    return mapped


def _gain(peak: Float32[np.ndarray, "row column"]) -> Float32[np.ndarray, "row column"]:
    """What to multiply light by so that none is brighter than white; 1 up to the knee."""
    gain = np.ones_like(peak)
    is_bright = peak > _KNEE
    bright, room = peak[is_bright], 1 - _KNEE
    gain[is_bright] = (_KNEE - room * np.expm1((_KNEE - bright) / room)) / bright
    return gain


@cache
def _light_table(transfer: int) -> Table:
    """Signal of 16 bits -> linear light, 1 being white."""
    signal = np.arange(65536) / 65535
    match transfer:
        case ColorTrc.SMPTE2084:
            light = _pq_nits(signal) / _WHITE_NITS
        case ColorTrc.ARIB_STD_B67:
            light = _hlg_nits(signal) / _WHITE_NITS
        case _:
            light = np.where(signal <= 0.04045, signal / 12.92, ((signal + 0.055) / 1.055) ** 2.4)
    return light.astype(np.float32)


@cache
def _screen_table() -> UInt8[np.ndarray, " value"]:
    """Linear light of 16 bits -> sRGB of 8 bits."""
    light = np.arange(65536) / 65535
    signal = np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)
    return (signal * 255 + 0.5).astype(np.uint8)


def _pq_nits(signal: Float64[np.ndarray, " value"]) -> Float64[np.ndarray, " value"]:
    # BT.2100, table 4: the reference PQ EOTF.
    m1, m2 = 2610 / 16384, 2523 / 4096 * 128
    c1, c2, c3 = 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32
    power = signal ** (1 / m2)
    return 10_000 * (np.maximum(power - c1, 0) / (c2 - c3 * power)) ** (1 / m1)


def _hlg_nits(signal: Float64[np.ndarray, " value"]) -> Float64[np.ndarray, " value"]:
    # BT.2100, table 5: the inverse OETF. The system gamma of 1.2 is applied to each colour, as
    # ordinary cameras and screens do it, not to luminance, which would show red as dull.
    a = 0.17883277
    b, c = 1 - 4 * a, 0.5 - a * np.log(4 * a)
    scene = np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - c) / a) + b) / 12)
    return _HLG_PEAK_NITS * scene**1.2
