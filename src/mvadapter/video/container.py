"""A video file in, the times at which its frames begin out; nothing is decoded here."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Protocol, runtime_checkable

import av
from av.container import InputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.stream import Disposition
from av.video.stream import VideoStream

from mvadapter.errors import VideoError

VIDEO_SUFFIXES = frozenset({
    ".3g2", ".3gp", ".3gpp", ".asf", ".avi", ".divx", ".flv", ".gif", ".m2ts", ".m4v", ".mkv",
    ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".mxf", ".ogv", ".qt", ".ts", ".vob", ".webm", ".wmv",
})  # fmt: skip
"""How a file's name must end to be taken from a folder; one named by itself may end in anything."""

MAX_FRAME_PIXELS = 64 * 2**20
"""Larger pictures are refused before memory is taken for them; 8K video has 33 million pixels."""

# Tried one after the other until a seek lands at or before the requested time.
_SEEK_MARGINS_SECONDS = (0, 10)
# FFmpeg counts ticks in 64 bits.
_FAR = 2**62


def complaint(path: Path, problem: str, advice: str) -> str:
    """Describe in one line the file, the problem and what to do."""
    name = str(path).encode("utf-8", "backslashreplace").decode()
    return " ".join(f"{name}: {problem}; {advice}".splitlines())


@runtime_checkable
class _Rational(Protocol):
    @property
    def numerator(self) -> int: ...
    @property
    def denominator(self) -> int: ...


def as_fraction(rational: _Rational) -> Fraction:
    """Convert PyAV's rational numbers, which from version 19 on are a type of its own."""
    return Fraction(rational.numerator, rational.denominator)


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """When the frames of a stretch of video begin, in ticks of its stream."""

    starts: list[int]
    """When each frame begins, ascending; the first may begin before the stretch."""
    end: int
    """When the last of them ends."""
    keyframes: list[int]
    """When each frame begins that can be decoded without an earlier one, ascending."""

    def keyframe_before(self, tick: Fraction | int) -> int | None:
        """Find the latest keyframe that begins at or before `tick`."""
        place = bisect_right(self.keyframes, tick)
        return self.keyframes[place - 1] if place else None


