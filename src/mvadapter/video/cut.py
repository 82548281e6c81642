"""A segment of a video in, an mp4 file out."""

import heapq
from contextlib import closing
from dataclasses import dataclass, replace
from fractions import Fraction
from os import PathLike
from pathlib import Path

import av
from av.container import OutputContainer
from av.error import FFmpegError

from mvadapter.errors import StorageError, VideoError
from mvadapter.files import atomic_write
from mvadapter.video.complaint import complaint
from mvadapter.video.container import as_fraction
from mvadapter.video.cut_copy import PictureCopy, copy_sound, may_copy_sound, plan_picture_copy
from mvadapter.video.cut_encode import encode_pictures, encode_sound
from mvadapter.video.decode import VideoReader
from mvadapter.video.landing import AnyPacket, Source


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

    Pictures and sound are each copied without encoding where mp4 can hold them, and encoded
    (H.264, AAC) otherwise. A copy can only begin at a keyframe, so it may begin before
    `start_seconds`; what is encoded is exact to the frame.

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
    _refuse_itself(source, target)
    plans = _plans(source, start_seconds, end_seconds)
    try:
        plan = _write_first(plans, target)
    except StorageError:
        raise
    except OSError as error:
        problem = f"cannot be written ({error.strerror or error})"
        raise VideoError(complaint(target, problem, "choose another output")) from error
    except (FFmpegError, ValueError) as error:
        problem = f"cannot be cut ({getattr(error, 'strerror', None) or error})"
        raise VideoError(complaint(source, problem, "convert it to mp4 first")) from error
    return Cut(
        path=target, start_seconds=float(plan.start_seconds), end_seconds=float(plan.end_seconds)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    """What to write of a source."""

    source: Source
    start_seconds: Fraction
    end_seconds: Fraction
    pictures: PictureCopy | None = None
    """What to copy; None encodes the pictures."""
    is_sound_copied: bool = False


def _plans(path: Path, start_seconds: float, end_seconds: float) -> tuple[_Plan, _Plan]:
    """Plan to copy as much of a segment as can be copied, and to encode it."""
    with VideoReader(path) as reader:
        timeline = reader.timeline(start_seconds, end_seconds)
        source, tick = Source(path=path, clock=reader.clock), reader.tick
    pictures = plan_picture_copy(source, timeline)
    exact = _Plan(
        source=source, start_seconds=timeline.starts[0] * tick, end_seconds=timeline.end * tick
    )
    copied = replace(exact, is_sound_copied=may_copy_sound(source))
    if pictures is not None:
        copied = replace(
            copied,
            pictures=pictures,
            start_seconds=pictures.first * tick,
            end_seconds=pictures.end * tick,
        )
    return copied, exact


def _write_first(plans: tuple[_Plan, _Plan], target: Path) -> _Plan:
    """Write the first plan that turns out to fit into an mp4 file, and return it.

    Raises:
        OSError: The place takes no file.
    """
    try:
        _write(plans[0], target)
    except OSError:
        raise
    except (FFmpegError, ValueError):
        _write(plans[1], target)
        return plans[1]
    return plans[0]


def _write(plan: _Plan, target: Path) -> None:
    stretch = plan.source, plan.start_seconds, plan.end_seconds
    with atomic_write(target) as temporary, _mp4(temporary) as written:
        streams = (
            encode_pictures(written, *stretch)
            if plan.pictures is None
            else plan.pictures.packets(written),
            copy_sound(written, *stretch)
            if plan.is_sound_copied
            else encode_sound(written, *stretch),
        )
        with closing(streams[0]), closing(streams[1]):
            # Both add their stream before they give the first packet.
            for packet in heapq.merge(*streams, key=_decode_seconds):
                written.mux(packet)


def _mp4(path: Path) -> OutputContainer:
    # The index comes first, so that a web page can play the file while it loads.
    return av.open(f"file:{path}", mode="w", format="mp4", options={"movflags": "+faststart"})


def _decode_seconds(packet: AnyPacket) -> Fraction:
    return (packet.dts or 0) * as_fraction(packet.time_base)


def _refuse_itself(source: Path, target: Path) -> None:
    try:
        is_itself = target.exists() and target.samefile(source)
    except OSError:
        # Writing will tell why.
        is_itself = False
    if is_itself:
        raise VideoError(complaint(target, "is the source itself", "choose another output"))
