"""Embeddings or a matrix in, scores out: some captions at a time, so that few are held at once."""

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from mvadapter.errors import DataError
from mvadapter.shapes import CaptionEmbeddings, Scores, VideoEmbeddings

SCORES_PER_BLOCK = 2**22
"""How many scores are held at once: 32 MiB of them, and as much again while they are compared."""

# On this grid the product of two components is a multiple of 2**-52. No partial sum of a dot
# product of unit vectors exceeds 1 (Cauchy-Schwarz), so that all of them are exact in float64.
_GRID = 2.0**26


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ScoreBlocks:
    """The scores of all captions against all videos, which need not exist at once."""

    num_captions: int
    num_videos: int
    device: torch.device
    """The device of the scores."""
    rows: Callable[[Int[Tensor, " row"]], Float[Tensor, "row video"]]
    """Positions of captions -> their scores, in float64; the same on each call."""

    @classmethod
    def of_embeddings(cls, captions: CaptionEmbeddings, videos: VideoEmbeddings) -> "ScoreBlocks":
        """Score embeddings of unit length by their cosine.

        The scores, in float64, are exact for components rounded to multiples of 2**-26, which is
        finer than float32 computes them. A score depends on its two embeddings alone and not on
        the order of a sum: equal videos tie at every position, and any block of the matrix, on any
        device, has the same bits as in the complete product.
        """
        if captions.device.type == "mps":
            # Apple's GPUs have no float64.
            captions, videos = captions.cpu(), videos.cpu()
        gallery = _on_grid(videos)
        return cls(
            num_captions=len(captions),
            num_videos=len(videos),
            device=captions.device,
            rows=lambda positions: _on_grid(captions[positions]) @ gallery.T,
        )

    @classmethod
    def of_matrix(cls, scores: Scores | Shaped[np.ndarray, "caption video"]) -> "ScoreBlocks":
        """Use the scores of a tensor or an array, which may be memory-mapped.

        Raises:
            DataError: It is no matrix, or an empty one.
        """
        if scores.ndim != 2 or 0 in scores.shape:
            raise DataError(
                f"scores must be [caption video] and not empty, got {list(scores.shape)}"
            )
        num_captions, num_videos = scores.shape
        if isinstance(scores, Tensor):
            tensor = scores
            return cls(
                num_captions=num_captions,
                num_videos=num_videos,
                device=tensor.device,
                rows=lambda positions: tensor[positions].double(),
            )
        array = scores
        return cls(
            num_captions=num_captions,
            num_videos=num_videos,
            device=torch.device("cpu"),
            rows=lambda positions: torch.from_numpy(array[positions.numpy()].astype(np.float64)),
        )

    def reranked(self, rerank: Callable[[Scores], Scores]) -> "ScoreBlocks":
        """Change each row by a function."""
        return dataclasses.replace(self, rows=lambda positions: rerank(self.rows(positions)))

    def walk(
        self,
        order: Int[Tensor, " caption"] | None = None,
        *,
        scores_per_block: int = SCORES_PER_BLOCK,
    ) -> Iterator[tuple[Int[Tensor, " row"], Float[Tensor, "row video"]]]:
        """Yield all scores in blocks of captions, with the captions' positions.

        Args:
            order: In which order the captions come; by default in their own.
            scores_per_block: How many scores a block holds at most; a row is never split.
        """
        if order is None:
            order = torch.arange(self.num_captions, device=self.device)
        for positions in order.split(max(1, scores_per_block // self.num_videos)):
            yield positions, self.rows(positions)


def _on_grid(embeddings: Float[Tensor, "item dim"]) -> Float[Tensor, "item dim"]:
    """Round embeddings so that their products can be summed without error."""
    return (embeddings.double() * _GRID).round() / _GRID