class VideoFile:
    """One open file and the first real video stream in it.

    FFmpeg's own messages need no silencing: PyAV drops them unless the application asks for them.

    Args:
        path: The file.
        num_threads: Threads its decoder may use.

    Raises:
        VideoError: There is no such file, or it holds no video that can be read.
    """

    def __init__(self, path: Path, *, num_threads: int = 1) -> None:
        self.path = path
        self._num_threads = num_threads
        _refuse_unreadable(path)
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
        """Yield the packets of the video from the present place on.

        The last one is empty and makes a decoder give what it still holds; it is missing where the
        file cannot be read to its end.

        Raises:
            VideoError: A packet is encrypted, and decoding it would give noise.
        """
        self._is_at_beginning = False
        with suppress(FFmpegError):
            for packet in self.container.demux(self.stream):
                if packet.has_sidedata("encryption_info"):
                    raise VideoError(
                        complaint(self.path, "is encrypted", "use a copy without protection")
                    )
                yield packet

    def seek(self, tick: int | None) -> None:
        """Go to a keyframe, most often the latest at or before `tick`; None is the beginning."""
        if tick is not None:
            with suppress(FFmpegError):
                self.container.seek(tick, stream=self.stream)
                self._is_at_beginning = False
                return
        if not self._is_at_beginning:
            # Opening the file again is the only way back that works with every demuxer.
            self.close()
            self._open()

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

    def bounds(self) -> tuple[int, int]:
        """Find when the first frame begins and when the last one ends, in ticks.

        Raises:
            VideoError: The video has no frames, or they have no timestamps.
        """
        start = self.stream.start_time
        if start is not None and self.declared_end is not None:
            return start, self.declared_end
        if start is None or not self.container.duration:
            timeline = self.timeline()
            return timeline.starts[0], timeline.end
        first = self.container.start_time or 0
        last = Fraction(first + self.container.duration, av.time_base) / self.tick
        return start, self.timeline(last).end

    def timeline(self, start: Fraction | None = None, end: Fraction | None = None) -> Timeline:
        """Read when the frames begin that are on display from `start` to `end`.

        Args:
            start: Where the stretch begins, in ticks; None is where the video does.
            end: Where it ends, in ticks; None is where the video does.

        Raises:
            VideoError: The video has no frames, or they have no timestamps.
        """
        if start is not None:
            for margin in _SEEK_MARGINS_SECONDS:
                self.seek(max(-_FAR, min(int(start - margin / self.tick), _FAR)))
                timeline = self._collect(start, end)
                # A seek may land too late, where an index is by decoding time or is wrong.
                if timeline is not None and timeline.keyframe_before(start) is not None:
                    return timeline
        self.seek(None)
        timeline = self._collect(start, end)
        if timeline is None:
            raise VideoError(
                complaint(self.path, "its video has no frames", "download or copy it again")
            )
        return timeline

    def _collect(self, start: Fraction | None, end: Fraction | None) -> Timeline | None:
        """Read packets until none to come can hold a frame that begins before `end`.

        Raises:
            VideoError: A packet has no timestamps.
        """
        durations: dict[int, int] = {}
        keyframes: set[int] = set()
        for packet in self.packets():
            if not packet.size or packet.is_discard:
                continue
            begin = packet.dts if packet.pts is None else packet.pts
            if begin is None:
                raise VideoError(
                    complaint(
                        self.path, "its frames have no timestamps", "put it into an mp4 or mkv file"
                    )
                )
            durations[begin] = packet.duration or 0
            if packet.is_keyframe:
                keyframes.add(begin)
            # No frame is shown before it is decoded.
            if end is not None and packet.dts is not None and packet.dts >= end:
                break
        if not durations:
            return None
        starts = sorted(durations)
        first = 0 if start is None else max(0, bisect_right(starts, start) - 1)
        last = len(starts) if end is None else max(first + 1, bisect_left(starts, end))
        finish = starts[last] if last < len(starts) else self._end_of(starts, durations)
        return Timeline(starts=starts[first:last], end=finish, keyframes=sorted(keyframes))

    def _end_of(self, starts: list[int], durations: dict[int, int]) -> int:
        """Find the end of the last frame, which lasts as long as the one before unless declared."""
        if durations[starts[-1]]:
            return starts[-1] + durations[starts[-1]]
        if len(starts) > 1:
            return 2 * starts[-1] - starts[-2]
        seconds = Fraction(self.container.duration or 0, av.time_base)
        return starts[-1] + max(self.usual_duration, int(seconds / self.tick))

    def _open(self) -> None:
        self.container = _open_container(self.path)
        self._is_at_beginning = True
        try:
            self.stream = _first_video(self.path, self.container)
        except VideoError:
            self.container.close()
            raise
        self.stream.codec_context.thread_count = self._num_threads
        self.stream.codec_context.thread_type = "AUTO"
        self.stream.codec_context.options = {"max_pixels": str(MAX_FRAME_PIXELS)}


def _refuse_unreadable(path: Path) -> None:
    if path.is_dir():
        raise VideoError(complaint(path, "is a folder", "pass the path of a video file"))
    if not path.exists():
        raise VideoError(complaint(path, "there is no such file", "check the path"))
    if not path.is_file():
        raise VideoError(
            complaint(path, "is not an ordinary file", "pass the path of a video file")
        )
    if not path.stat().st_size:
        raise VideoError(complaint(path, "the file is empty", "download or copy it again"))


def _open_container(path: Path) -> InputContainer:
    try:
        # "file:" keeps FFmpeg from taking "a:b.mp4" for a network address. Names and titles in a
        # file may be in any encoding, and nobody reads them here.
        return av.open(f"file:{path}", mode="r", metadata_errors="replace")
    except PermissionError as error:
        raise VideoError(complaint(path, "may not be read", "change its permissions")) from error
    except (FFmpegError, OSError, ValueError) as error:
        raise VideoError(
            complaint(
                path,
                "cannot be opened as a video: it is damaged, cut off, or something else",
                "play it, then download or convert it again",
            )
        ) from error


def _first_video(path: Path, container: InputContainer) -> VideoStream:
    streams = [
        stream
        for stream in container.streams.video
        if not stream.disposition & Disposition.attached_pic
    ]
    if not streams:
        kinds = ", ".join(stream.type for stream in container.streams) or "nothing"
        raise VideoError(
            complaint(path, f"contains no video (but {kinds})", "use a file with a video stream")
        )
    stream = streams[0]
    # PyAV has none, despite its annotations, where FFmpeg knows no decoder.
    if getattr(stream, "codec_context", None) is None:
        raise VideoError(complaint(path, "no decoder supports its format", "convert it to H.264"))
    width, height = stream.codec_context.width, stream.codec_context.height
    if not width or not height:
        raise VideoError(complaint(path, "its video has no size", "download or convert it again"))
    if width * height > MAX_FRAME_PIXELS:
        raise VideoError(
            complaint(
                path, f"its pictures are too large, {width} x {height} pixels", "scale it down"
            )
        )
    return stream
