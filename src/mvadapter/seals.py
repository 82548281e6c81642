"""A table of plain values in, JSON with a digest of it out, and back: a changed bit is noticed."""

import hashlib
import json
from collections.abc import Collection, Mapping
from typing import Any

from mvadapter.errors import ConfigError

SEAL = "sha256"
"""The key of the digest, beside those that it covers."""


def sealed_text(
    table: Mapping[str, Any], *, free: Collection[str] = (), indent: int | None = 2
) -> str:
    """Write a table as JSON with its digest.

    Args:
        table: Plain values by name.
        free: Keys that a person may change, which the digest leaves out.
        indent: Spaces in front of each value of the JSON; None is one line.
    """
    sealed = {**table, SEAL: _digest(table, free)}
    return json.dumps(sealed, indent=indent, ensure_ascii=False) + "\n"


def unsealed(table: Mapping[str, Any], where: str, *, free: Collection[str] = ()) -> dict[str, Any]:
    """Take the digest off a table that was read; one from an earlier version has none.

    Raises:
        ConfigError: The table is not the one that was written.
    """
    plain = {key: value for key, value in table.items() if key != SEAL}
    if SEAL in table and table[SEAL] != _digest(plain, free):
        raise ConfigError(f"{where}: is damaged, or was changed by hand (its sha256 is another)")
    return plain


def _digest(table: Mapping[str, Any], free: Collection[str]) -> str:
    covered = {key: value for key, value in table.items() if key not in free}
    return hashlib.sha256(json.dumps(covered, sort_keys=True).encode()).hexdigest()
