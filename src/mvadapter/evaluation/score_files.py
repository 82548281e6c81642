"""A .npy file in, the scores or indices that it holds out."""

from pathlib import Path

import numpy as np

from mvadapter.documents.arrays import open_array
from mvadapter.documents.text import DocumentKind
from mvadapter.errors import DataError

_KIND = DocumentKind(
    error=DataError,
    expected="a .npy matrix",
    advice="write one with numpy.save",
)


def read_scores(path: Path) -> np.ndarray:
    """Open a score matrix without loading it: it may be larger than memory.

    Raises:
        DataError: The file is missing, or no matrix of numbers.
    """
    matrix = open_array(path, _KIND)
    if matrix.dtype.kind not in "fiu":
        raise DataError(f"{path}: scores must be numbers, got {matrix.dtype}")
    if matrix.ndim != 2:
        raise DataError(f"{path}: scores must be [caption video], got {list(matrix.shape)}")
    return matrix


def read_caption_video(path: Path) -> np.ndarray:
    """Read for each caption the index of its video.

    Raises:
        DataError: The file is missing, or contains other values than integers.
    """
    owners = open_array(path, _KIND)
    if owners.dtype.kind not in "iu":
        raise DataError(f"{path}: videos must be integers, got {owners.dtype}")
    return owners
