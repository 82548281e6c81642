"""A table of settings in, a checked dataclass out.

Recipes (TOML) and adapter folders (JSON) are both read here, so that an unknown key or a value of
the wrong kind is refused in the same words in both.
"""

import dataclasses
import json
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from mvadapter.errors import ConfigError, UnknownNameError

Config = TypeVar("Config")
Number = TypeVar("Number", int, float)

_SHOWN = 100

RENAMED = {"num_words": "max_tokens"}
"""Settings that had another name in earlier versions: old name -> present one."""


MAX_POSITIONS = 4096
"""The most frames or tokens: far more than any CLIP was used with."""
MIN_TOKENS = 3
"""The fewest tokens of a caption: start, a word, end."""
MAX_WIDTH = 8192
"""The widest that a part of an adapter may be."""


def check_range(setting: str, value: Number, minimum: int, maximum: int | None = None) -> None:
    """Refuse a number out of range, before anything of its size is allocated.

    Args:
        setting: What it is called in the error.
        value: The number.
        minimum: The least that it may be.
        maximum: The most; None where there is no limit.

    Raises:
        ConfigError: It is.
    """
    # Not below, which NaN is not.
    if not value >= minimum:
        raise ConfigError(f"{setting} must be at least {minimum}, got {value}")
    if maximum is not None and value > maximum:
        raise ConfigError(f"{setting} must be at most {maximum:,}, got {value:,}")


def settings_from_table(config_class: type[Config], table: Mapping[str, Any], where: str) -> Config:
    """Build a configuration from a table, and refuse unknown keys.

    Args:
        config_class: A frozen dataclass.
        table: Keys and values as TOML or JSON gives them.
        where: What the table is called in an error, such as ``"recipe.toml [train]"``.

    Raises:
        UnknownNameError: A key is no field of the dataclass.
        ConfigError: A value has the wrong type, or the dataclass refuses it.
    """
    known = {field.name for field in dataclasses.fields(config_class)}  # type: ignore[arg-type]
    for key in table:
        if key not in known:
            renamed = RENAMED.get(key)
            nearest = renamed if renamed in known else None
            raise UnknownNameError(f"{where}: setting", key, known, nearest=nearest)
    return plain_value(TypeAdapter(config_class).validate_json, dict(table), where)


def plain_value(validate: Callable[..., Config], value: object, where: str) -> Config:
    """Build an object from a value as TOML or JSON gives it.

    Args:
        validate: ``validate_json`` of the pydantic adapter of its type.
        value: The plain value.
        where: What it is called in an error.

    Raises:
        ConfigError: It has the wrong type, or what is built refuses it.
    """
    try:
        # Through JSON, so that strict types still accept a list as a tuple.
        return validate(json.dumps(value), strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"])
        raise ConfigError(f"{where}: {f'{key}: ' if key else ''}{_reason(first)}") from error
    except (TypeError, RecursionError) as error:
        raise ConfigError(f"{where}: a value is not plain TOML or JSON: {error}") from error


def table_from_settings(config: object) -> dict[str, Any]:
    """Turn a configuration back into plain values, as they are written into files."""
    table: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(config)))  # type: ignore[call-overload]
    return table


def _reason(first: Any) -> str:  # noqa: ANN401 - pydantic's error record
    cause = first.get("ctx", {}).get("error")
    if isinstance(cause, ConfigError):
        return str(cause)
    got = repr(first["input"])
    return f"{first['msg'].lower()}, got {got if len(got) <= _SHOWN else f'{got[:_SHOWN]}...'}"
