"""A recipe and names of methods in, the plan of a comparison out."""

import dataclasses
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from mvadapter.adapters.base import MethodConfig
from mvadapter.adapters.build import adapter_config, build_on_meta, count_trainable
from mvadapter.adapters.catalog import method_names, method_of
from mvadapter.adapters.methods import METHODS
from mvadapter.adapters.methods.mv_adapter import MvAdapterConfig
from mvadapter.adapters.variants import VARIANTS
from mvadapter.backbone.clip import Backbone
from mvadapter.embedding.inputs import Inputs
from mvadapter.errors import ConfigError, UnknownNameError
from mvadapter.settings import check_range, settings_from_table, table_from_settings
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
    """Each method is trained once with each seed; the paper's three by default."""
    learning_rates: tuple[float, ...] = (1e-4, 1e-3, 1e-2)
    """Tried for every method with the first seed. Where the best is the lowest or the highest, one
    more in that direction is tried, twice at most. The held-out part of the train split chooses;
    the test split is not used."""
    settings: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Method or variant -> what differs from its own settings. Settings of a method also apply to
    its variants."""
    variants: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Name of a new variant -> ``method``, a method or variant of mvadapter, and what differs from
    its settings."""
    quick_rates: dict[str, float] = field(default_factory=dict)
    """Method or variant -> the learning rate of a quick comparison, where it is not the method's
    default: what an earlier search found. The rate of a method also applies to its variants."""

    def __post_init__(self) -> None:
        for setting in ("methods", "seeds", "learning_rates"):
            values = getattr(self, setting)
            if not values or len(set(values)) < len(values):
                raise ConfigError(
                    f"{setting} must have at least one value, each once, got {values}"
                )
        _check_numbers(self.seeds, (*self.learning_rates, *self.quick_rates.values()))
        for name, variant in self.variants.items():
            _check_variant(name, variant)
        known = {*method_names(), *VARIANTS, *self.variants}
        for name in (*self.methods, *self.settings, *self.quick_rates):
            if name not in known:
                raise UnknownNameError("method", name, known)
        for name, own in self.settings.items():
            if name in self.variants:
                raise ConfigError(
                    f"{name} is set in settings and in variants; set everything in variants"
                )
            _check_keys(f"settings.{name}", name, own)


def _check_numbers(seeds: Sequence[int], rates: Sequence[float]) -> None:
    """Refuse values that cannot be seeds or learning rates.

    Raises:
        ConfigError: There is one.
    """
    for rate in rates:
        if not 0 < rate < math.inf:
            raise ConfigError(f"learning rates must be above 0 and finite, got {rate}")
    for seed in seeds:
        check_range("seeds", seed, 0, 2**63 - 1)


def _check_variant(name: str, variant: Mapping[str, Any]) -> None:
    """Refuse a variant without a usable name or a known method.

    Raises:
        ConfigError: Its name is taken, or cannot be the name of a folder.
        UnknownNameError: Its method is not known.
    """
    if name in method_names() or name in VARIANTS:
        raise ConfigError(f"variants.{name}: a method has this name; choose another")
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f"variants.{name}: use only a-z, 0-9 and -; the name is also that of a folder"
        )
    if not isinstance(variant.get("method"), str):
        raise ConfigError(f'variants.{name} needs a method: method = "mv-adapter", for example')
    own = {key: value for key, value in variant.items() if key != "method"}
    _check_keys(f"variants.{name}", variant["method"], own)


