"""Video files in, their embedded segments out, however many and however long they are."""

from collections.abc import Generator, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from os import PathLike, fspath
from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch
from av.error import FFmpegError
from jaxtyping import Float, UInt8
from torch import Tensor

from mvadapter.backbone.precision import Precision, PrecisionChoice, choose_precision
from mvadapter.data.frames import FrameSettings
from mvadapter.embedding.batch import embed_batch
from mvadapter.embedding.inputs import AnyEncoder, frame_settings
from mvadapter.errors import VideoError
from mvadapter.isolation import Isolation
from mvadapter.video.complaint import complaint
from mvadapter.video.decode import VideoReader
from mvadapter.video.preprocess import resize
from mvadapter.video.segment import Span, fixed_windows
from mvadapter.workers import Ended, default_num_workers, run_all

SEGMENT_SECONDS = 8.0
"""The longest that a segment lasts where nothing else is asked for."""

_BATCH_SEGMENTS = 16
_MAX_WAITING_SEGMENTS = 2 * _BATCH_SEGMENTS
# Nine days of 8 seconds each. More is a damaged clock, and would not fit into memory.
_MAX_SEGMENTS = 100_000


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EmbeddedFile:
    """A video file of which every segment that can be read has its embedding."""

    path: str
    spans: tuple[Span, ...]
    """When the segments begin and end; none where nothing of the file can be read."""
    vectors: Float[Tensor, "segment dim"]
    """The embedding of each segment, of unit length, on the CPU."""
    problem: str | None
    """Why segments are missing; None if there are all."""
    remark: str | None = None
    """What is unusual about its times and how they were read; see `VideoInfo.remark`."""


@dataclass(frozen=True, slots=True)
class DecodedSegment:
    """A segment that is ready to be embedded."""

    span: Span
    frames: UInt8[np.ndarray, "_ channel height width"]
    """An array, which unlike a tensor can go from process to process without shared memory."""


@dataclass(frozen=True, slots=True)
class UnreadableSegment:
    """A segment, or what else of a file cannot be read."""

    reason: str


@dataclass(frozen=True, slots=True)
class FileEnd:
    """What is known of a file when it has been read."""

    num_segments: int
    failure: str | None = None
    """Why nothing of it counts: reading it failed for a reason outside of it, and another time its
    content may be sound."""
    remark: str | None = None
    """What is unusual about its times."""


Piece: TypeAlias = DecodedSegment | UnreadableSegment


@dataclass(frozen=True, slots=True, kw_only=True)
class FileSegments:
    """A work item: cut a file into segments and decode the frames of each."""

    path: str
    max_segment_seconds: float
    frames: FrameSettings

    def run(self) -> Generator[Piece, None, FileEnd]:
        """Give the segments in order, and in the place of one that cannot be read, why.

        Raises:
            MemoryError: There is too little memory for a segment.
        """
        num_segments, remark = 0, None
        try:
            with VideoReader(self.path) as reader:
                spans = _windows(reader, self.max_segment_seconds)
                num_segments, remark = len(spans), reader.info.remark
                for span in spans:
                    yield self._decode(reader, span)
                # Raises where the video breaks off, after what is there has been read.
                reader.timeline(spans[-1].start_seconds)
        except VideoError as error:
            yield self._unreadable(error)
        except MemoryError:
            # Who runs the item knows how much there was; FFmpeg's is one of the next kind as well.
            raise
        except (OSError, FFmpegError) as error:
            # Neither the video's fault nor ours; a mistake of ours is raised.
            return FileEnd(num_segments, failure=(error.strerror or str(error)).lower())
        return FileEnd(num_segments, remark=remark)

    def lost(self, reason: str) -> FileEnd:
        """The end of a file that could not be read to its end."""
        return FileEnd(0, failure=reason)

    def _decode(self, reader: VideoReader, span: Span) -> Piece:
        try:
            images = reader.read(
                self.frames.num_frames,
                span.start_seconds,
                span.end_seconds,
                sampling=self.frames.sampling,
            ).images
        except VideoError as error:
            return self._unreadable(error)
        return DecodedSegment(span, resize(images, self.frames.resize).numpy())

    def _unreadable(self, error: VideoError) -> UnreadableSegment:
        return UnreadableSegment(str(error).removeprefix(f"{self.path}: "))


