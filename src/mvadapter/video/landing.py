"""A stream and a place in it in, its packets from there on out, wherever a seek has landed."""

from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, TypeAlias

from av.audio.stream import AudioStream
from av.packet import Packet
from av.stream import Disposition

from mvadapter.video.clock import Clock
from mvadapter.video.container import VideoFile, as_fraction
from mvadapter.video.damage import damage_ignored

AnyPacket: TypeAlias = "Packet[Any]"
_Demux: TypeAlias = Callable[[int | None], Generator[AnyPacket, None, None]]
_Judge: TypeAlias = Callable[[AnyPacket], bool | None]

# How far before the place to seek, one after the other; None is the beginning of the file. Some
# containers seek by the time of decoding, which is before that of presentation.
_MARGINS_SECONDS = (0, 1, 10, None)
# The encoders of parts hold back sound for less than this.
_MAX_SOUND_GAP_SECONDS = Fraction(1, 4)


def begin_of(packet: AnyPacket) -> int | None:
    """When what a packet holds is presented, in ticks, as far as the packet has a time."""
    return packet.dts if packet.pts is None else packet.pts


def first_audio(file: VideoFile) -> AudioStream | None:
    """Find the audio that a player plays: the default one, else the first that can be decoded."""
    # PyAV has no context, despite its annotations, where FFmpeg knows no decoder.
    streams = [
        stream
        for stream in file.container.streams.audio
        if getattr(stream, "codec_context", None) is not None
    ]
    defaults = [stream for stream in streams if stream.disposition & Disposition.default]
    return next(iter(defaults or streams), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A file to copy from, opened again for each of its streams."""

    path: Path
    clock: Clock
    """What a reader found out about its times."""

    def open(self) -> VideoFile:
        """Open the file at its beginning."""
        return VideoFile(self.path, clock=self.clock)


def video_packets(source: Source, keyframe: int) -> Generator[AnyPacket, None, None]:
    """Yield the packets of the video, beginning with the keyframe that is presented at a tick.

    They begin with another one only where the file has no such keyframe.
    """

    def judge(packet: AnyPacket) -> bool | None:
        begin = begin_of(packet)
        if begin is None or not packet.is_keyframe:
            return None
        return begin == keyframe if begin >= keyframe else None

    def demux(margin: int | None) -> Generator[AnyPacket, None, None]:
        with source.open() as file:
            if margin is not None:
                file.seek(int(keyframe - margin / file.tick))
            yield from (packet for packet in file.packets() if packet.size)

    return _packets_from(demux, judge)


def audio_packets(source: Source, start_seconds: Fraction) -> Generator[AnyPacket, None, None]:
    """Yield the packets of the audio, beginning with the one that is heard at a time.

    They begin later where the audio does.
    """

    def judge(packet: AnyPacket) -> bool | None:
        begin = begin_of(packet)
        if begin is None:
            return None
        tick = as_fraction(packet.time_base)
        if begin * tick > start_seconds:
            return False
        return True if (begin + (packet.duration or 1)) * tick > start_seconds else None

    def demux(margin: int | None) -> Generator[AnyPacket, None, None]:
        # What cannot be read to its end ends there.
        with source.open() as file, damage_ignored():
            if margin is not None:
                _seek_audio(file, start_seconds - margin)
            stream = first_audio(file)
            if stream is None:
                return
            packets = (packet for packet in file.container.demux(stream) if packet.size)
            yield from _on_one_clock(packets, source.clock, file.tick)

    return _packets_from(demux, judge)


def _seek_audio(file: VideoFile, seconds: Fraction) -> None:
    if file.clock.keyframes:
        file.seek(int(seconds / file.tick))
        return
    stream = first_audio(file)
    if stream is not None and stream.time_base:
        ticks = seconds / as_fraction(stream.time_base)
        file.container.seek(int(ticks), stream=stream)


def _packets_from(demux: _Demux, judge: _Judge) -> Generator[AnyPacket, None, None]:
    """Seek ever earlier until the packet is found that `judge` accepts, and yield from it on.

    A judge returns None for a packet before the one it wants, and False for one after it.
    """
    for margin in _MARGINS_SECONDS:
        with closing(demux(margin)) as packets:
            first = next((packet for packet in packets if judge(packet) is not None), None)
            if first is not None and (margin is None or judge(first)):
                yield first
                yield from packets
                return


def _on_one_clock(
    packets: Iterable[AnyPacket], clock: Clock, video_tick: Fraction
) -> Iterator[AnyPacket]:
    """Let the sound of each part begin when its pictures do, where the clock has breaks."""
    place, end = 0, None
    for packet in packets:
        # Of several in one piece of the file, only the first has a place.
        place = place if packet.pos is None else packet.pos
        begin = begin_of(packet)
        if len(clock.part_shifts) > 1 and begin is not None:
            tick = as_fraction(packet.time_base)
            shifts = [shift * video_tick / tick for shift in clock.shifts_near(place)]
            packet.pts = packet.dts = begin + _best_shift(begin, end, shifts, tick)
            end = packet.pts + (packet.duration or 0)
        yield packet


def _best_shift(begin: int, end: int | None, shifts: list[Fraction], tick: Fraction) -> int:
    """Choose the shift that lets sound follow what was heard before, or else the first one.

    At a break, sound of one part lies among the pictures of another.
    """
    if end is not None:
        gaps = [abs(begin + shift - end) for shift in shifts]
        if min(gaps) * tick < _MAX_SOUND_GAP_SECONDS:
            return round(shifts[gaps.index(min(gaps))])
    return round(shifts[0])