def _check_keys(table: str, method: str, settings: Mapping[str, Any]) -> None:
    """Refuse settings that a method does not have.

    Raises:
        UnknownNameError: There is one, or no such method.
    """
    known = table_from_settings(adapter_config(method_of(method), {}, method))
    for key in settings:
        if key not in known:
            raise UnknownNameError(f"{table}: setting", key, known)


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonPlan:
    """What is trained and measured."""

    recipe: Recipe
    """Common to all methods: data, frames, epochs, batch size."""
    methods: dict[str, MethodConfig]
    """Name -> configuration, in the order of the tables."""
    seeds: tuple[int, ...]
    learning_rates: dict[str, tuple[float, ...]]
    """Method -> what is tried with the first seed."""

    def recipe_for(self, name: str, learning_rate: float | None, seed: int) -> Recipe:
        """The recipe of one run; the learning rate is None for a method that trains nothing."""
        rate = learning_rate or self.methods[name].default_learning_rate
        train = dataclasses.replace(self.recipe.train, learning_rate=rate, seed=seed)
        return dataclasses.replace(self.recipe, method=self.methods[name], train=train)

    def as_table(self) -> dict[str, Any]:
        """Everything that decides the runs of a comparison, but for seeds and learning rates."""
        table = self.recipe.as_table()
        del table["method"], table["train"]["seed"], table["train"]["learning_rate"]
        methods = {name: table_from_settings(config) for name, config in self.methods.items()}
        return {**table, "methods": methods}


def read_plan(
    path: str | Path,
    overrides: Mapping[str, Any] = MappingProxyType({}),
    *,
    is_quick: bool = False,
    text: str | None = None,
) -> ComparisonPlan:
    """Read what to compare from a recipe.

    Args:
        path: A TOML file.
        overrides: Settings that replace the file's, such as "train.epochs" or "compare.methods".
        is_quick: One seed, and one learning rate instead of a search.
        text: The text tower's adapter for methods that have the setting ``text``, such as "none".

    Raises:
        UnknownNameError: A method or a setting is not known.
        ConfigError: The recipe is missing, or a value is not possible.
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
            f"{path} [train]: select_on is 'test', but a comparison uses the test split only once, "
            f"at the end; leave select_on out"
        )
    # Variants that are not compared now are read too, so that a mistake in a recipe shows at once.
    read = {
        name: _method(name, chosen, tables.get("method", {}), recipe.inputs, text, where=str(path))
        for name in (*chosen.methods, *chosen.variants)
    }
    methods = {name: read[name] for name in chosen.methods}
    rates = dict.fromkeys(methods, chosen.learning_rates)
    if is_quick:
        rates = {name: (_quick_rate(name, chosen, methods[name]),) for name in methods}
    return ComparisonPlan(
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
) -> MethodConfig:
    """The configuration of one method; ``base`` is the recipe's table [method].

    The recipe's settings of a method apply to its variants too, except those that make the variant.

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


def _quick_rate(name: str, chosen: CompareSettings, config: MethodConfig) -> float:
    named = [one for one in _lineage(name, chosen) if one in chosen.quick_rates]
    return chosen.quick_rates[named[0]] if named else config.default_learning_rate


def _lineage(name: str, chosen: CompareSettings) -> tuple[str, str, str]:
    """A name, the variant and the method that it is based on, which may all be the same."""
    parent = chosen.variants.get(name, {}).get("method", name)
    return name, parent, method_of(parent)


def check_plan(plan: ComparisonPlan, backbone: Backbone) -> dict[str, int]:
    """Count the trained weights of each method, and refuse a method that does not fit.

    Raises:
        ConfigError: One does not fit this CLIP, or the recipe's frames and tokens.
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
                    f"{name} takes {setting} up to {longest}, but the recipe has "
                    f"{getattr(inputs, setting)}; leave {name} out, or change its limit in "
                    f"[compare]"
                )
    return counts


def run_folder(folder: Path, name: str, learning_rate: float | None, seed: int) -> Path:
    """The folder of one run."""
    run = "untrained" if learning_rate is None else f"rate-{learning_rate:g}-seed-{seed}"
    return folder / _RUNS / name / run


def same_methods(plan: ComparisonPlan, folder: Path) -> dict[str, str]:
    """Map each name to the name whose runs it shares: one with the same settings and rates.

    That is the first with runs in the folder, or else the first.
    """
    keys = {name: (config, plan.learning_rates[name]) for name, config in plan.methods.items()}
    first: dict[tuple[MethodConfig, tuple[float, ...]], str] = {}
    for name in sorted(keys, key=lambda name: not (folder / _RUNS / name).is_dir()):
        first.setdefault(keys[name], name)
    return {name: first[key] for name, key in keys.items()}
