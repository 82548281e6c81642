"""Packets in, the frame on display at a time out."""

from collections.abc import Iterator
from typing import NamedTuple

from av.error import FFmpegError
from av.packet import Packet
from av.video.frame import VideoFrame

from mvadapter.errors import VideoError
from mvadapter.video.complaint import complaint
from mvadapter.video.container import VideoFile

# A seek throws away what the decoder had begun, so it pays only from some frames on.
_SEEK_COST_FRAMES = 8
# The longest wait for a first frame in a sound file is a stream that begins between keyframes.
_MAX_SILENT_PACKETS = 1000


class ShownFrame(NamedTuple):
    """A frame that came out of the decoder."""

    start: int
    """When it begins, in ticks."""
    frame: VideoFrame
    is_damaged: bool
    """It, or something it may be built from, could not be decoded."""


class Decoder:
    """Gives the frame on display at a time, by decoding on or from a keyframe.

    What FFmpeg makes up for damaged data is never given: from the damage on, every frame counts as
    damaged until a sound keyframe comes. Changed bytes that the decoder itself takes for a picture
    go unnoticed; VP8, VP9, AV1 and HEVC notice few of them.
    """

    def __init__(self, file: VideoFile) -> None:
        self.num_decoded_frames = 0
        self._file = file
        self._shown: ShownFrame | None
        self._ahead: ShownFrame | None
        self._start_over(None)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def any_frame(self) -> VideoFrame:
        """Give the frame at hand, or the first one that can be decoded, damaged or not.

        Raises:
            VideoError: No frame can be decoded.
        """
        if self._shown is None and self._ahead is None:
            self._ahead = next(self._coming, None)
        at_hand = self._shown or self._ahead
        if at_hand is None:
            raise VideoError(
                complaint(
                    self._file.path,
                    "none of its frames can be decoded",
                    "download or convert it again",
                )
            )
        return at_hand.frame

    def frame_at(self, tick: int, keyframe: int | None) -> ShownFrame:
        """Give the frame that begins at `tick`, knowing the latest keyframe before it.

        Raises:
            VideoError: The frame is damaged.
        """
        found = self._advance(tick) if self._is_near(tick, keyframe) else None
        # A keyframe that only begins a gradual refresh needs the one before it.
        for origin in () if keyframe is None else (keyframe, keyframe - 1):
            if found is not None and not found.is_damaged:
                return found
            self._start_over(origin)
            found = self._advance(tick)
        if found is None:
            self._start_over(None)
            found = self._advance(tick)
        if found is None or found.is_damaged:
            raise VideoError(
                complaint(
                    self._file.path,
                    f"is damaged: the frame at {self._file.seconds(tick):.3f} s cannot be decoded",
                    "download or copy it again, or leave out this part",
                )
            )
        return found

    def _is_near(self, tick: int, keyframe: int | None) -> bool:
        """Whether decoding on is possible, and no dearer than a seek to the keyframe."""
        if self._shown is not None and tick < self._shown.start:
            return False
        gain = _SEEK_COST_FRAMES * self._file.usual_duration
        return keyframe is None or keyframe <= self._passed + gain

    def _start_over(self, origin: int | None) -> None:
        self._file.seek(origin)
        self._coming = self._decode()
        self._shown = self._ahead = None
        self._passed = (self._file.stream.start_time or 0) if origin is None else origin
        self._num_failures = 0
        self._num_counted = 0
        self._counted_from: int | None = None
        self._damaged_from: int | None = None

    def _advance(self, tick: int) -> ShownFrame | None:
        """Decode on to the frame on display at `tick`; None if the decoder is already past it."""
        while self._shown is None or self._shown.start < tick:
            following = self._ahead or next(self._coming, None)
            self._ahead = None
            if following is None:
                break
            self._passed = following.start
            if following.start > tick:
                self._ahead = following
                break
            self._shown = following
        if self._shown is None or self._shown.start == tick:
            return self._shown
        # Some packets are never shown, such as VP8's references. But a frame may also be missing
        # because it could not be decoded.
        return self._shown._replace(is_damaged=self._shown.is_damaged or self._num_failures > 0)

    def _decode(self) -> Iterator[ShownFrame]:
        num_silent = 0
        is_drained = False
        for packet in self._file.packets():
            is_drained = not packet.size and packet.dts is None
            if not packet.size and not is_drained:
                continue  # AVI repeats a frame this way; FFmpeg would take it for the end.
            frames = self._decode_packet(packet)
            num_silent = 0 if frames else num_silent + 1
            if num_silent > _MAX_SILENT_PACKETS:
                break
            yield from frames
        if not is_drained:
            self._note_damage(self._passed)
            yield from self._decode_packet(None)

    def _decode_packet(self, packet: Packet | None) -> list[ShownFrame]:  # type: ignore[type-arg]
        """Decode one packet; None asks for all the frames that the decoder still holds.

        Raises:
            MemoryError: There is too little, which is no damage.
        """
        begin = None if packet is None else packet.dts if packet.pts is None else packet.pts
        if packet is not None and packet.is_corrupt and packet.pos not in self._file.clock.sound:
            self._note_damage(begin)
            return []
        try:
            frames = self._file.stream.codec_context.decode(packet)
        except MemoryError:
            # FFmpeg's is one of the next kind as well.
            raise
        except FFmpegError:
            self._note_damage(begin)
            return []
        self.num_decoded_frames += len(frames)
        # A frame without a time is in no timeline, and never asked for.
        times = map(self._start_of, frames)
        return [
            self._judge(frame, start)
            for frame, start in zip(frames, times, strict=True)
            if start is not None
        ]

    def _judge(self, frame: VideoFrame, start: int) -> ShownFrame:
        if frame.is_corrupt:
            self._note_damage(start)
        elif self._heals(frame, start):
            self._damaged_from = None
        return ShownFrame(start, frame, is_damaged=self._damaged_from is not None)

    def _heals(self, frame: VideoFrame, start: int) -> bool:
        if self._damaged_from is None or start <= self._damaged_from:
            return False
        # Where frames are counted, none knows how many were lost.
        return start == self._counted_from if self._file.clock.is_counted else frame.key_frame

    def _start_of(self, frame: VideoFrame) -> int | None:
        begin = frame.dts if frame.pts is None else frame.pts
        clock = self._file.clock
        if not clock.is_counted:
            return begin
        # Its packet's time says only which one is a keyframe, with which counting begins again.
        if begin is not None:
            for keyframe in clock.keyframes_before(begin)[-1:]:
                if keyframe.begin == begin:
                    self._num_counted, self._counted_from = keyframe.number, begin
        self._num_counted += 1
        return clock.begin_of(self._num_counted - 1)

    def _note_damage(self, tick: int | None) -> None:
        self._num_failures += 1
        # A keyframe heals only what was broken before it in time, for it may have been decoded
        # before the damage and come out after.
        self._damaged_from = max(
            self._passed if tick is None else tick,
            self._passed if self._damaged_from is None else self._damaged_from,
        )
