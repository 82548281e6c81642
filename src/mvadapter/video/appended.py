"""A file in, whether FFmpeg would read the first of several videos in it as if it were all."""

import mmap
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

# The header object of an ASF file (its specification, section 10.1), with which another begins.
_ASF_HEADER = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
_FLV_BEGIN = b"FLV\x01"
# The version and the length of the header are part of it.
_IVF_BEGIN = b"DKIF\0\0\x20\0"
# What no file holds in its middle, because it is long.
_LONG_BEGINS = {
    "apng": b"IEND\xaeB`\x82\x89PNG\r\n\x1a\n",
    "nut": b"nut/multimedia container\0",
    "wtv": bytes.fromhex("b7d800203749da11a64e0007e95ead8d"),
}


def has_another(path: Path, format_name: str) -> bool:
    """Whether another video was appended to a file that FFmpeg does not look for.

    Args:
        path: The file.
        format_name: FFmpeg's name of its format; others than QuickTime (mp4), ASF (wmv), FLV, IVF,
            NUT, WTV and APNG are not looked at.

    Raises:
        OSError: The file cannot be read.
    """
    end = path.stat().st_size
    with path.open("rb") as file:
        if format_name == "asf":
            return list(_asf_objects(file, end)).count(_ASF_HEADER) > 1
        if "mov" in format_name.split(","):
            boxes = list(_mp4_boxes(file, end))
            # Pieces of a stream are joined with a header each, and FFmpeg reads on through them.
            return boxes.count(b"moov") > 1 and b"moof" not in boxes
        if format_name == "flv":
            return _FLV_BEGIN in _flv_tags(file, end)
        if format_name == "ivf":
            return _IVF_BEGIN in _ivf_frames(file, end)
        begin = _LONG_BEGINS.get(format_name)
        if begin is not None and end:
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                return data.find(begin, 1) >= 0
    return False


def _mp4_boxes(file: BinaryIO, end: int) -> Iterator[bytes]:
    """Yield the kinds of the outermost boxes (ISO/IEC 14496-12, 4.2)."""
    place = 0
    while len(header := file.read(16)) >= 8:
        num_bytes, header_bytes = int.from_bytes(header[:4], "big"), 8
        if num_bytes == 1:
            num_bytes, header_bytes = int.from_bytes(header[8:], "big"), 16
        yield header[4:8]
        place += num_bytes
        if num_bytes < header_bytes or place >= end:
            return  # It reaches to the end of the file, or says nonsense.
        file.seek(place)


def _asf_objects(file: BinaryIO, end: int) -> Iterator[bytes]:
    """Yield the kinds of the outermost objects (Advanced Systems Format, section 2.1)."""
    place = 0
    while len(header := file.read(24)) == 24:
        num_bytes = int.from_bytes(header[16:], "little")
        yield header[:16]
        place += num_bytes
        if num_bytes < len(header) or place >= end:
            return
        file.seek(place)


def _flv_tags(file: BinaryIO, end: int) -> Iterator[bytes]:
    """Yield how the tags begin (Adobe Flash Video File Format, annex E.4)."""
    place = 13
    while place < end:
        file.seek(place)
        header = file.read(4)
        yield header
        place += 15 + int.from_bytes(header[1:])


def _ivf_frames(file: BinaryIO, end: int) -> Iterator[bytes]:
    """Yield how the frames begin, each with its length."""
    place = 32
    while place < end:
        file.seek(place)
        header = file.read(8)
        yield header
        place += 12 + int.from_bytes(header[:4], "little")
