"""A video file in, its packets out, from any place in it."""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Protocol, runtime_checkable

from av.bitstream import BitStreamFilterContext
from av.packet import Packet

from mvadapter.errors import VideoError
from mvadapter.video.clock import Clock, Keyframe
from mvadapter.video.complaint import complaint
from mvadapter.video.damage import damage_ignored
from mvadapter.video.opening import open_container
from mvadapter.video.streams import MAX_FRAME_PIXELS, choose_video


@runtime_checkable
class _Rational(Protocol):
    @property
    def numerator(self) -> int: ...
    @property
    def denominator(self) -> int: ...


def as_fraction(rational: _Rational) -> Fraction:
    """Convert PyAV's rational numbers, which from version 19 on are a type of its own."""
    return Fraction(rational.numerator, rational.denominator)


class VideoFile:
    """One open file and the video stream in it that a player would show.

    FFmpeg's own messages need no silencing: PyAV drops them unless the application asks for them.

    Args:
        path: The file.
        num_threads: Threads its decoder may use.
        clock: What a scan of the file has found out about its times; a new one changes nothing.

    Raises:
        VideoError: There is no such file, or it holds no video that can be read.
    """

    def __init__(self, path: Path, *, num_threads: int = 1, clock: Clock | None = None) -> None:
        self.path = path
        self.clock = clock or Clock()
        self._num_threads = num_threads
        self._unpacker: BitStreamFilterContext | None = None
        self._awaited: Keyframe | None = None
        self._open()
        time_base = self.stream.time_base
        if not time_base:
            raise VideoError(complaint(path, "its video has no time base", "convert it to mp4"))
        self.tick = as_fraction(time_base)
        """Seconds per tick."""

    def __enter__(self) -> "VideoFile":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self.container.close()

    def seconds(self, ticks: Fraction | int) -> float:
        """Convert ticks to seconds."""
        return float(ticks * self.tick)

    def ticks(self, seconds: float) -> Fraction:
        """Convert seconds to ticks, taking a float for the simple fraction that it approximates."""
        return Fraction(seconds).limit_denominator(10**6) / self.tick

    def packets(self) -> Iterator[Packet]:  # type: ignore[type-arg]  # no generic at run time
        """Yield the packets of the video from the present place on, with the times of the clock.

        The last one is empty and makes a decoder give what it still holds; it is missing where the
        file cannot be read to its end.

        Raises:
            VideoError: A packet is encrypted, and decoding it would give noise.
        """
        awaited, self._awaited = self._awaited, None
        self._is_at_beginning = False
        packets = self._demuxed()
        return self._on_clock(packets, awaited) if self.clock.begins else packets

    def _demuxed(self) -> Iterator[Packet]:  # type: ignore[type-arg]
        self._unpacker = self._new_unpacker()
        with damage_ignored():
            for packet in self.container.demux(self.stream):
                if packet.has_sidedata("encryption_info"):
                    raise VideoError(
                        complaint(self.path, "is encrypted", "use a copy without protection")
                    )
                yield from self._unpacked(packet)

    def _on_clock(
        self,
        packets: Iterator[Packet],  # type: ignore[type-arg]
        awaited: Keyframe | None,
    ) -> Iterator[Packet]:  # type: ignore[type-arg]
        """Give packets the times that the clock has for them, from an awaited one on."""
        number = 0 if awaited is None else awaited.number
        for packet in packets:
            is_numbered = packet.size and not packet.is_discard
            if is_numbered and awaited is not None and packet.pos != awaited.place:
                if packet.pos is not None and packet.pos > awaited.place:
                    return
                continue
            if is_numbered:
                packet.pts, packet.dts = self.clock.begin_of(number), None
                awaited, number = None, number + 1
            yield packet

    def seek(self, tick: int | None) -> None:
        """Go to a keyframe, most often the latest at or before `tick`; None is the beginning."""
        self._awaited = None
        if tick is not None:
            with damage_ignored():
                if self._jump(tick):
                    self._is_at_beginning = False
                    return
        if not self._is_at_beginning:
            # Opening the file again is the only way back that works with every demuxer.
            self.close()
            self._open()

    @property
    def is_avi(self) -> bool:
        """Whether it is an AVI file, which holds when frames are decoded, not when shown."""
        return self.container.format.name == "avi"

    @property
    def declared_end(self) -> int | None:
        """When the last frame ends, in ticks, if the file declares it for this stream."""
        start = self.stream.start_time
        return start + self.stream.duration if start is not None and self.stream.duration else None

    @property
    def usual_duration(self) -> int:
        """How long a frame lasts, in ticks, where nothing better is known; at least 1."""
        rate = float(self.stream.average_rate or 25)
        return max(1, round(1 / (rate * float(self.tick))))

    def _unpacked(self, packet: Packet) -> list[Packet]:  # type: ignore[type-arg]
        """Take apart what DivX and XviD put into one packet: a frame and one shown before it."""
        if self._unpacker is None or (not packet.size and packet.dts is not None):
            return [packet]
        # The packet that goes in is emptied.
        is_end = not packet.size
        frames = self._unpacker.filter(None if is_end else packet)
        for frame in frames:
            frame.stream = self.stream
        return [*frames, packet] if is_end else frames

    def _new_unpacker(self) -> BitStreamFilterContext | None:
        if not self.is_avi or self.stream.codec_context.codec.canonical_name != "mpeg4":
            return None
        return BitStreamFilterContext("mpeg4_unpack_bframes", self.stream)

    def _jump(self, tick: int) -> bool:
        """Seek, unless only the way from the beginning on leads there."""
        if not self.clock.begins:
            self.container.seek(tick, stream=self.stream)
            return True
        # From a keyframe earlier: FFmpeg takes the end of a frame before the place for its own.
        keyframes = self.clock.keyframes_before(tick)
        if len(keyframes) < 2:
            return False
        landing, self._awaited = keyframes
        if self.is_avi:
            # It has an index by time of decoding, and no way to a place.
            self.container.seek(landing.begin, stream=self.stream)
        else:
            self.container.seek(landing.place, stream=self.stream, unsupported_byte_offset=True)
        return True

    def _open(self) -> None:
        self.container = open_container(self.path)
        self._is_at_beginning = True
        try:
            self.stream = choose_video(self.path, self.container)
        except VideoError:
            self.container.close()
            raise
        self.stream.codec_context.thread_count = self._num_threads
        self.stream.codec_context.thread_type = "AUTO"
        self.stream.codec_context.options = {"max_pixels": str(MAX_FRAME_PIXELS)}
