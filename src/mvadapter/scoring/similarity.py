"""Embeddings in, scores out."""

from jaxtyping import Float
from torch import Tensor

from mvadapter.shapes import CaptionEmbeddings, Scores, VideoEmbeddings

# On this grid the product of two components is a multiple of 2**-52. No partial sum of a dot
# product of unit vectors exceeds 1 (Cauchy-Schwarz), so that all of them are exact in float64.
_GRID = 2.0**26


def cosine_scores(captions: CaptionEmbeddings, videos: VideoEmbeddings) -> Scores:
    """Score every caption against every video: the cosine, for embeddings of unit length.

    The result, in float64, is exact for components rounded to multiples of 2**-26, which is finer
    than float32 computes them. A score thus depends on its two embeddings alone and not on the
    order of a sum: equal videos tie wherever they stand, and any block of the matrix, on any
    device, has the bits of the whole.
    """
    return on_grid(captions) @ on_grid(videos).T


def on_grid(embeddings: Float[Tensor, "item dim"]) -> Float[Tensor, "item dim"]:
    """Round embeddings so that their products can be summed without error."""
    return (embeddings.double() * _GRID).round() / _GRID
