"""A file in, whether FFmpeg would read the first of several videos in it as if it were all."""

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

# The header object of an ASF file (its specification, section 10.1), with which another begins.
_ASF_HEADER = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")


def has_another(path: Path, format_name: str) -> bool:
    """Whether another video was appended to a file that FFmpeg does not look for.

    Args:
        path: The file.
        format_name: FFmpeg's name of its format. QuickTime (mp4) and ASF (wmv) are looked at.

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
