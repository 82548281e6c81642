"""A stream and a place in it in, its packets from there on out, wherever a seek has landed."""

from collections.abc import Callable, Generator
from contextlib import closing, suppress
from fractions import Fraction
from pathlib import Path
from typing import Any, TypeAlias

from av.audio.stream import AudioStream
from av.error import FFmpegError
from av.packet import Packet
from av.stream import Disposition

from mvadapter.video.container import VideoFile, as_fraction

AnyPacket: TypeAlias = "Packet[Any]"
_Choose: TypeAlias = Callable[[VideoFile], Any]
_Place: TypeAlias = Callable[[VideoFile], Fraction]
_Judge: TypeAlias = Callable[[AnyPacket], bool | None]

# How far before the place to seek, one after the other; None is the beginning of the file. Some
# containers seek by the time of decoding, which is before that of presentation.
_MARGINS_SECONDS = (0, 1, 10, None)


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


def video_packets(path: Path, keyframe: int) -> Generator[AnyPacket, None, None]:
    """Yield the packets of the video, beginning with the keyframe that is presented at a tick.

    They begin with another one only where the file has no such keyframe.
    """

    def judge(packet: AnyPacket) -> bool | None:
        begin = begin_of(packet)
        if begin is None or not packet.is_keyframe:
            return None
        return begin == keyframe if begin >= keyframe else None

    return _packets_from(path, lambda file: file.stream, lambda file: keyframe * file.tick, judge)


def audio_packets(path: Path, start_seconds: Fraction) -> Generator[AnyPacket, None, None]:
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

    return _packets_from(path, first_audio, lambda _: start_seconds, judge)


def _packets_from(
    path: Path, choose: _Choose, place: _Place, judge: _Judge
) -> Generator[AnyPacket, None, None]:
    """Seek ever earlier until the packet is found that `judge` accepts, and yield from it on.

    A judge returns None for a packet before the one it wants, and False for one after it.
    """
    for margin in _MARGINS_SECONDS:
        with closing(_demux(path, choose, place, margin)) as packets:
            first = next((packet for packet in packets if judge(packet) is not None), None)
            if first is not None and (margin is None or judge(first)):
                yield first
                yield from packets
                return


def _demux(
    path: Path, choose: _Choose, place: _Place, margin: int | None
) -> Generator[AnyPacket, None, None]:
    # What cannot be read to its end ends there.
    with VideoFile(path) as file, suppress(FFmpegError):
        stream = choose(file)
        if stream is None:
            return
        if margin is not None:
            ticks = (place(file) - margin) / as_fraction(stream.time_base)
            file.container.seek(int(ticks), stream=stream)
        yield from (packet for packet in file.container.demux(stream) if packet.size)
