"""Files without the times at which frames are shown, which come in another order."""

import re

from av.packet import Packet

from mvadapter.video.container import VideoFile
from mvadapter.video.part import CODECS_IN_ORDER

# The order of display of these can only be found by decoding.
_UNKNOWN_ORDER = frozenset({"h264", "hevc", "vvc"})
# ITU-T H.264, 7.3.1 and B.1: a slice of a picture with which decoding can start (type 5).
_FIRST_SLICE = re.compile(rb"\x00\x00\x01[\x05\x25\x45\x65]")


def lacks_times(file: VideoFile) -> bool:
    """Whether the packets do not have the times of their own frames: AVI has times of decoding."""
    codec = file.stream.codec_context
    may_reorder = codec.has_b_frames and codec.codec.canonical_name in CODECS_IN_ORDER
    return file.is_avi and (may_reorder or lacks_order(file))


def lacks_order(file: VideoFile) -> bool:
    """Whether the packets do not say in which order their frames are shown either."""
    return file.is_avi and file.stream.codec_context.codec.canonical_name in _UNKNOWN_ORDER


def starts_decoding(packet: Packet) -> bool:  # type: ignore[type-arg]  # no generic at run time
    """Whether nothing after a packet is shown before it, nor before it after it."""
    return _FIRST_SLICE.search(bytes(packet)) is not None
