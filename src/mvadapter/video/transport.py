"""The bytes of frames in a transport stream in, whether some of them were lost out."""

from pathlib import Path

# ISO/IEC 13818-1, 2.4.3: a packet has 188 bytes and begins with this one; recorders put 4 bytes
# before each or 16 after.
_SYNC = 0x47
_PACKET_BYTES = 188
_STRIDES = (188, 192, 204)


def has_gap(path: Path, begin: int, end: int) -> bool:
    """Whether frames have lost packets: within one, the counter does not go up by ones.

    Args:
        path: The file.
        begin: The byte at which the first frame's first packet begins.
        end: The byte at which that of the frame after the last one does.
    """
    with path.open("rb") as file:
        file.seek(begin)
        data = file.read(max(0, end - begin))
    first = data[:5].find(_SYNC)
    stride = next((s for s in _STRIDES if data[first + s : first + s + 1] == bytes([_SYNC])), 188)
    if first < 0:
        return True
    stream, previous = None, None
    for place in range(first, len(data) - _PACKET_BYTES + 1, stride):
        if data[place] != _SYNC:
            return True
        packet_stream = int.from_bytes(data[place + 1 : place + 3]) & 0x1FFF
        stream = packet_stream if stream is None else stream
        holds_payload, counter = data[place + 3] & 0x10, data[place + 3] & 0x0F
        if packet_stream != stream or not holds_payload:
            continue
        begins_frame = data[place + 1] & 0x40
        # A packet may be sent twice.
        is_next = previous is None or counter in {previous, (previous + 1) % 16}
        if not is_next and not begins_frame:
            return True
        previous = counter
    return False
