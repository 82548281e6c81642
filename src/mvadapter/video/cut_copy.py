"""A stretch of a file in, its packets for another file out, as they are."""

from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain, pairwise

from av.container import OutputContainer
from av.video.frame import VideoFrame

from mvadapter.video.container import VideoFile, as_fraction
from mvadapter.video.damage import damage_ignored
from mvadapter.video.landing import (
    AnyPacket,
    Source,
    audio_packets,
    begin_of,
    first_audio,
    video_packets,
)
from mvadapter.video.timeline import Timeline

# Codecs that mp4 files can hold and most players support.
_VIDEO_CODECS = frozenset({"av1", "h264", "hevc", "vp9"})
_AUDIO_CODECS = frozenset({"aac", "ac3", "alac", "eac3", "mp3", "opus"})


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureCopy:
    """The packets of a stretch of video, which can be decoded without those before them."""

    source: Source
    first: int
    """When the first of them is presented, in ticks: a keyframe."""
    begins: tuple[int, ...]
    """When each is presented, in the order of decoding."""
    end: int
    """When the presentation ends; later than asked for where the last frames need later ones."""

    def packets(self, written: OutputContainer) -> Generator[AnyPacket, None, None]:
        """Add a stream to a file and give its packets; the keyframe is presented at 0."""
        with self.source.open() as file:
            copy = written.add_stream_from_template(file.stream, opaque=True)
            # A container may know the shape of pixels better than the codec.
            if file.stream.sample_aspect_ratio:
                copy.codec_context.sample_aspect_ratio = file.stream.sample_aspect_ratio
            if file.stream.codec_context.codec.canonical_name == "hevc":
                # Apple's players refuse the other tag, with which parameters may change.
                copy.codec_context.codec_tag = "hvc1"
        times = _decode_times(self.begins)
        steps = [after - before for before, after in pairwise(times)]
        with closing(video_packets(self.source, self.first)) as packets:
            wanted = (packet for packet in packets if (begin_of(packet) or 0) >= self.first)
            for time, begin, step, packet in zip(
                times, self.begins, [*steps, None], wanted, strict=False
            ):
                packet.pts, packet.dts = begin - self.first, time - self.first
                packet.duration = packet.duration if step is None else step
                packet.stream = copy
                yield packet


def plan_picture_copy(source: Source, timeline: Timeline) -> PictureCopy | None:
    """Look up the packets that a stretch needs; None where they cannot be copied as they are."""
    with source.open() as file:
        context = file.stream.codec_context
    first = timeline.keyframe_before(timeline.starts[0])
    if first is None or context.codec.canonical_name not in _VIDEO_CODECS:
        return None
    if source.clock.is_counted:
        return None
    begins: list[int] = []
    parts: set[int] = set()
    end, missing = timeline.end, set(timeline.starts)
    with closing(video_packets(source, first)) as packets:
        for packet in packets:
            # Without its time of presentation a frame cannot be put in its place among others,
            # and what is decoded but never shown cannot be expressed in the copy.
            if (packet.pts is None and context.has_b_frames) or packet.is_discard:
                return None
            begin = begin_of(packet)
            if begin is None or (not begins and begin != first):
                return None
            # Frames of an open group, which need the group before, are decoded after the keyframe.
            if begin < first:
                continue
            # The last frame may need one that is shown after it, and between them may be others.
            if not missing and begin > max(begins):
                break
            if packet.pos is not None:
                parts.add(source.clock.part_at(packet.pos))
            begins.append(begin)
            missing.discard(begin)
            end = max(end, begin + (packet.duration or 0))
    # Another part may have pictures of another kind.
    is_one_part = len(parts) <= 1
    if (
        missing
        or not is_one_part
        or len(set(begins)) < len(begins)
        or not _plays_from(source, first)
    ):
        return None
    return PictureCopy(source=source, first=first, begins=tuple(begins), end=end)


def _plays_from(source: Source, keyframe: int) -> bool:
    """Whether a decoder begins at a keyframe: not if it is damaged or begins a gradual refresh."""
    with source.open() as file, closing(video_packets(source, keyframe)) as packets:
        for frame in _decoded(file, packets):
            begin = frame.dts if frame.pts is None else frame.pts
            if begin is not None and begin >= keyframe:
                return begin == keyframe and not frame.is_corrupt
    return False


def _decoded(file: VideoFile, packets: Iterable[AnyPacket]) -> Iterator[VideoFrame]:
    for packet in chain(packets, [None]):
        with damage_ignored():
            yield from file.stream.codec_context.decode(packet)


def may_copy_sound(source: Source) -> bool:
    """Whether an mp4 file can hold the sound as it is."""
    with source.open() as file:
        audio = first_audio(file)
        return audio is not None and audio.codec_context.codec.canonical_name in _AUDIO_CODECS


def copy_sound(
    written: OutputContainer, source: Source, start_seconds: Fraction, end_seconds: Fraction
) -> Generator[AnyPacket, None, None]:
    """Add a stream to a file and give its packets; what is heard at the start is heard at 0."""
    copy = None
    with closing(audio_packets(source, start_seconds)) as packets:
        for packet in packets:
            begin, tick = begin_of(packet), as_fraction(packet.time_base)
            if begin is None:
                continue
            if begin * tick >= end_seconds:
                return
            copy = copy or written.add_stream_from_template(packet.stream, opaque=True)
            # Before 0 for a part of the first packet; players leave that out.
            packet.pts = packet.dts = begin - round(start_seconds / tick)
            packet.stream = copy
            yield packet


def _decode_times(begins: tuple[int, ...]) -> list[int]:
    """Choose when each frame is decoded: in steps like those of presentation, and in time for it.

    Files have such times too, but Matroska not after a seek, and others not for every packet.
    """
    ordered = sorted(begins)
    delay = max(time - begin for time, begin in zip(ordered, begins, strict=True))
    return [time - delay for time in ordered]
