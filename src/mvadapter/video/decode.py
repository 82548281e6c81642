"""A video file in, the frames of a segment out."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

import numpy as np
from av.error import FFmpegError
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from jaxtyping import UInt8

from mvadapter.errors import ConfigError, VideoError
from mvadapter.shapes import FrameImages, FrameSeconds
from mvadapter.video.container import Timeline, VideoFile, complaint
from mvadapter.video.sample import Sampling, check_sampling, choose_frames, frame_edges

# A seek throws away what the decoder had begun, so it pays only from some frames on.
_SEEK_COST_FRAMES = 8
# The longest wait for a first frame in a sound file is a stream that begins between keyframes.
_MAX_SILENT_PACKETS = 1000
# More than this is a mistake in the number of frames, and would end the process instead.
_MAX_SEGMENT_BYTES = 16 * 2**30


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentFrames:
    """Frames of one segment, in order of presentation."""

    images: FrameImages
    """Red, green and blue, upright as a player shows them."""
    seconds: FrameSeconds
    """When each begins, in the container's presentation time."""

    def __post_init__(self) -> None:
        shape = self.images.shape
        if self.images.dtype != np.uint8 or len(shape) != 4 or shape[3] != 3:
            raise ConfigError(
                "images must be uint8 of [frame height width 3], "
                f"got {self.images.dtype} of {list(shape)}"
            )
        if self.seconds.dtype != np.float64 or self.seconds.shape != shape[:1]:
            raise ConfigError(
                f"seconds must be float64 of [{shape[0]}], "
                f"got {self.seconds.dtype} of {list(self.seconds.shape)}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoInfo:
    """The metadata of a video file."""

    path: Path
    """The file."""
    start_seconds: float
    """When the first frame begins, in the container's presentation time; often but not always 0."""
    end_seconds: float
    """When the last frame ends."""
    width_px: int
    """Width as shown, after rotation."""
    height_px: int
    """Height as shown, after rotation."""


class VideoReader:
    """Reads segments of one video file, keeping its decoder open between them.

    Segments read in order are decoded in one go. A seek happens where it saves decoding, and a
    frame is only ever given for the time at which the container shows it. Not for several threads
    at once.

    Args:
        path: The file.
        num_threads: Threads the decoder may use. 1 wastes least where many files are read at once.

    Raises:
        ConfigError: `num_threads` is below 1.
        VideoError: The file is not there, holds no video, or no frame of it can be decoded.
    """

    def __init__(self, path: str | PathLike[str], *, num_threads: int = 1) -> None:
        if num_threads < 1:
            raise ConfigError(f"num_threads must be at least 1, got {num_threads}")
        self._packets = VideoFile(Path(path))
        self._decoder = _Decoder(VideoFile(Path(path), num_threads=num_threads))
        self._reformatter = VideoReformatter()

    def __enter__(self) -> "VideoReader":
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
        self._packets.close()
        self._decoder.close()

    @property
    def num_decoded_frames(self) -> int:
        """How many frames were decoded so far: what reading has cost."""
        return self._decoder.num_decoded_frames

    @cached_property
    def info(self) -> VideoInfo:
        """The metadata of the file.

        Raises:
            VideoError: The video has no frames, or the first ones cannot be decoded.
        """
        start, end = self._packets.bounds()
        stream = self._packets.stream
        width, height = stream.codec_context.width, stream.codec_context.height
        if _quarter_turns(self._decoder.any_frame()) % 2:
            width, height = height, width
        return VideoInfo(
            path=self._packets.path,
            start_seconds=self._packets.seconds(start),
            end_seconds=self._packets.seconds(end),
            width_px=width,
            height_px=height,
        )

    @cached_property
    def real_end_seconds(self) -> float:
        """When the last frame ends that is there; before `info.end_seconds` where one is missing.

        Raises:
            VideoError: The video has no frames, or the first ones cannot be decoded.
        """
        declared = self._packets.declared_end
        if declared is not None:
            end = self._packets.timeline(Fraction(declared)).end
            if self._breaks_off(end, Fraction(declared)):
                return self._packets.seconds(end)
        return self.info.end_seconds

    def read(
        self,
        num_frames: int,
        start_seconds: float | None = None,
        end_seconds: float | None = None,
        *,
        sampling: Sampling = "uniform",
    ) -> SegmentFrames:
        """Read the frames that represent a segment.

        Args:
            num_frames: How many frames to take, at least 1.
            start_seconds: Where the segment begins, in the container's presentation time; None is
                where the video does. Its first frame is the one on display then.
            end_seconds: Where it ends; None, and any time after the video's end, is where the
                video does.
            sampling: Which frames to take; see `choose_frames`.

        Returns:
            At most `num_frames` frames in order, none twice. There are fewer where the segment
            holds fewer, or where one frame stays on display for long.

        Raises:
            ConfigError: `num_frames` is below 1, or `sampling` is not known.
            VideoError: The segment is empty or outside the video, or a frame it needs is damaged.
        """
        check_sampling(num_frames, sampling)
        start, end = self._ticks(start_seconds, end_seconds)
        timeline = self.timeline(start_seconds, end_seconds)
        *starts, finish = frame_edges(timeline.starts, timeline.end)
        chosen = choose_frames(
            starts,
            starts[0] if start is None else max(start, starts[0]),
            finish if end is None else min(end, finish),
            num_frames,
            sampling,
        )
        self._refuse_too_many(len(chosen))
        shown = dict(self._images(timeline, [timeline.starts[index] for index in chosen]))
        return SegmentFrames(
            images=np.stack(list(shown.values())),
            seconds=np.array([self._packets.seconds(tick) for tick in shown]),
        )

    def timeline(
        self, start_seconds: float | None = None, end_seconds: float | None = None
    ) -> Timeline:
        """Find when the frames of a segment begin, without decoding them; there is at least one.

        Args:
            start_seconds: Start of the segment; None is the start of the video.
            end_seconds: End of the segment; None is the end of the video.

        Raises:
            VideoError: The segment is empty or outside the video, or the file breaks off in it.
        """
        start, end = self._ticks(start_seconds, end_seconds)
        packets = self._packets
        timeline = packets.timeline(start, end)
        declared = packets.declared_end
        if declared is not None:
            needed = Fraction(declared) if end is None else min(end, Fraction(declared))
            if self._breaks_off(timeline.end, needed):
                raise VideoError(
                    complaint(
                        packets.path,
                        f"ends at {packets.seconds(timeline.end):.3f} s, "
                        f"but should end at {packets.seconds(declared):.3f} s",
                        "download or copy it again",
                    )
                )
        if start is not None and start >= timeline.end:
            raise VideoError(
                complaint(
                    packets.path,
                    f"the segment begins at {packets.seconds(start):.3f} s, "
                    f"but the video ends at {packets.seconds(timeline.end):.3f} s",
                    "use an earlier start",
                )
            )
        if end is not None and end <= timeline.starts[0]:
            raise VideoError(
                complaint(
                    packets.path,
                    f"the segment ends at {packets.seconds(end):.3f} s, "
                    f"but the video begins at {packets.seconds(timeline.starts[0]):.3f} s",
                    "use a later end",
                )
            )
        return timeline

    def frames(
        self, start_seconds: float | None = None, end_seconds: float | None = None
    ) -> Iterator[SegmentFrames]:
        """Give every frame of a segment, one at a time.

        Args:
            start_seconds: Start of the segment; None is the start of the video.
            end_seconds: End of the segment; None is the end of the video.

        Yields:
            A `SegmentFrames` of one frame each.

        Raises:
            VideoError: The segment is empty or outside the video, or a frame of it is damaged.
        """
        timeline = self.timeline(start_seconds, end_seconds)
        for tick, image in self._images(timeline, timeline.starts):
            seconds = np.array([self._packets.seconds(tick)])
            yield SegmentFrames(images=image[None], seconds=seconds)

    def _ticks(
        self, start_seconds: float | None, end_seconds: float | None
    ) -> tuple[Fraction | None, Fraction | None]:
        start = -math.inf if start_seconds is None else start_seconds
        end = math.inf if end_seconds is None else end_seconds
        if not start < end:
            raise VideoError(
                complaint(
                    self._packets.path,
                    f"a segment from {start} to {end} s is empty",
                    "use an end after its start",
                )
            )
        return (
            None if start == -math.inf else self._packets.ticks(start),
            None if end == math.inf else self._packets.ticks(end),
        )

    def _breaks_off(self, end: int, needed: Fraction) -> bool:
        # Files often miscount by a frame.
        return needed - end > 2 * self._packets.usual_duration

    def _refuse_too_many(self, num_frames: int) -> None:
        context = self._packets.stream.codec_context
        num_bytes = num_frames * context.width * context.height * 3
        if num_bytes > _MAX_SEGMENT_BYTES:
            raise VideoError(
                complaint(
                    self._packets.path,
                    f"{num_frames} frames at once would take {num_bytes / 2**30:.0f} GiB",
                    "ask for fewer",
                )
            )

    def _images(
        self, timeline: Timeline, ticks: list[int]
    ) -> Iterator[tuple[int, UInt8[np.ndarray, "height width channel"]]]:
        """Decode the frames that begin at `ticks`, upright and all of the stream's size."""
        # The stream of the other file, whose size stays what it was when it was opened.
        context = self._packets.stream.codec_context
        for tick in ticks:
            shown = self._decoder.frame_at(tick, timeline.keyframe_before(tick))
            picture = self._reformatter.reformat(
                shown.frame, width=context.width, height=context.height, format="rgb24"
            )
            turns = _quarter_turns(shown.frame)
            yield shown.start, np.ascontiguousarray(np.rot90(picture.to_ndarray(), turns))


def read_segment(
    path: str | PathLike[str],
    num_frames: int = 12,
    start_seconds: float | None = None,
    end_seconds: float | None = None,
    *,
    sampling: Sampling = "uniform",
    num_threads: int = 1,
) -> SegmentFrames:
    """Read the frames that represent a segment of a file.

    Args:
        path: The file.
        num_frames: How many frames to take, at least 1.
        start_seconds: Where the segment begins, in the container's presentation time; None is
            where the video does.
        end_seconds: End of the segment; None is the end of the video.
        sampling: Which frames to take; see `choose_frames`.
        num_threads: Threads the decoder may use.

    Returns:
        At most `num_frames` frames in order, none twice; see `VideoReader.read`.

    Raises:
        ConfigError: A setting has a value it cannot have.
        VideoError: The file or the segment gives no frames, or a frame it needs is damaged.
    """
    with VideoReader(path, num_threads=num_threads) as reader:
        return reader.read(num_frames, start_seconds, end_seconds, sampling=sampling)


class _Shown(NamedTuple):
    """A frame that came out of the decoder."""

    start: int
    """When it begins, in ticks."""
    frame: VideoFrame
    is_damaged: bool
    """It, or something it may be built from, could not be decoded."""


class _Decoder:
    """Gives the frame on display at a time, by decoding on or from a keyframe.

    What FFmpeg makes up for damaged data is never given: from the damage on, every frame counts as
    damaged until a sound keyframe comes. Changed bytes that the decoder itself takes for a picture
    go unnoticed; VP8, VP9, AV1 and HEVC notice few of them.
    """

    def __init__(self, file: VideoFile) -> None:
        self.num_decoded_frames = 0
        self._file = file
        self._shown: _Shown | None
        self._ahead: _Shown | None
        self._start_over(None)

    def close(self) -> None:
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

    def frame_at(self, tick: int, keyframe: int | None) -> _Shown:
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
        self._damaged_from: int | None = None

    def _advance(self, tick: int) -> _Shown | None:
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

    def _decode(self) -> Iterator[_Shown]:
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

    def _decode_packet(self, packet: Packet | None) -> list[_Shown]:  # type: ignore[type-arg]
        """Decode one packet; None asks for all the frames that the decoder still holds."""
        begin = None if packet is None else packet.dts if packet.pts is None else packet.pts
        if packet is not None and packet.is_corrupt:
            self._note_damage(begin)
            return []
        try:
            frames = self._file.stream.codec_context.decode(packet)
        except FFmpegError:
            self._note_damage(begin)
            return []
        self.num_decoded_frames += len(frames)
        return [self._judge(frame) for frame in frames]

    def _judge(self, frame: VideoFrame) -> _Shown:
        start = frame.dts if frame.pts is None else frame.pts
        if start is None:
            raise VideoError(
                complaint(
                    self._file.path,
                    "its frames have no timestamps",
                    "put it into an mp4 or mkv file",
                )
            )
        if frame.is_corrupt:
            self._note_damage(start)
        elif frame.key_frame and self._damaged_from is not None and start > self._damaged_from:
            self._damaged_from = None
        return _Shown(start, frame, is_damaged=self._damaged_from is not None)

    def _note_damage(self, tick: int | None) -> None:
        self._num_failures += 1
        # A keyframe heals only what was broken before it in time, for it may have been decoded
        # before the damage and come out after.
        self._damaged_from = max(
            self._passed if tick is None else tick,
            self._passed if self._damaged_from is None else self._damaged_from,
        )


def _quarter_turns(frame: VideoFrame) -> int:
    """How often to turn a frame counterclockwise by 90 degrees to show it upright."""
    return round(frame.rotation / 90) % 4
