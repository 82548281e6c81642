"""Video files in, their embedded segments out."""

from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from mvadapter.embedding.files import embed_files as embed_paths
from mvadapter.encoder.encode import Encoder
from mvadapter.index.find import FileState
from mvadapter.video.segment import Span

_BATCH_SEGMENTS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddedVideo:
    """A video of which every segment that can be read has its embedding."""

    file: FileState
    spans: tuple[Span, ...]
    vectors: tuple[Float[Tensor, " dim"], ...]
    problem: str | None


def embed_files(
    files: Sequence[FileState], encoder: Encoder, *, max_segment_seconds: float
) -> Generator[list[EmbeddedVideo], None, None]:
    """Embed the segments of many files."""
    by_path = {file.path: file for file in files}
    embedded = embed_paths(
        by_path, encoder, max_segment_seconds=max_segment_seconds, precision="float32"
    )
    group: list[EmbeddedVideo] = []
    with closing(embedded) as found:
        for one in found:
            group.append(
                EmbeddedVideo(
                    file=by_path[one.path],
                    spans=one.spans,
                    vectors=tuple(one.vectors),
                    problem=one.problem,
                )
            )
            if sum(len(video.spans) for video in group) >= _BATCH_SEGMENTS:
                yield group
                group = []
    yield group