def embed_files(
    paths: str | PathLike[str] | Iterable[str | PathLike[str]],
    encoder: AnyEncoder,
    *,
    max_segment_seconds: float = SEGMENT_SECONDS,
    precision: PrecisionChoice = "auto",
    isolation: Isolation | None = None,
) -> Generator[EmbeddedFile, None, None]:
    """Embed the segments of many files, decoding the next ones meanwhile.

    Segments of several videos share a batch, and the decoded frames of no more than a few batches
    are in memory, however long the videos are. A file that cannot be read comes with its problem
    and ends nothing.

    Args:
        paths: One file, or several.
        encoder: What embeds it, on its backbone's device.
        max_segment_seconds: Videos are cut into as few equal segments as possible, none longer.
        precision: Of the arithmetic; ``auto`` asks the processor.
        isolation: What a process may take that decodes files; None decodes in threads. Processes
            survive a crash of the decoder; a script that asks for them must call this under
            ``if __name__ == "__main__"``.

    Yields:
        Each file once, in the order in which they are completed.

    Raises:
        ConfigError: ``max_segment_seconds`` is not a number above 0.
    """
    paths = [paths] if isinstance(paths, str | PathLike) else paths
    frames = frame_settings(encoder)
    items = [
        FileSegments(path=fspath(path), max_segment_seconds=max_segment_seconds, frames=frames)
        for path in paths
    ]
    settled = choose_precision(precision, encoder.backbone.device)
    pieces = run_all(
        items,
        num_workers=max(1, min(default_num_workers(), len(items))),
        max_waiting=frames.max_waiting(_MAX_WAITING_SEGMENTS),
        isolation=isolation,
    )
    with closing(pieces):
        for segments, ended in _batches(pieces, items):
            _embed(segments, encoder, settled)
            # A file ends after its last segment, so those that ended are complete now.
            for draft in ended:
                yield draft.finish(encoder.backbone.dim)


def _batches(
    pieces: Iterable[tuple[int, Piece | Ended[FileEnd]]], items: Sequence[FileSegments]
) -> Generator[tuple[list[tuple["_Draft", DecodedSegment]], list["_Draft"]], None, None]:
    """Collect the segments of a batch, and the files that it completes."""
    num_open = len(items)
    drafts: dict[int, _Draft] = {}
    waiting: list[tuple[_Draft, DecodedSegment]] = []
    ended: list[_Draft] = []
    for position, piece in pieces:
        draft = drafts.setdefault(position, _Draft(path=items[position].path))
        match piece:
            case DecodedSegment():
                waiting.append((draft, piece))
            case UnreadableSegment():
                draft.problem = draft.problem or piece.reason
            case Ended():
                draft.end = piece.summary
                ended.append(drafts.pop(position))
                num_open -= 1
        if len(waiting) == _BATCH_SEGMENTS or not waiting or not num_open:
            yield waiting, ended
            waiting, ended = [], []


@dataclass(slots=True, kw_only=True)
class _Draft:
    """A file of which some segments are embedded."""

    path: str
    end: FileEnd | None = None
    problem: str | None = None
    """The first one; a damaged file can have as many as it has segments."""
    spans: list[Span] = field(default_factory=list)
    vectors: list[Tensor] = field(default_factory=list)

    def finish(self, dim: int) -> EmbeddedFile:
        end, problem, spans, vectors = self.end, self.problem, self.spans, self.vectors
        if end is not None and end.failure is not None:
            problem, spans, vectors = end.failure, [], []
        elif end is not None and spans and problem and (lacks := end.num_segments - len(spans)):
            problem = f"{lacks} of {end.num_segments} segments left out: {problem}"
        return EmbeddedFile(
            path=self.path,
            spans=tuple(spans),
            vectors=torch.stack(vectors) if vectors else torch.zeros(0, dim),
            problem=problem,
            remark=None if end is None else end.remark,
        )


def _embed(
    segments: list[tuple[_Draft, DecodedSegment]], encoder: AnyEncoder, precision: Precision
) -> None:
    if not segments:
        return
    frames = [torch.from_numpy(segment.frames) for _, segment in segments]
    vectors = embed_batch(encoder, frames, precision).cpu()
    for (draft, segment), vector in zip(segments, vectors, strict=True):
        draft.spans.append(segment.span)
        draft.vectors.append(vector)


def _windows(reader: VideoReader, max_seconds: float) -> list[Span]:
    # Up to the last frame, for a damaged header may declare years.
    start, end = reader.info.start_seconds, reader.real_end_seconds
    if not 0 < end - start <= _MAX_SEGMENTS * max_seconds:
        raise VideoError(
            complaint(
                Path(reader.info.path),
                f"its frames span {end - start:.0f} s, expected 1 to {_MAX_SEGMENTS} segments",
                "convert it if that is wrong, or make an index of longer segments",
            )
        )
    return fixed_windows(start, end, max_seconds=max_seconds)
