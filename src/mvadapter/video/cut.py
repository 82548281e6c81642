"""A segment of a video in, an mp4 file out."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from os import PathLike
from pathlib import Path
from typing import TypeAlias

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.stream import Stream
from av.video.frame import VideoFrame
from jaxtyping import UInt8

from mvadapter.errors import StorageError, VideoError
from mvadapter.files import atomic_write
from mvadapter.video.container import Timeline, VideoFile, as_fraction, complaint
from mvadapter.video.decode import VideoReader

# Codecs that mp4 files can hold and most players support.
_VIDEO_CODECS = frozenset({"av1", "h264", "hevc", "vp9"})
_AUDIO_CODECS = frozenset({"aac", "ac3", "alac", "eac3", "mp3", "opus"})
_MICROSECOND = Fraction(1, 1_000_000)
_AUDIO_RATE = 48_000

ColourImage: TypeAlias = UInt8[np.ndarray, "height width channel"]
EvenImage: TypeAlias = UInt8[np.ndarray, "even_height even_width channel"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """A file written by `cut_segment`."""

    path: Path
    """The new file; its own time begins at 0."""
    start_seconds: float
    """Its actual start in the source."""
    end_seconds: float
    """Its actual end in the source."""


def cut_segment(
    path: str | PathLike[str],
    start_seconds: float,
    end_seconds: float,
    output: str | PathLike[str],
) -> Cut:
    """Write a segment of a video, with its sound, as an mp4 file.

    Pictures and sound are copied without encoding where mp4 can hold them. A copy can only begin
    at a keyframe, so it may begin before `start_seconds`. Otherwise both are encoded (H.264, AAC),
    and the cut is exact to the frame.

    The file is written completely or not at all. An existing file is replaced, and missing folders
    are created.

    Args:
        path: The source.
        start_seconds: Where to begin, in the source's presentation time.
        end_seconds: Where to end.
        output: The file to write.

    Raises:
        VideoError: The source gives no frames there, or mp4 cannot hold them.
        StorageError: `output` cannot be written.
    """
    source, target = Path(path), Path(output)
    with VideoReader(source) as reader:
        timeline = reader.timeline(start_seconds, end_seconds)
    if target.exists() and target.samefile(source):
        raise VideoError(complaint(target, "is the source itself", "choose another output"))
    with VideoFile(source) as file:
        audio = _first_audio(file.container)
        is_copied = _may_be_copied(file, audio)
        try:
            with atomic_write(target) as temporary, _mp4(temporary) as written:
                write = _copy if is_copied else _encode
                start, end = write(file, audio, timeline, written)
        except StorageError:
            # Not this video's fault: no other could be written either.
            raise
        except (FFmpegError, OSError, ValueError) as error:
            raise VideoError(
                complaint(
                    target,
                    f"cannot be written ({getattr(error, 'strerror', None) or error})",
                    "choose another output",
                )
            ) from error
    return Cut(path=target, start_seconds=start, end_seconds=end)


def _mp4(path: Path) -> OutputContainer:
    # The index comes first, so that a web page can play the file while it loads.
    return av.open(f"file:{path}", mode="w", format="mp4", options={"movflags": "+faststart"})


def _first_audio(container: InputContainer) -> AudioStream | None:
    for stream in container.streams.audio:
        if getattr(stream, "codec_context", None) is not None:
            return stream
    return None


def _may_be_copied(file: VideoFile, audio: AudioStream | None) -> bool:
    return file.stream.codec_context.codec.canonical_name in _VIDEO_CODECS and (
        audio is None or audio.codec_context.codec.canonical_name in _AUDIO_CODECS
    )


def _copy(
    file: VideoFile, audio: AudioStream | None, timeline: Timeline, written: OutputContainer
) -> tuple[float, float]:
    """Copy packets from the keyframe at or before the segment; return where they begin and end."""
    first = timeline.keyframe_before(timeline.starts[0])
    first = timeline.starts[0] if first is None else first
    start, end = first * file.tick, timeline.end * file.tick
    last_end = timeline.end
    streams: list[Stream] = [file.stream] if audio is None else [file.stream, audio]
    # Opaque, because not every decoder's name (libdav1d) is one of an encoder.
    copies = {
        stream.index: written.add_stream_from_template(stream, opaque=True) for stream in streams
    }
    file.seek(first)
    unfinished = set(copies)
    for packet in _packets(file.container, streams):
        stream, tick = packet.stream, as_fraction(packet.time_base)
        begin = packet.dts if packet.pts is None else packet.pts
        decoded = begin if packet.dts is None else packet.dts
        if begin is None or decoded is None or not packet.size:
            continue
        if decoded * tick >= end:
            unfinished.discard(stream.index)
            if not unfinished:
                break
        elif begin * tick >= start:
            if stream is file.stream:
                last_end = max(last_end, begin + (packet.duration or 0))
            shift = round(start / tick)
            packet.pts, packet.dts = begin - shift, decoded - shift
            packet.stream = copies[stream.index]
            written.mux(packet)
    return file.seconds(first), file.seconds(last_end)


def _encode(
    file: VideoFile, audio: AudioStream | None, timeline: Timeline, written: OutputContainer
) -> tuple[float, float]:
    """Encode the frames and the sound of the segment; return where they begin and end."""
    start, end = file.seconds(timeline.starts[0]), file.seconds(timeline.end)
    rate = Fraction(float(file.stream.average_rate or 25)).limit_denominator(1001)
    video = written.add_stream("libx264", rate=rate, options={"preset": "veryfast", "crf": "20"})
    video.pix_fmt = "yuv420p"
    video.codec_context.time_base = _MICROSECOND
    sound = None
    if audio is not None:
        sound = written.add_stream("aac", rate=_AUDIO_RATE, layout="stereo")
    with VideoReader(file.path) as reader:
        video.width = reader.info.width_px + reader.info.width_px % 2
        video.height = reader.info.height_px + reader.info.height_px % 2
        for shown in reader.frames(start, end):
            image = _even(shown.images[0])
            frame = VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = round((shown.seconds[0] - start) * 1e6), _MICROSECOND
            written.mux(video.encode(frame))
        written.mux(video.encode())
    if audio is not None and sound is not None:
        file.seek(timeline.starts[0])
        for piece in _sound(file.container, audio, start, end):
            written.mux(sound.encode(piece))
        written.mux(sound.encode())
    return start, end


def _sound(
    container: InputContainer, audio: AudioStream, start: float, end: float
) -> Iterator[AudioFrame]:
    """Give what is heard between two times, in the form AAC takes; what is damaged stays silent."""
    resampler = AudioResampler(format="fltp", layout="stereo", rate=_AUDIO_RATE)
    for packet in _packets(container, [audio]):
        frames: list[AudioFrame] = []
        with suppress(FFmpegError):
            frames = audio.codec_context.decode(packet)
        for frame in frames:
            if frame.pts is None or not frame.time_base:
                continue
            seconds = frame.pts * float(frame.time_base)
            if seconds >= end:
                return
            if seconds >= start:
                frame.time_base = Fraction(1, frame.sample_rate)
                frame.pts = round((seconds - start) * frame.sample_rate)
                yield from resampler.resample(frame)


def _packets(container: InputContainer, streams: Sequence[Stream]) -> Iterator[Packet]:  # type: ignore[type-arg]  # no generic at run time
    with suppress(FFmpegError):
        yield from container.demux(*streams)


def _even(image: ColourImage) -> EvenImage:
    """Repeat the last row or column of odd pictures, which H.264's usual form cannot hold."""
    height, width = image.shape[:2]
    return np.pad(image, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
