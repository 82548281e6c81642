"""A .npy file in, its array out, not yet loaded."""

import ast
import math
import os
import re
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np

from mvadapter.documents.text import DocumentKind, open_ordinary

_MAGIC = b"\x93NUMPY"
# How many bytes the length of the header takes, by version of the format.
_LENGTHS = {(1, 0): 2, (2, 0): 4, (3, 0): 4}
# As numpy's own reader, which takes longer ones only from files that are trusted.
_MAX_HEADER_BYTES = 10_000
_KEYS = {"descr", "fortran_order", "shape"}
_NUMBERS = re.compile(r"[<>|=][biufc]\d{1,2}")
_MAX_DIMENSIONS = 8
_MAX_NUMBERS = 2**48


def open_array(path: Path, kind: DocumentKind) -> np.ndarray[Any, np.dtype[Any]]:
    """Open an array of plain numbers without loading it: it may be larger than memory.

    Nothing is allocated before the header is known to fit the file, and no object is unpickled.

    Raises:
        MvAdapterError: The kind's error: it is missing, no .npy file, damaged, or holds something
            else than numbers.
    """
    with open_ordinary(path, kind) as file:
        dtype, shape, is_fortran = _header(file, path, kind)
        offset, size = file.tell(), os.fstat(file.fileno()).st_size
    wanted = math.prod(shape) * dtype.itemsize
    if size - offset != wanted:
        raise kind.fault(
            path,
            f"holds {size - offset} bytes of numbers where its header, {dtype} {list(shape)}, "
            f"needs {wanted}",
        )
    if not wanted:
        return np.empty(shape, dtype)
    order: Literal["F", "C"] = "F" if is_fortran else "C"
    return np.memmap(path, dtype, mode="r", offset=offset, shape=shape, order=order)


def _header(
    file: BinaryIO, path: Path, kind: DocumentKind
) -> tuple[np.dtype[Any], tuple[int, ...], bool]:
    start = file.read(len(_MAGIC) + 2)
    if start.startswith(b"PK"):
        raise kind.fault(path, "holds several arrays")
    version = tuple(start[len(_MAGIC) :])
    if not start.startswith(_MAGIC) or version not in _LENGTHS:
        raise kind.fault(path, "not a .npy array of numbers")
    num_bytes = int.from_bytes(file.read(_LENGTHS[version]), "little")
    if not 0 < num_bytes <= _MAX_HEADER_BYTES:
        raise kind.fault(path, f"not a .npy array of numbers (a header of {num_bytes} bytes)")
    header = file.read(num_bytes)
    if len(header) < num_bytes:
        raise kind.fault(path, "not a complete .npy array (its header is cut off)")
    try:
        table = ast.literal_eval(header.decode("utf-8" if version == (3, 0) else "latin-1").strip())
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError) as error:
        raise kind.fault(path, "not a .npy array of numbers (its header cannot be read)") from error
    if not isinstance(table, dict) or table.keys() != _KEYS:
        raise kind.fault(path, "not a .npy array of numbers (its header lacks a type or a shape)")
    dtype, shape = _dtype(table["descr"], path, kind), _shape(table["shape"], path, kind)
    return dtype, shape, table["fortran_order"] is True


def _dtype(descr: object, path: Path, kind: DocumentKind) -> np.dtype[Any]:
    if isinstance(descr, str) and _NUMBERS.fullmatch(descr):
        try:
            return np.dtype(descr)
        except TypeError:
            pass
    raise kind.fault(path, f"not a .npy array of numbers, but of {str(descr)[:40]!r}")


def _shape(shape: object, path: Path, kind: DocumentKind) -> tuple[int, ...]:
    if isinstance(shape, tuple) and len(shape) <= _MAX_DIMENSIONS:
        sides = tuple(side for side in shape if type(side) is int and side >= 0)
        # Also of the sides beside one of 0, which numpy multiplies too.
        if len(sides) == len(shape) and math.prod(max(side, 1) for side in sides) < _MAX_NUMBERS:
            return sides
    raise kind.fault(path, f"has an impossible shape, {str(shape)[:40]}")
