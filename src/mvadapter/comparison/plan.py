"""A recipe and the names of methods in, everything that a comparison depends on out."""

import dataclasses
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mvadapter.adapters.build import (
    METHODS,
    AdapterConfig,
    adapter_config,
    build_on_meta,
    count_trainable,
    method_of,
)
from mvadapter.adapters.methods.mv_adapter import MvAdapterConfig
from mvadapter.adapters.variants import VARIANTS
from mvadapter.backbone.clip import Backbone
from mvadapter.embedding.inputs import Inputs
from mvadapter.errors import ConfigError, UnknownNameError
from mvadapter.settings import settings_from_table, table_from_settings
from mvadapter.training.recipe import (
    Recipe,
    check_table,
    method_from_table,
    read_tables,
    recipe_from_table,
)

_NAME = re.compile(r"[a-z0-9][a-z0-9-]*")
_RUNS = "runs"


@dataclass(frozen=True, slots=True, kw_only=True)
class CompareSettings:
    """The table [compare] of a recipe."""

    methods: tuple[str, ...] = tuple(METHODS)
    """Methods and variants; all methods by default."""
    seeds: tuple[int, ...] = (0, 42, 123)
    """Each method is trained once with each; the paper's three by default."""
    learning_rates: tuple[float, ...] = (1e-4, 1e-3, 1e-2)
    """What is tried for every method with the first seed. Where the best is at an end, one more in
    that direction is tried, twice at most. The held-out part of the train split chooses; the test
    split is not seen."""
    settings: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By name of a method or variant, what differs from its own settings. Those of a method are
    also its variants'."""
    variants: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Variants of the recipe's own, by name: ``method``, a method or a variant that mvadapter has,
    and what differs from its settings."""
    quick_rates: dict[str, float] = field(default_factory=dict)
    """By name of a method or variant, the learning rate of ``--quick`` where it is not the method's
    usual one: what an earlier search found. That of a method is also its variants'."""

    def __post_init__(self) -> None:
        for setting in ("methods", "seeds", "learning_rates"):
            values = getattr(self, setting)
            if not values or len(set(values)) < len(values):
                raise ConfigError(f"{setting} must name at least one, and each once, got {values}")
        _check_numbers(self.seeds, (*self.learning_rates, *self.quick_rates.values()))
        for name, variant in self.variants.items():
            _check_variant(name, variant)
        known = {*METHODS, *VARIANTS, *self.variants}
        for name in (*self.methods, *self.settings, *self.quick_rates):
            if name not in known:
                raise UnknownNameError("method", name, known)
        for name, own in self.settings.items():
            if name in self.variants:
                raise ConfigError(f"{name} is set in settings and in variants; say all in variants")
            _check_keys(f"settings.{name}", name, own)


def _check_numbers(seeds: Sequence[int], rates: Sequence[float]) -> None:
    """Refuse what is no seed or no learning rate.

    Raises:
        ConfigError: There is one.
    """
    for rate in rates:
        if not 0 < rate < math.inf:
            raise ConfigError(f"learning rates must be above 0 and finite, got {rate}")
    if min(seeds) < 0:
        raise ConfigError(f"seeds must be at least 0, got {min(seeds)}")


def _check_variant(name: str, variant: Mapping[str, Any]) -> None:
    """Refuse a variant of a recipe that nobody could name, or that is of no method.

    Raises:
        ConfigError: It has the name of another, or one that is no name of a folder.
        UnknownNameError: Its method is not known.
    """
    if name in METHODS or name in VARIANTS:
        raise ConfigError(f"variants.{name}: there is a method of that name; give it another")
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f"variants.{name}: a name has a-z, 0-9 and - only; its runs' folder has it"
        )
    if not isinstance(variant.get("method"), str):
        raise ConfigError(f'variants.{name} must say of what: method = "mv-adapter", for example')
    own = {key: value for key, value in variant.items() if key != "method"}
    _check_keys(f"variants.{name}", variant["method"], own)


