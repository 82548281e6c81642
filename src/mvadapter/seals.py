"""A table of plain values in, JSON with a digest of it out, and back: a changed bit is noticed."""

import hashlib
import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, TypeVar

from mvadapter.documents.text import DocumentKind
from mvadapter.documents.values import read_json_object
from mvadapter.errors import ConfigError
from mvadapter.settings import settings_from_table

SEAL = "sha256"
"""The key of the digest, beside those that it covers."""

Config = TypeVar("Config")


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


def read_sealed(path: Path, kind: DocumentKind, config_class: type[Config]) -> Config:
    """Read a configuration from a file that `sealed_text` wrote.

    Raises:
        MvAdapterError: The kind's error: the file cannot be read, is not the one that was written,
            or does not hold the fields of the configuration.
    """
    return settings_of(config_class, read_sealed_table(path, kind), path, kind)


def read_sealed_table(path: Path, kind: DocumentKind) -> dict[str, Any]:
    """Read a table from a file that `sealed_text` wrote.

    Raises:
        MvAdapterError: The kind's error: the file cannot be read, or is not the one that was
            written.
    """
    return unsealed(read_json_object(path, kind), path, kind)


def unsealed(
    table: Mapping[str, Any],
    where: object,
    kind: DocumentKind,
    *,
    free: Collection[str] = (),
    has_seal: bool = True,
) -> dict[str, Any]:
    """Take the digest off a table that was read.

    Args:
        table: The table.
        where: What it is called in an error.
        kind: What it should be.
        free: Keys that the digest leaves out.
        has_seal: False for a format in which there were no digests.

    Raises:
        MvAdapterError: The kind's error: the table is not the one that was written.
    """
    plain = {key: value for key, value in table.items() if key != SEAL}
    if SEAL in table or has_seal:
        problem = "another" if SEAL in table else "missing"
        if table.get(SEAL) != _digest(plain, free):
            raise kind.fault(where, f"is damaged, or was changed by hand (its sha256 is {problem})")
    return plain


def settings_of(
    config_class: type[Config], table: Mapping[str, Any], where: object, kind: DocumentKind
) -> Config:
    """Build a configuration from a table of a file; see `settings_from_table`.

    Raises:
        MvAdapterError: The kind's error: a key or a value cannot be used.
    """
    try:
        return settings_from_table(config_class, table, str(where))
    except ConfigError as error:
        raise kind.error(f"{str(error).removesuffix('.')}; {kind.advice}") from error


def _digest(table: Mapping[str, Any], free: Collection[str]) -> str:
    covered = {key: value for key, value in table.items() if key not in free}
    return hashlib.sha256(json.dumps(covered, sort_keys=True).encode()).hexdigest()
