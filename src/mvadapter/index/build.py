"""Video files in, their embedded segments out."""

import os
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from queue import SimpleQueue
from threading import Event, Semaphore

import torch
from av.error import FFmpegError
from jaxtyping import Float
from torch import Tensor

from mvadapter.encoder.encode import Encoder
from mvadapter.errors import VideoError
from mvadapter.index.find import FileState
from mvadapter.shapes import FramePixels
from mvadapter.video.container import complaint
from mvadapter.video.decode import VideoReader
from mvadapter.video.preprocess import pad_frames, to_pixels
from mvadapter.video.segment import Span, fixed_windows

_BATCH_SEGMENTS = 16
# Of ViT-B/16, a batch of decoded segments takes 120 MB.
_MAX_WAITING_SEGMENTS = 2 * _BATCH_SEGMENTS
_MAX_DECODERS = 8
# Nine days of 8 seconds each. More is a damaged clock, and would not fit into memory.
_MAX_SEGMENTS = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddedVideo:
    """A video of which every segment that can be read has its embedding."""

    file: FileState
    spans: tuple[Span, ...]
    """When the segments begin and end; none where nothing of the file can be read."""
    vectors: tuple[Float[Tensor, " dim"], ...]
    """The embedding of each segment, of unit length, on the CPU."""
    problem: str | None
    """Why segments are missing; None where all are there."""


def embed_files(
    files: Sequence[FileState], encoder: Encoder, *, max_segment_seconds: float
) -> Generator[list[EmbeddedVideo], None, None]:
    """Embed the segments of many files, decoding the next ones in threads meanwhile.

    Segments of several videos share a batch, and the decoded frames of no more than a few batches
    are in memory, however long the videos are.

    Args:
        files: What to embed.
        encoder: What embeds it, on its backbone's device.
        max_segment_seconds: The most seconds a segment lasts.

    Yields:
        The videos that one batch has completed. Each file comes once, in the order of completion.
    """
    waiting: list[_Segment] = []
    ended: list[_Draft] = []
    num_open = len(files)
    with _decoding(files, encoder, max_segment_seconds) as next_piece:
        while num_open:
            piece = next_piece()
            if isinstance(piece, _Segment):
                waiting.append(piece)
            else:
                ended.append(piece)
                num_open -= 1
            if len(waiting) == _BATCH_SEGMENTS or not waiting or not num_open:
                _embed(waiting, encoder)
                # A draft ends after its last segment, so those that ended are complete now.
                yield [draft.finish() for draft in ended]
                waiting, ended = [], []


@dataclass(slots=True, kw_only=True)
class _Draft:
    """A video in the making: its decoding thread finds problems, the embedding one adds vectors."""

    file: FileState
    num_segments: int = 0
    problem: str | None = None
    """The first one; a damaged file can have as many as it has segments."""
    has_failed: bool = False
    """It is to be tried again as a whole, for its content may be sound."""
    spans: list[Span] = field(default_factory=list)
    vectors: list[Tensor] = field(default_factory=list)

    @contextmanager
    def noting_problems(self) -> Iterator[None]:
        try:
            yield
        except VideoError as error:
            self.problem = self.problem or str(error).removeprefix(f"{self.file.path}: ")

    @contextmanager
    def noting_failure(self) -> Iterator[None]:
        """Note what is neither the video's fault nor ours; a mistake of ours goes on its way."""
        try:
            yield
        except (OSError, FFmpegError) as error:
            self.has_failed, self.problem = True, (error.strerror or str(error)).lower()
        except MemoryError:
            self.has_failed, self.problem = True, "there is too little memory to read it"

    def finish(self) -> EmbeddedVideo:
        if self.has_failed:
            return EmbeddedVideo(file=self.file, spans=(), vectors=(), problem=self.problem)
        problem = self.problem
        num_missing = self.num_segments - len(self.spans)
        if self.spans and problem and num_missing:
            problem = f"{num_missing} of {self.num_segments} segments left out: {problem}"
        return EmbeddedVideo(
            file=self.file, spans=tuple(self.spans), vectors=tuple(self.vectors), problem=problem
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Segment:
    draft: _Draft
    span: Span
    pixels: FramePixels


def _embed(segments: Sequence[_Segment], encoder: Encoder) -> None:
    if not segments:
        return
    pixels, mask = pad_frames([segment.pixels for segment in segments], encoder.inputs.num_frames)
    device = encoder.backbone.device
    with torch.inference_mode():
        vectors = encoder.embed_videos(pixels.to(device), mask.to(device)).float().cpu()
    for segment, vector in zip(segments, vectors, strict=True):
        segment.draft.spans.append(segment.span)
        segment.draft.vectors.append(vector)


@contextmanager
def _decoding(
    files: Sequence[FileState], encoder: Encoder, max_segment_seconds: float
) -> Iterator[Callable[[], _Segment | _Draft]]:
    """Decode files in threads; give a function that waits for the next segment or ended video."""
    pieces: SimpleQueue[_Segment | tuple[_Draft, Future[None]]] = SimpleQueue()
    places = Semaphore(_MAX_WAITING_SEGMENTS)
    is_over = Event()
    num_threads = max(1, min(_MAX_DECODERS, os.cpu_count() or 1, len(files)))

    def decode(draft: _Draft) -> None:
        with draft.noting_failure():
            for segment in _read_segments(draft, encoder, max_segment_seconds, is_over):
                places.acquire()
                if is_over.is_set():
                    return
                pieces.put(segment)

    def end(draft: _Draft, future: Future[None]) -> None:
        pieces.put((draft, future))

    def next_piece() -> _Segment | _Draft:
        piece = pieces.get()
        if isinstance(piece, _Segment):
            places.release()
            return piece
        draft, future = piece
        future.result()
        return draft

    with ThreadPoolExecutor(num_threads, thread_name_prefix="decode") as threads:
        try:
            for file in files:
                draft = _Draft(file=file)
                future = threads.submit(decode, draft)
                future.add_done_callback(partial(end, draft))
            yield next_piece
        finally:
            is_over.set()
            places.release(num_threads)
            threads.shutdown(wait=False, cancel_futures=True)


def _read_segments(
    draft: _Draft, encoder: Encoder, max_segment_seconds: float, is_over: Event
) -> Iterator[_Segment]:
    inputs, size_px = encoder.inputs, encoder.backbone.vision.image_px
    with draft.noting_problems(), VideoReader(draft.file.path) as reader:
        spans = _windows(reader, max_segment_seconds)
        draft.num_segments = len(spans)
        for span in spans:
            # Checked here, for a segment that cannot be read never reaches the queue.
            if is_over.is_set():
                return
            with draft.noting_problems():
                frames = reader.read(
                    inputs.num_frames,
                    span.start_seconds,
                    span.end_seconds,
                    sampling=inputs.sampling,
                )
                pixels = to_pixels(frames.images, size_px)
                yield _Segment(draft=draft, span=span, pixels=pixels)
        # Raises where the video breaks off, after what is there has been read.
        reader.timeline(spans[-1].start_seconds)


def _windows(reader: VideoReader, max_seconds: float) -> list[Span]:
    # Up to the last frame, for a damaged header may declare years.
    start, end = reader.info.start_seconds, reader.real_end_seconds
    if not 0 < end - start <= _MAX_SEGMENTS * max_seconds:
        raise VideoError(
            complaint(
                reader.info.path,
                f"its frames span {end - start:.0f} s, expected 1 to {_MAX_SEGMENTS} segments",
                "convert it if that is wrong, or make an index of longer segments",
            )
        )
    return fixed_windows(start, end, max_seconds=max_seconds)
