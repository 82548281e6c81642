"""How far two correct computations of the same numbers may lie apart.

A sum of floating-point numbers depends on its order, and the order depends on the processor, on the
shape of the batch and on the number of threads. A tolerance that fits one machine by chance fails
on the next; so each is derived here, or both sides are computed in float64.
"""

import copy
import dataclasses

import torch

from mvadapter import Backbone, Encoder


def rounding(num_terms: int, magnitude: float = 1.0, dtype: torch.dtype = torch.float32) -> float:
    """The most that two orders of one sum can differ by.

    Each order is at most num_terms * epsilon / 2 * magnitude away from the exact sum (Higham 2002,
    Accuracy and Stability of Numerical Algorithms, section 4.2), on either side of it.

    Args:
        num_terms: How many terms, or rounded steps one after the other.
        magnitude: The sum of the terms' absolute values; 1 for the product of two unit vectors.
        dtype: In which the sum is computed.
    """
    return num_terms * torch.finfo(dtype).eps * magnitude


EMBEDDING = rounding(1500)
"""For the entries of an embedding, of unit length, that the random CLIP computes in float32.

Its sums one after the other: 768 numbers of a patch; in each of two layers 6 sums over a width of
32, one over 128 and two over a few tokens; the projection and the adapter, over 32 each."""


def backbone_in_float64(backbone: Backbone) -> Backbone:
    """The same CLIP in float64, where another order of a sum changes no digit that is compared."""
    weights = {name: weight.double() for name, weight in backbone.weights.items()}
    return dataclasses.replace(backbone, weights=weights)


def in_float64(encoder: Encoder) -> Encoder:
    """A copy of an encoder whose backbone and adapter compute in float64.

    Frames come out in float64. Embeddings are still scaled to unit length in float32, so that two
    of them may differ by `rounding` of as many terms as they have entries.
    """
    return Encoder(
        backbone_in_float64(encoder.backbone),
        copy.deepcopy(encoder.adapter).double(),
        inputs=encoder.inputs,
        gradient_checkpointing=encoder.gradient_checkpointing,
    )
