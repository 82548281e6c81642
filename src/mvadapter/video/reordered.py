"""Files without the times at which frames are shown, which come in another order."""

import re

from av.packet import Packet

from mvadapter.video.container import VideoFile

# AVI holds an order of decoding only. From others' types of pictures FFmpeg knows the order of
# display, but not from these.
_UNKNOWN_ORDER = frozenset({"h264", "hevc", "vvc"})
# ITU-T H.264, 7.3.1 and B.1: a slice of a picture with which decoding can start (type 5).
_FIRST_SLICE = re.compile(rb"\x00\x00\x01[\x05\x25\x45\x65]")


def lacks_order(file: VideoFile) -> bool:
    """Whether the times of the packets do not say when their frames are shown."""
    codec = file.stream.codec_context.codec.canonical_name
    return file.container.format.name == "avi" and codec in _UNKNOWN_ORDER


def starts_decoding(packet: Packet) -> bool:  # type: ignore[type-arg]  # no generic at run time
    """Whether nothing after a packet is shown before it, nor before it after it."""
    return _FIRST_SLICE.search(bytes(packet)) is not None
