"""A video file in, the times at which its frames begin out; nothing is decoded here."""

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction

import av
from av.packet import Packet

from mvadapter.errors import VideoError
from mvadapter.video.appended import has_another
from mvadapter.video.complaint import complaint
from mvadapter.video.container import VideoFile
from mvadapter.video.remembered import RememberedScans, Scan
from mvadapter.video.reordered import lacks_times
from mvadapter.video.scan import scan_packets
from mvadapter.video.timeline import Stretch, Timeline

# Their clocks cannot be trusted.
_FORMATS_WITHOUT_INDEX = frozenset({"h264", "hevc", "mpeg", "mpegts", "mpegvideo", "obu"})
# Tried one after the other until a seek lands at or before the requested time.
_SEEK_MARGINS_SECONDS = (0, 10)
# FFmpeg counts ticks in 64 bits.
_FAR = 2**62
# Careless programs write times that go back by a frame; more is another video.
_MAX_STEP_BACK_SECONDS = 1

_SCANS = RememberedScans()


class Timetable:
    """Finds when the frames of a file begin, reading each packet once where reads are in order.

    Args:
        file: The file, whose place it moves and whose clock it fills.
    """

    def __init__(self, file: VideoFile) -> None:
        self._file = file
        self._complete: Stretch | None = None
        self._stretch = Stretch(file.usual_duration)
        self._coming: Iterator[Packet] = iter(())  # type: ignore[type-arg]
        # The latest time at which a frame was decoded; None where there are no more.
        self._reached: int | None = None

    @property
    def declared_end(self) -> int | None:
        """When the last frame ends, in ticks, if the file declares it and can know it."""
        return None if self._has_no_index else self._file.declared_end

    def bounds(self) -> tuple[int, int]:
        """Find when the first frame begins and when the last one ends, in ticks.

        Raises:
            VideoError: The video has no frames, or they have no timestamps.
        """
        file = self._file
        start = file.stream.start_time
        if self._is_scanned:
            timeline = self.timeline()
            return timeline.starts[0], self.declared_end or timeline.end
        if start is not None and self.declared_end is not None:
            return start, self.declared_end
        if start is None or not file.container.duration:
            timeline = self.timeline()
            return timeline.starts[0], timeline.end
        first = file.container.start_time or 0
        last = Fraction(first + file.container.duration, av.time_base) / file.tick
        return start, self.timeline(last).end

    def timeline(self, start: Fraction | None = None, end: Fraction | None = None) -> Timeline:
        """Read when the frames begin that are on display from `start` to `end`.

        Args:
            start: Where the stretch begins, in ticks; None is where the video does.
            end: Where it ends, in ticks; None is where the video does.

        Raises:
            VideoError: The video has no frames, they have no timestamps, the clock goes back, or
                another video follows.
        """
        if self._is_scanned:
            return self._scan().cut(start, end)
        if not self._continues(start):
            self._begin_at(start, end)
        return self._read_on(end).cut(start, end)

    @property
    def _is_scanned(self) -> bool:
        return self._has_no_index or lacks_times(self._file)

    @property
    def _has_no_index(self) -> bool:
        return self._file.container.format.name in _FORMATS_WITHOUT_INDEX

    def _scan(self) -> Stretch:
        if self._complete is None:
            clock, self._complete = _SCANS.get(self._file.path, self._scan_anew)
            self._file.clock.take_over(clock)
        return self._complete

    def _scan_anew(self) -> Scan:
        file = self._file
        file.seek(None)
        stretch = scan_packets(file)
        self._refuse_empty(stretch)
        return Scan(replace(file.clock), stretch)

    def _continues(self, start: Fraction | None) -> bool:
        """Whether what was read last can be read on to give what begins at `start`."""
        if start is None or self._stretch.keyframe_before(start) is None:
            return False
        return self._reached is None or start <= self._reached

    def _begin_at(self, start: Fraction | None, end: Fraction | None) -> None:
        """Begin at a keyframe at or before `start`."""
        if start is not None:
            for margin in _SEEK_MARGINS_SECONDS:
                self._file.seek(max(-_FAR, min(int(start - margin / self._file.tick), _FAR)))
                self._start_over()
                # A seek may land too late, where an index is by decoding time or is wrong.
                if self._read_on(end).keyframe_before(start) is not None:
                    return
        self._file.seek(None)
        self._start_over()
        self._refuse_empty(self._read_on(end))

    def _start_over(self) -> None:
        file = self._file
        declared = Fraction(file.container.duration or 0, av.time_base) / file.tick
        self._stretch = Stretch(max(file.usual_duration, int(declared)))
        self._coming = file.packets()
        self._reached = -_FAR

    def _read_on(self, end: Fraction | None) -> Stretch:
        """Read packets until none to come can hold a frame that begins before `end`.

        Raises:
            VideoError: A packet has no timestamps, the clock goes back, or another video follows.
        """
        stretch = self._stretch
        while self._reached is not None and (end is None or self._reached < end):
            packet = next(self._coming, None)
            if packet is None:
                self._refuse_appended()
                self._reached = None
                break
            if not packet.size or packet.is_discard:
                continue
            begin = packet.dts if packet.pts is None else packet.pts
            if begin is None:
                raise VideoError(
                    complaint(
                        self._file.path,
                        "its frames have no timestamps",
                        "put it into an mp4 or mkv file",
                    )
                )
            stretch.add(begin, packet.duration or 0, is_keyframe=packet.is_keyframe)
            if packet.dts is not None:
                self._refuse_going_back(packet.dts)
                # No frame is shown before it is decoded.
                self._reached = max(self._reached, packet.dts)
        return stretch

    def _refuse_going_back(self, decoded: int) -> None:
        reached, file = self._reached, self._file
        if reached is not None and (reached - decoded) * file.tick > _MAX_STEP_BACK_SECONDS:
            raise VideoError(
                complaint(
                    file.path,
                    f"its clock jumps back from {file.seconds(reached):.3f} s "
                    f"to {file.seconds(decoded):.3f} s",
                    "it may be several videos in one file: separate or convert them",
                )
            )

    def _refuse_appended(self) -> None:
        if has_another(self._file.path, self._file.container.format.name):
            raise VideoError(
                complaint(
                    self._file.path,
                    "holds several videos one after the other, and only the first can be read",
                    "separate or convert them",
                )
            )

    def _refuse_empty(self, stretch: Stretch) -> None:
        if not len(stretch):
            raise VideoError(
                complaint(self._file.path, "its video has no frames", "download or copy it again")
            )
