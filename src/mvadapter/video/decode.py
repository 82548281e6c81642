"""A video file in, the frames of a segment out."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from os import PathLike
from pathlib import Path
from types import TracebackType

import numpy as np
from av.error import FFmpegError

from mvadapter.errors import ConfigError, VideoError
from mvadapter.shapes import FrameImages, FrameSeconds
from mvadapter.video.clock import Clock
from mvadapter.video.colour import ColourImage
from mvadapter.video.complaint import complaint
from mvadapter.video.container import VideoFile
from mvadapter.video.decoder import Decoder
from mvadapter.video.picture import Projector, orientation_of
from mvadapter.video.sample import Sampling, check_sampling, choose_frames, frame_edges
from mvadapter.video.timeline import Timeline
from mvadapter.video.timetable import Timetable

# More than this is a mistake in the number of frames, and would end the process instead.
_MAX_SEGMENT_BYTES = 16 * 2**30


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentFrames:
    """Frames of one segment, in order of presentation."""

    images: FrameImages
    """Red, green and blue as a player shows them on an ordinary screen: upright, square pixels."""
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
    """Width as shown, in square pixels, after rotation."""
    height_px: int
    """Height as shown, in square pixels, after rotation."""
    remark: str | None = None
    """What is unusual about its times and how they were read; most files have nothing."""


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
        self._timetable = Timetable(self._packets)
        # Of the file that is not decoded, whose sizes stay what they were when it was opened.
        self._projector = Projector(self._packets.stream)
        self._decoder = Decoder(
            VideoFile(Path(path), num_threads=num_threads, clock=self._packets.clock)
        )

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

    @property
    def clock(self) -> Clock:
        """How the times in the file become those given here, as far as that was found out."""
        return self._packets.clock

    @property
    def tick(self) -> Fraction:
        """The seconds of a tick, which a timeline counts in."""
        return self._packets.tick

    @cached_property
    def info(self) -> VideoInfo:
        """The metadata of the file.

        Raises:
            VideoError: The video has no frames, or the first ones cannot be decoded.
        """
        start, end = self._timetable.bounds()
        width, height = self._projector.size
        if orientation_of(self._decoder.any_frame()).is_on_its_side:
            width, height = height, width
        return VideoInfo(
            path=self._packets.path,
            start_seconds=self._packets.seconds(start),
            end_seconds=self._packets.seconds(end),
            width_px=width,
            height_px=height,
            remark=self._packets.clock.remark,
        )

    @cached_property
    def real_end_seconds(self) -> float:
        """When the last frame ends that is there, whatever the file declares.

        It is before `info.end_seconds` where the file breaks off, and after it where another was
        appended to it.

        Raises:
            VideoError: The video has no frames, or the first ones cannot be decoded.
        """
        declared = self._timetable.declared_end
        if declared is not None:
            end = self._timetable.timeline(Fraction(declared)).end
            # Files often miscount by a frame.
            if abs(end - declared) > 2 * self._packets.usual_duration:
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
        timeline = self._timetable.timeline(start, end)
        declared = self._timetable.declared_end
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
        width, height = self._projector.size
        num_bytes = num_frames * width * height * 3
        if num_bytes > _MAX_SEGMENT_BYTES:
            raise VideoError(
                complaint(
                    self._packets.path,
                    f"{num_frames} frames at once would take {num_bytes / 2**30:.0f} GiB",
                    "ask for fewer",
                )
            )

    def _images(self, timeline: Timeline, ticks: list[int]) -> Iterator[tuple[int, ColourImage]]:
        """Decode the frames that begin at `ticks`, as they are shown and all of one size.

        Raises:
            MemoryError: There is too little memory for one.
            VideoError: One is damaged, or its colours are of an unknown kind.
        """
        for tick in ticks:
            shown = self._decoder.frame_at(tick, timeline.keyframe_before(tick))
            try:
                picture = self._projector.picture(shown.frame)
            except MemoryError:
                raise
            except FFmpegError as error:
                raise VideoError(
                    complaint(
                        self._packets.path,
                        f"its colours cannot be converted (matrix {shown.frame.colorspace}, "
                        f"{shown.frame.format.name})",
                        "convert it to BT.709, as most video has it",
                    )
                ) from error
            yield shown.start, picture


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
