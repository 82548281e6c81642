"""A .npy file in, the scores or indices that it holds out."""

from pathlib import Path

import numpy as np

from mvadapter.errors import DataError


def read_scores(path: Path) -> np.ndarray:
    """Open a score matrix without loading it: it may be larger than memory.

    Raises:
        DataError: The file is missing, or no matrix of numbers.
    """
    matrix = _read_array(path)
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
    owners = _read_array(path)
    if owners.dtype.kind not in "iu":
        raise DataError(f"{path}: videos must be integers, got {owners.dtype}")
    return owners


def _read_array(path: Path) -> np.ndarray:
    if not path.is_file():
        raise DataError(f"{path}: no such file; expected a .npy matrix")
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise DataError(
            f"{path}: not a .npy array of numbers; write one with numpy.save"
        ) from error
    if not isinstance(array, np.ndarray):
        raise DataError(f"{path}: holds several arrays; write one alone with numpy.save")
    return array
