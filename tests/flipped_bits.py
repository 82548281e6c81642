"""Flips bits of files one at a time, and counts what comes of it."""

import random
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

from mvadapter.errors import MvAdapterError

FOUND, HARMLESS = "found", "harmless"


def flip_bits(
    files: Iterable[Path], read: Callable[[], bool], *, bits_per_file: int, seed: int = 0
) -> Counter[str]:
    """Flip some bits of each file and read what the files hold.

    Args:
        files: The files; they are afterwards as they were.
        read: Reads everything, and returns whether it is the same as before.
        bits_per_file: How many bits of each file, drawn.
        seed: Decides which.

    Returns:
        How many flips an error of one line reported, and how many changed nothing. A flip that
        changed something without an error fails.
    """
    generator = random.Random(seed)
    counts: Counter[str] = Counter()
    for path in files:
        whole = path.read_bytes()
        wanted = min(bits_per_file, 8 * len(whole))
        for bit in generator.sample(range(8 * len(whole)), wanted):
            changed = bytearray(whole)
            changed[bit // 8] ^= 1 << bit % 8
            path.write_bytes(changed)
            try:
                assert read(), f"bit {bit} of {path.name} changed the result in silence"
            except MvAdapterError as error:
                assert "\n" not in str(error)
                counts[FOUND] += 1
            else:
                counts[HARMLESS] += 1
        path.write_bytes(whole)
    return counts
