"""A stretch of a file in, packets of H.264 and AAC for another file out."""

from collections.abc import Generator, Iterable, Iterator
from contextlib import closing, suppress
from fractions import Fraction
from itertools import chain, pairwise
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.error import BlockingIOError as NothingYet
from av.error import EOFError as NothingMore
from av.filter import Graph
from av.video.frame import VideoFrame
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc
from av.video.stream import VideoStream
from jaxtyping import UInt8

from mvadapter.video.container import VideoFile, as_fraction
from mvadapter.video.damage import damage_ignored
from mvadapter.video.decode import VideoReader
from mvadapter.video.landing import AnyPacket, Source, audio_packets
from mvadapter.video.picture import orientation_of

_MICROSECOND = Fraction(1, 1_000_000)
_AUDIO_RATE = 48_000
# Opus needs most time to be heard rightly after a seek (RFC 7845, section 4.6).
_PREROLL_SECONDS = Fraction(8, 100)

ColourImage: TypeAlias = UInt8[np.ndarray, "height width channel"]


def encode_pictures(
    written: OutputContainer, source: Source, start_seconds: Fraction, end_seconds: Fraction
) -> Generator[AnyPacket, None, None]:
    """Add a stream to a file and give the packets of the frames between two times, from 0 on.

    Raises:
        VideoError: A frame is damaged.
    """
    with source.open() as file:
        video = _add_video(written, file)
    width, height = video.width, video.height
    finish = round((end_seconds - start_seconds) * 1_000_000)
    with closing(_shown(source.path, start_seconds, end_seconds)) as shown:
        for (begin, image), (end, _) in pairwise(chain(shown, [(finish, None)])):
            # Where times are missing, a frame may be given in the place of another as well.
            if image is None or end <= begin:
                continue
            frame = _picture(image, width, height)
            frame.pts, frame.duration, frame.time_base = begin, end - begin, _MICROSECOND
            yield from video.encode(frame)
        yield from video.encode()


def _shown(
    path: Path, start_seconds: Fraction, end_seconds: Fraction
) -> Generator[tuple[int, ColourImage], None, None]:
    """Give the frames between two times, and when each begins, in microseconds from the start."""
    with VideoReader(path) as reader:
        for frame in reader.frames(float(start_seconds), float(end_seconds)):
            yield round((frame.seconds[0] - float(start_seconds)) * 1e6), frame.images[0]


def encode_sound(
    written: OutputContainer, source: Source, start_seconds: Fraction, end_seconds: Fraction
) -> Generator[AnyPacket, None, None]:
    """Add a stream to a file and give the packets of what is heard between two times, from 0 on.

    What is missing or damaged is silent. Without any sound there, no stream is added.
    """
    stream: AudioStream | None = None
    for frame in _resampled(
        _heard(source, start_seconds, end_seconds), end_seconds - start_seconds
    ):
        stream = stream or written.add_stream("aac", rate=_AUDIO_RATE, layout="stereo")
        yield from stream.encode(frame)
    if stream is not None:
        yield from stream.encode()


def _add_video(written: OutputContainer, file: VideoFile) -> VideoStream:
    """Add a stream for frames of a file: of its size and shape of pixels, upright, BT.709."""
    source = file.stream
    rate = Fraction(float(source.average_rate or 25)).limit_denominator(1001)
    video = written.add_stream("libx264", rate=rate, options={"preset": "veryfast", "crf": "20"})
    size, shape = (
        (source.codec_context.width, source.codec_context.height),
        (source.sample_aspect_ratio or Fraction(1)),
    )
    if _is_on_its_side(file):
        size, shape = size[::-1], 1 / shape
    context = video.codec_context
    # H.264's usual form has no odd sizes.
    video.width, video.height = (side + side % 2 for side in size)
    context.sample_aspect_ratio = shape
    context.time_base = _MICROSECOND
    video.pix_fmt = "yuv420p"
    # What untagged frames mean is guessed by each player in its own way.
    context.colorspace = Colorspace.ITU709
    context.color_primaries = ColorPrimaries.BT709
    context.color_trc = ColorTrc.BT709
    context.color_range = ColorRange.MPEG
    return video


def _is_on_its_side(file: VideoFile) -> bool:
    with damage_ignored():
        for frame in _decoded(file.packets()):
            return orientation_of(frame).is_on_its_side
    return False


def _picture(image: ColourImage, width: int, height: int) -> VideoFrame:
    """Turn an image into a frame; what is a pixel short gets its last row or column twice."""
    lacks = height - image.shape[0], width - image.shape[1]
    if all(lack in {0, 1} for lack in lacks):
        image = np.pad(image, ((0, lacks[0]), (0, lacks[1]), (0, 0)), mode="edge")
    return VideoFrame.from_ndarray(image, format="rgb24").reformat(
        width, height, "yuv420p", dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG
    )


def _heard(source: Source, start_seconds: Fraction, end_seconds: Fraction) -> Iterator[AudioFrame]:
    """Give what is heard between two times, in frames that begin at ticks from the start on."""
    with closing(audio_packets(source, start_seconds - _PREROLL_SECONDS)) as packets:
        for frame in _decoded(packets):
            begin = frame.pts * as_fraction(frame.time_base)
            if begin >= end_seconds:
                return
            if begin + Fraction(frame.samples, frame.sample_rate) > start_seconds:
                frame.time_base = Fraction(1, frame.sample_rate)
                frame.pts = round((begin - start_seconds) * frame.sample_rate)
                yield frame


def _decoded(packets: Iterable[AnyPacket]) -> Iterator[Any]:
    for packet in packets:
        frames = []
        with damage_ignored():
            frames = packet.stream.codec_context.decode(packet)
        yield from (frame for frame in frames if frame.pts is not None and frame.time_base)


def _resampled(frames: Iterator[AudioFrame], seconds: Fraction) -> Iterator[AudioFrame]:
    """Give the sound from time 0 on in one form, with silence where there is none."""
    graph, form, num_samples = None, None, 0
    for frame in chain(frames, [None]):
        if frame and form != (form := (frame.format.name, frame.layout.name, frame.sample_rate)):
            # Broadcasts change between stereo and surround.
            graph = _graph(frame, num_samples, seconds)
        for made in [] if graph is None else _passed(graph, frame):
            num_samples += made.samples
            yield made


def _graph(frame: AudioFrame, first_sample: int, seconds: Fraction) -> Graph:
    graph = Graph()
    graph.link_nodes(
        graph.add_abuffer(
            sample_rate=frame.sample_rate,
            format=frame.format.name,
            layout=frame.layout.name,
            time_base=frame.time_base,
        ),
        graph.add(
            "aresample", f"{_AUDIO_RATE}:async=1:min_hard_comp=0.01:first_pts={first_sample}"
        ),
        graph.add("aformat", f"sample_fmts=fltp:channel_layouts=stereo:sample_rates={_AUDIO_RATE}"),
        graph.add("atrim", f"end_sample={round(seconds * _AUDIO_RATE)}"),
        graph.add("abuffersink"),
    ).configure()
    return graph


def _passed(graph: Graph, frame: AudioFrame | None) -> Iterator[Any]:
    """Push a frame, or None for the end, and give what is ready."""
    graph.push(frame)
    with suppress(NothingYet, NothingMore):
        while True:
            yield graph.pull()