def _check_keys(table: str, method: str, settings: Mapping[str, Any]) -> None:
    """Refuse settings that a method has not, where they stand.

    Raises:
        UnknownNameError: There is one, or no such method.
    """
    known = table_from_settings(adapter_config(method_of(method), {}, method))
    for key in settings:
        if key not in known:
            raise UnknownNameError(f"setting of {table}", key, known)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is trained and measured."""

    recipe: Recipe
    """What all have in common: data, frames, epochs, batch."""
    methods: dict[str, AdapterConfig]
    """By name, in the order of the table."""
    seeds: tuple[int, ...]
    learning_rates: dict[str, tuple[float, ...]]
    """By method, what is tried with the first seed."""

    def recipe_for(self, name: str, learning_rate: float | None, seed: int) -> Recipe:
        """The recipe of one run; without a learning rate, of a method that is not trained."""
        rate = learning_rate or self.methods[name].default_learning_rate
        train = dataclasses.replace(self.recipe.train, learning_rate=rate, seed=seed)
        return dataclasses.replace(self.recipe, method=self.methods[name], train=train)

    def as_table(self) -> dict[str, Any]:
        """What a comparison must keep to be the same one, whichever methods and seeds it has."""
        table = self.recipe.as_table()
        del table["method"], table["train"]["seed"], table["train"]["learning_rate"]
        methods = {name: table_from_settings(config) for name, config in self.methods.items()}
        return {**table, "methods": methods}


def read_plan(
    path: str | Path,
    overrides: Mapping[str, Any],
    *,
    is_quick: bool = False,
    text: str | None = None,
) -> Plan:
    """Read what to compare from a recipe.

    Args:
        path: A TOML file.
        overrides: What takes the place of the file's settings, by names such as "train.epochs" or
            "compare.methods".
        is_quick: One seed, and one learning rate instead of a search.
        text: What stands in the text tower of the methods that leave it open, such as "none".

    Raises:
        UnknownNameError: A method or a setting is not known.
        ConfigError: The recipe is missing, or says something that cannot be.
    """
    tables = read_tables(Path(path))
    for name, value in overrides.items():
        table, key = name.split(".")
        check_table(table, tables.setdefault(table, {}), str(path))
        tables[table][key] = value
    own = tables.pop("compare", {})
    check_table("compare", own, str(path))
    where = f"{path} [compare]"
    if any(name.startswith("compare.") for name in overrides):
        where += " and the options"
    chosen = settings_from_table(CompareSettings, own, where)
    recipe = recipe_from_table(tables, str(path))
    if recipe.train.select_on == "test":
        raise ConfigError(
            f"{path} [train]: select_on is 'test', but a comparison sees the test split once, at "
            f"the end; leave it out"
        )
    # Those that are not compared now are read too, so that a slip in a recipe shows at once.
    read = {
        name: _method(name, chosen, tables.get("method", {}), recipe.inputs, text, where=str(path))
        for name in (*chosen.methods, *chosen.variants)
    }
    methods = {name: read[name] for name in chosen.methods}
    rates = dict.fromkeys(methods, chosen.learning_rates)
    if is_quick:
        rates = {name: (_quick_rate(name, chosen, methods[name]),) for name in methods}
    return Plan(
        recipe=recipe,
        methods=methods,
        seeds=chosen.seeds[:1] if is_quick else chosen.seeds,
        learning_rates=rates,
    )


def _method(
    name: str,
    chosen: CompareSettings,
    base: Mapping[str, Any],
    inputs: Inputs,
    text: str | None,
    *,
    where: str,
) -> AdapterConfig:
    """The configuration of one method, of which ``base`` is what the recipe's [method] says.

    What the recipe says of a method holds for its variants too, but a variant's own settings are
    what makes it one.

    Raises:
        ConfigError: A setting has a value it cannot have.
    """
    own = {key: value for key, value in chosen.variants.get(name, {}).items() if key != "method"}
    _, parent, method = _lineage(name, chosen)
    base = dict(base)
    if method_of(str(base.pop("name", MvAdapterConfig.name))) != method:
        base = {}
    settings = {**base, **chosen.settings.get(method, {})}
    if parent in VARIANTS:
        settings |= {**VARIANTS[parent].settings, **chosen.settings.get(parent, {})}
    settings |= own
    if text is not None and "text" in table_from_settings(adapter_config(method, {}, method)):
        settings["text"] = text
    return method_from_table({"name": method, **settings}, inputs, f"{where} [compare], {name}")


def _quick_rate(name: str, chosen: CompareSettings, config: AdapterConfig) -> float:
    named = [one for one in _lineage(name, chosen) if one in chosen.quick_rates]
    return chosen.quick_rates[named[0]] if named else config.default_learning_rate


def _lineage(name: str, chosen: CompareSettings) -> tuple[str, str, str]:
    """A name, the variant it is of and the method it is of, which may all be the same."""
    parent = chosen.variants.get(name, {}).get("method", name)
    return name, parent, method_of(parent)


def check_plan(plan: Plan, backbone: Backbone) -> dict[str, int]:
    """Count what each method trains, so that one that does not fit is refused before any trains.

    Raises:
        ConfigError: One does not fit this CLIP, or not the recipe's frames and words.
    """
    inputs, counts = plan.recipe.inputs, {}
    if inputs.max_tokens > backbone.text.num_positions:
        raise ConfigError(
            f"max_tokens is {inputs.max_tokens}, but {backbone.name!r} has positions for "
            f"{backbone.text.num_positions} tokens"
        )
    for name, config in plan.methods.items():
        try:
            adapter = build_on_meta(config, backbone)
            counts[name] = count_trainable(config, backbone)
        except ConfigError as error:
            raise ConfigError(f"{name} does not fit {backbone.name!r}: {error}") from error
        for setting, longest in (
            ("num_frames", adapter.longest_video),
            ("max_tokens", adapter.longest_caption),
        ):
            if longest is not None and getattr(inputs, setting) > longest:
                raise ConfigError(
                    f"{name} takes {setting} up to {longest}, but the recipe's are "
                    f"{getattr(inputs, setting)}; leave {name} out, or set what it takes in "
                    f"[compare]"
                )
    return counts


def run_folder(folder: Path, name: str, learning_rate: float | None, seed: int) -> Path:
    """Where one run lies."""
    run = "untrained" if learning_rate is None else f"rate-{learning_rate:g}-seed-{seed}"
    return folder / _RUNS / name / run


def same_methods(plan: Plan, folder: Path) -> dict[str, str]:
    """For each name, the one with the same settings and rates whose runs are its own too.

    That is the first which has runs in the folder already, or else the first.
    """
    keys = {name: (config, plan.learning_rates[name]) for name, config in plan.methods.items()}
    first: dict[tuple[AdapterConfig, tuple[float, ...]], str] = {}
    for name in sorted(keys, key=lambda name: not (folder / _RUNS / name).is_dir()):
        first.setdefault(keys[name], name)
    return {name: first[key] for name, key in keys.items()}
