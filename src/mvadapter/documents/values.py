"""JSON, lines of JSON, or TOML in; plain values out."""

import json
import math
import tomllib
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mvadapter.documents.text import DocumentKind, decode_text, lines_of, read_text

# Far more than any file here has, and far less than what Python's own recursion allows.
_MAX_DEPTH = 100
_LONGEST_DIGITS = 40
_INT64 = range(-(2**63), 2**63)


def read_json(path: Path, kind: DocumentKind) -> Any:  # noqa: ANN401 - JSON of any shape
    """Read a JSON file.

    Raises:
        MvAdapterError: The kind's error: it cannot be read, or is not valid JSON; see `parse_json`.
    """
    return parse_json(read_text(path, kind), path, kind)


def read_json_object(path: Path, kind: DocumentKind) -> dict[str, Any]:
    """Read a JSON file that holds an object.

    Raises:
        MvAdapterError: The kind's error: it cannot be read, or holds something else.
    """
    return check_object(read_json(path, kind), path, kind)


def check_object(value: object, where: object, kind: DocumentKind) -> dict[str, Any]:
    """Refuse a JSON value that is no object.

    Raises:
        MvAdapterError: The kind's error: it is none.
    """
    if not isinstance(value, dict):
        raise kind.fault(where, f"expected a JSON object, got {_type_name(value)}")
    return value


def parse_json(text: str | bytes, where: object, kind: DocumentKind) -> Any:  # noqa: ANN401
    """Parse JSON, and refuse what two programs would read differently.

    A key that comes twice, NaN and infinity, numbers beyond a float, integers past 64 bits.

    Args:
        text: JSON; bytes are decoded as `decode_text` does.
        where: What it is called in an error.
        kind: What it should be.

    Raises:
        MvAdapterError: The kind's error: it is not valid JSON, or holds one of these.
    """
    if isinstance(text, bytes):
        text = decode_text(text, where, kind)
    try:
        value = json.loads(
            text,
            parse_int=_long_integer if kind.has_long_integers else _integer,
            parse_float=_real,
            parse_constant=_constant,
            object_pairs_hook=_pairs,
        )
    except json.JSONDecodeError as error:
        place = where if error.lineno == 1 else f"{where}:{error.lineno}"
        raise kind.fault(
            place, f"not valid JSON ({error.msg}, character {error.colno} of the line)"
        ) from error
    except _RefusedError as error:
        raise kind.fault(where, str(error)) from error
    except RecursionError as error:
        raise kind.fault(where, "not valid JSON (nested too deeply)") from error
    # Most texts have too few brackets for it.
    if text.count("[") + text.count("{") > _MAX_DEPTH:
        deque(_values(value, where, kind), maxlen=0)
    return value


def read_json_lines(path: Path, kind: DocumentKind) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the place and the object of every line that is not empty.

    Raises:
        MvAdapterError: The kind's error: the file cannot be read, or a line holds no JSON object.
    """
    for number, line in enumerate(lines_of(read_text(path, kind)), start=1):
        if line.strip():
            where = f"{path}:{number}"
            yield where, check_object(parse_json(line, where, kind), where, kind)


def read_toml(path: Path, kind: DocumentKind) -> dict[str, Any]:
    """Read a TOML file.

    Raises:
        MvAdapterError: The kind's error: it cannot be read, is not valid TOML, or holds an integer
            past 64 bits, NaN or infinity.
    """
    text = read_text(path, kind)
    try:
        table = tomllib.loads(text)
    except RecursionError as error:
        raise kind.fault(path, "not valid TOML (nested too deeply)") from error
    except ValueError as error:
        raise kind.fault(path, f"not valid TOML ({_first_line(error)})") from error
    _check_plain(table, path, kind)
    return table


def parse_setting(text: str, where: object, kind: DocumentKind) -> Any:  # noqa: ANN401
    """Read a value as TOML writes it; what is no TOML is text, so that it needs no quotes.

    Raises:
        MvAdapterError: The kind's error: it is nested too deeply, or holds an integer past 64 bits,
            NaN or infinity.
    """
    try:
        table = tomllib.loads(f"value = {text}")
    except RecursionError as error:
        raise kind.fault(where, "nested too deeply") from error
    except tomllib.TOMLDecodeError:
        return text
    except ValueError as error:
        raise kind.fault(where, f"not valid TOML ({_first_line(error)})") from error
    if len(table) > 1:
        raise kind.fault(where, "more than one line")
    _check_plain(table, where, kind)
    return table["value"]


class _RefusedError(Exception):
    """What a hook of the JSON parser refuses, without the place."""


def _integer(digits: str) -> int:
    number = _long_integer(digits)
    if number not in _INT64:
        raise _RefusedError(f"the integer {_short(digits)} does not fit into 64 bits")
    return number


def _long_integer(digits: str) -> int:
    if len(digits) > _LONGEST_DIGITS:
        raise _RefusedError(f"the integer {_short(digits)} does not fit into 64 bits")
    return int(digits)


def _real(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise _RefusedError(f"the number {_short(digits)} is too large")
    return number


def _constant(name: str) -> float:
    raise _RefusedError(f"{name} is no number in JSON; write null where there is none")


def _pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(items)
    if len(table) < len(items):
        seen: set[str] = set()
        for key, _ in items:
            if key in seen:
                raise _RefusedError(f"the key {_short(key)!r} comes twice in one object")
            seen.add(key)
    return table


def _check_plain(table: dict[str, Any], where: object, kind: DocumentKind) -> None:
    for value in _values(table, where, kind):
        if isinstance(value, int) and value not in _INT64:
            # Python writes no more than some 4,000 digits in decimal.
            digits = str(value) if value.bit_length() < 1000 else hex(value)
            raise kind.fault(where, f"the integer {_short(digits)} does not fit into 64 bits")
        if isinstance(value, float) and not math.isfinite(value):
            raise kind.fault(where, f"{value} is no number that a setting can have")


def _values(value: object, where: object, kind: DocumentKind, depth: int = 0) -> Iterator[object]:
    """Yield what is in a value, at any depth that is allowed."""
    if depth > _MAX_DEPTH:
        raise kind.fault(where, "nested too deeply")
    if isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _values(inner, where, kind, depth + 1)
    else:
        yield value


def _type_name(value: object) -> str:
    names = {list: "a list", str: "text", bool: "a truth value", type(None): "null"}
    return names.get(type(value), "a number")


def _short(text: str) -> str:
    return text if len(text) <= 2 * _LONGEST_DIGITS else f"{text[:_LONGEST_DIGITS]}..."


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0][:200]
