"""Writes small videos whose frames carry their number, so that tests know which frame they got."""

import struct
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from mvadapter.video.decode import VideoInfo, VideoReader

WIDTH, HEIGHT = 64, 48
_COLUMNS, _ROWS = 4, 3


def painted(number: int, width: int = WIDTH, height: int = HEIGHT) -> np.ndarray:
    """Draw the twelve bits of a number as grey squares, far enough from black and white."""
    bits = np.array([number >> place & 1 for place in range(_COLUMNS * _ROWS)])
    rows = np.arange(height) * _ROWS // height
    columns = np.arange(width) * _COLUMNS // width
    grey = 40 + 170 * bits.reshape(_ROWS, _COLUMNS)[rows][:, columns]
    return np.repeat(grey[:, :, None], 3, axis=2).astype(np.uint8)


def number_in(image: np.ndarray) -> int:
    """Read the number back from the middle of each square."""
    height, width = image.shape[:2]
    rows = ((np.arange(_ROWS) + 0.5) * height / _ROWS).astype(int)
    columns = ((np.arange(_COLUMNS) + 0.5) * width / _COLUMNS).astype(int)
    bits = image[rows][:, columns].mean(axis=2).reshape(-1) > 125
    return int(sum(1 << place for place, bit in enumerate(bits) if bit))


def numbers_in(images: np.ndarray) -> list[int]:
    return [number_in(image) for image in images]


def video_info(path: Path) -> VideoInfo:
    with VideoReader(path) as reader:
        return reader.info


def duration_of(path: Path) -> float:
    info = video_info(path)
    return info.end_seconds - info.start_seconds


def write_video(  # noqa: PLR0913 - each test changes one of many settings
    path: Path,
    starts: Sequence[int] | int = 30,
    *,
    tick: Fraction = Fraction(1, 30),
    codec: str = "libx264",
    pixels: str = "yuv420p",
    size: tuple[int, int] = (WIDTH, HEIGHT),
    keyframe_every: int = 12,
    num_b_frames: int = 0,
    options: dict[str, str] | None = None,
    sound: str | None = None,
    loud_second: int | None = None,
    is_index_first: bool = False,
) -> Path:
    """Write a video whose frame i carries the number i and begins at `starts[i]` ticks.

    A number of frames instead of starts is that many frames, one a tick. `sound` names a codec
    that adds a tone as long as the video; it may be loud in one second only. An mp4 file may have its index before its pictures.
    """
    starts = range(starts) if isinstance(starts, int) else starts
    movflags = {"movflags": "+faststart"} if is_index_first else {}
    with av.open(str(path), "w", options=movflags) as container:
        stream = container.add_stream(codec, rate=round(1 / tick), options=_options(codec, options))
        stream.width, stream.height = size
        stream.pix_fmt = pixels
        stream.codec_context.time_base = tick
        stream.codec_context.gop_size = keyframe_every
        if codec in {"libx264", "mpeg2video", "mpeg4"}:
            stream.codec_context.max_b_frames = num_b_frames
        tone = container.add_stream(sound, rate=48_000, layout="mono") if sound else None
        for number, start in enumerate(starts):
            frame = av.VideoFrame.from_ndarray(painted(number, *size), format="rgb24")
            frame.pts, frame.time_base = start, tick
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
        if tone is not None:
            _write_tone(container, tone, float((starts[-1] + 1) * tick), loud_second)
    return path


def write_tone(path: Path, codec: str = "aac", seconds: float = 1.0) -> Path:
    """Write a file that holds sound only."""
    with av.open(str(path), "w") as container:
        _write_tone(container, container.add_stream(codec, rate=48_000, layout="mono"), seconds)
    return path


def turned(path: Path, degrees: int) -> Path:
    """Write into an mp4 file that it is to be shown turned clockwise by 90, 180 or 270 degrees."""
    return with_matrix(path, {90: (0, 1, -1, 0), 180: (-1, 0, 0, -1), 270: (0, -1, 1, 0)}[degrees])


def with_matrix(path: Path, matrix: tuple[int, int, int, int]) -> Path:
    """Write into an mp4 file that x and y are to be shown at a * x + c * y and b * x + d * y."""
    a, b, c, d = (number << 16 for number in matrix)
    data = bytearray(path.read_bytes())
    # ISO/IEC 14496-12, 8.3.2: the matrix of a version 0 track header.
    place = data.index(b"tkhd") + 44
    data[place : place + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
    return path


def with_hole(source: Path, path: Path, begin_seconds: float, end_seconds: float) -> Path:
    """Copy a file with zeros in place of the frames that begin between two times."""
    data = bytearray(source.read_bytes())
    with av.open(str(source)) as container:
        for packet in container.demux(video=0):
            if packet.size and begin_seconds <= packet.pts * packet.time_base < end_seconds:
                data[packet.pos : packet.pos + packet.size] = bytes(packet.size)
    path.write_bytes(data)
    return path


def _write_tone(container, stream, seconds: float, loud_second: int | None = None) -> None:
    rate, block = 48_000, 960
    for start in range(0, int(seconds * rate), block):
        wave = np.sin(np.arange(start, start + block) * 2 * np.pi * 440 / rate) / 4
        if loud_second not in {None, start // rate}:
            wave = wave / 1000
        frame = av.AudioFrame.from_ndarray(
            (wave * 32767).astype(np.int16)[None], format="s16", layout="mono"
        )
        frame.sample_rate, frame.pts, frame.time_base = rate, start, Fraction(1, rate)
        container.mux(stream.encode(frame))
    container.mux(stream.encode())


def _options(codec: str, options: dict[str, str] | None) -> dict[str, str]:
    quiet = {
        "libx264": {"preset": "ultrafast", "sc_threshold": "0"},
        "libx265": {"preset": "ultrafast", "x265-params": "log-level=none:pools=1"},
        "libsvtav1": {"preset": "12", "svtav1-params": "lp=1"},
        "libvpx": {"deadline": "realtime", "cpu-used": "8"},
        "libvpx-vp9": {"deadline": "realtime", "cpu-used": "8"},
    }
    return {**quiet.get(codec, {}), **(options or {})}
