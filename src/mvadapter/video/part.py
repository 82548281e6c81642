"""Packets of a recording in, the order in which their frames are shown out."""

from array import array

from av.packet import Packet

from mvadapter.video.clock import UNSHOWN

# ISO/IEC 13818-2, 6.2.3: the header of a picture, in which ten bits come before the three of its
# type.
_PICTURE = b"\0\0\1\0"
_BETWEEN = 3  # Type B: shown at once, while others wait until the next such one comes.


class Part:
    """Consecutive packets whose clock runs without a break.

    Args:
        codec: FFmpeg's name of the format of the pictures.
    """

    def __init__(self, codec: str) -> None:
        self.begins, self.durations, self.places = array("q"), array("q"), array("q")
        self.is_keyframe = array("b")
        self._is_between = array("b")
        self._is_order_known = codec in {"mpeg1video", "mpeg2video"}

    def __len__(self) -> int:
        return len(self.begins)

    def add(self, begin: int | None, packet: Packet) -> None:  # type: ignore[type-arg]  # no generic at run time
        """Add a packet, and when its frame begins as far as the file says so, in ticks."""
        self.begins.append(UNSHOWN if begin is None else begin)
        self.durations.append(packet.duration or 0)
        self.places.append(-1 if packet.pos is None else packet.pos)
        self.is_keyframe.append(packet.is_keyframe)
        self._is_between.append(self._is_order_known and _picture_type(packet) == _BETWEEN)

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
        if not self._is_order_known:
            return [self.begins[i] for i in shown]
        starts: list[int] = []
        for i in shown:
            least = (self.durations[i] or usual_duration) // 2
            starts.append(max(self.begins[i], starts[-1] + least) if starts else self.begins[i])
        return starts

    def _order(self) -> list[int]:
        if not self._is_order_known:
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


def _picture_type(packet: Packet) -> int | None:  # type: ignore[type-arg]
    data = bytes(packet)
    place = data.find(_PICTURE)
    return data[place + 5] >> 3 & 7 if 0 <= place < len(data) - 5 else None
