"""Packets of a recording in, the order in which their frames are shown out."""

from array import array
from typing import NamedTuple

from av.packet import Packet

from mvadapter.video.clock import UNSHOWN


class _Header(NamedTuple):
    """Where packets of a codec say whether a frame refers to later ones."""

    begin: bytes
    """What the header of a picture begins with."""
    offset: int
    """How many bytes after that the type is."""
    shift: int
    """How many bits come after it in its byte."""
    mask: int
    between: int
    """The type of frames that are shown at once, while others wait until the next such one."""


_MPEG2 = _Header(b"\0\0\1\0", 5, 3, 7, 3)  # ISO/IEC 13818-2, 6.2.3; in MPEG-1 it is the same.
_MPEG4 = _Header(b"\0\0\1\xb6", 4, 6, 3, 2)  # ISO/IEC 14496-2, 6.2.5
_HEADERS = {"mpeg1video": _MPEG2, "mpeg2video": _MPEG2, "mpeg4": _MPEG4}
CODECS_IN_ORDER = frozenset(_HEADERS)
"""Codecs whose packets say in which order their frames are shown."""


class Part:
    """Consecutive packets whose clock runs without a break.

    Args:
        codec: FFmpeg's name of the format of the pictures.
        has_own_times: Whether the time of a packet is that of its own frame. If not, the n-th
            frame shown begins at the n-th time.
    """

    def __init__(self, codec: str, *, has_own_times: bool = True) -> None:
        self.begins, self.durations, self.places = array("q"), array("q"), array("q")
        self.is_keyframe = array("b")
        self._is_between = array("b")
        self._header = _HEADERS.get(codec)
        self._has_own_times = has_own_times

    def __len__(self) -> int:
        return len(self.begins)

    def add(self, begin: int | None, packet: Packet) -> None:  # type: ignore[type-arg]  # no generic at run time
        """Add a packet, and when its frame begins as far as the file says so, in ticks."""
        self.begins.append(UNSHOWN if begin is None else begin)
        self.durations.append(packet.duration or 0)
        self.places.append(-1 if packet.pos is None else packet.pos)
        self.is_keyframe.append(packet.is_keyframe)
        self._is_between.append(self._header is not None and _is_between(packet, self._header))

    def shown(self) -> list[int]:
        """Order the frames as they are shown, from the first on that can be decoded."""
        order = [i for i in self._order() if self.begins[i] != UNSHOWN]
        keyframes = (i for i in range(len(self)) if self.is_keyframe[i])
        first = next((i for i in keyframes if self.begins[i] != UNSHOWN), None)
        if first is None:
            return order
        return [i for i in order[order.index(first) :] if i >= first]

    def starts(self, shown: list[int], usual_duration: int) -> list[int]:
        """Find when each of the frames begins.

        Where frames have no times, FFmpeg counts on from the last that has one, and the next one
        may say something earlier: no frame is lost for that.
        """
        if not self._has_own_times:
            return sorted(self.begins[i] for i in shown)
        if self._header is None:
            return [self.begins[i] for i in shown]
        starts: list[int] = []
        for i in shown:
            least = (self.durations[i] or usual_duration) // 2
            starts.append(max(self.begins[i], starts[-1] + least) if starts else self.begins[i])
        return starts

    def _order(self) -> list[int]:
        if self._header is None:
            return sorted(range(len(self)), key=self.begins.__getitem__)
        order: list[int] = []
        held: list[int] = []
        for i, is_between in enumerate(self._is_between):
            if is_between:
                order.append(i)
            else:
                order += held
                held = [i]
        return order + held


def _is_between(packet: Packet, header: _Header) -> bool:  # type: ignore[type-arg]
    data = bytes(packet)
    place = data.find(header.begin) + header.offset
    if not header.offset <= place < len(data):
        return False
    return data[place] >> header.shift & header.mask == header.between
