"""A recipe and the names of methods in, everything that a comparison depends on out."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mvadapter.adapters.build import METHODS, AdapterConfig, adapter_config, count_trainable
from mvadapter.adapters.mv_adapter import MvAdapterConfig
from mvadapter.adapters.variants import VARIANTS
from mvadapter.backbone.clip import Backbone
from mvadapter.errors import ConfigError, UnknownNameError
from mvadapter.settings import settings_from_table, table_from_settings
from mvadapter.training.recipe import Recipe, read_tables, recipe_from_table


@dataclass(frozen=True, slots=True, kw_only=True)
class CompareSettings:
    """The table [compare] of a recipe."""

    methods: tuple[str, ...] = tuple(METHODS)
    """Methods and variants; all methods by default."""
    seeds: tuple[int, ...] = (0, 42, 123)
    """Each method is trained once with each; the paper's three by default."""
    learning_rates: tuple[float, ...] = (3e-4, 1e-3, 3e-3, 1e-2)
    """What is tried for every method with the first seed. The held-out part of the train split
    chooses; the test split is not seen."""
    settings: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By name of a method or variant, what differs from its own settings."""

    def __post_init__(self) -> None:
        for setting in ("methods", "seeds", "learning_rates"):
            values = getattr(self, setting)
            if not values or len(set(values)) < len(values):
                raise ConfigError(f"{setting} must name at least one, and each once, got {values}")
        for rate in self.learning_rates:
            if not rate > 0:
                raise ConfigError(f"learning_rates must be above 0, got {rate}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is trained and measured."""

    recipe: Recipe
    """What all have in common: data, frames, epochs, batch."""
    methods: dict[str, AdapterConfig]
    """By name, in the order of the table."""
    seeds: tuple[int, ...]
    learning_rates: tuple[float, ...]

    def recipe_for(self, name: str, learning_rate: float | None, seed: int) -> Recipe:
        """The recipe of one run; without a learning rate, of a method that is not trained."""
        rate = learning_rate or self.recipe.train.learning_rate
        train = dataclasses.replace(self.recipe.train, learning_rate=rate, seed=seed)
        return dataclasses.replace(self.recipe, method=self.methods[name], train=train)

    def as_table(self) -> dict[str, Any]:
        """What a comparison must keep to be the same one: all but which methods and seeds."""
        table = self.recipe.as_table()
        del table["method"], table["train"]["seed"], table["train"]["learning_rate"]
        return {**table, "learning_rates": list(self.learning_rates)}


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
        is_quick: One seed, and the recipe's own learning rate instead of a search.
        text: What stands in the text tower of the methods that leave it open, such as "none".

    Raises:
        UnknownNameError: A method or a setting is not known.
        ConfigError: The recipe is missing, or says something that cannot be.
    """
    tables = read_tables(Path(path))
    for name, value in overrides.items():
        table, key = name.split(".")
        tables.setdefault(table, {})[key] = value
    chosen = settings_from_table(CompareSettings, tables.pop("compare", {}), f"{path} [compare]")
    for name in chosen.settings:
        if name not in (*METHODS, *VARIANTS):
            raise UnknownNameError(f"table of {path} [compare.settings]", name, METHODS)
    recipe = recipe_from_table(tables, str(path))
    # The recipe's own method keeps the settings that the recipe gives it.
    base = dict(tables.get("method", {}))
    base_name = base.pop("name", MvAdapterConfig.name)
    own = {
        name: {**(base if name == base_name else {}), **chosen.settings.get(name, {})}
        for name in chosen.methods
    }
    if text is not None:
        own = {name: _with_text(name, settings, text) for name, settings in own.items()}
    return Plan(
        recipe=recipe,
        methods={
            name: _method(name, settings, tables, str(path)) for name, settings in own.items()
        },
        seeds=chosen.seeds[:1] if is_quick else chosen.seeds,
        learning_rates=(recipe.train.learning_rate,) if is_quick else chosen.learning_rates,
    )


def _method(
    name: str, settings: Mapping[str, Any], tables: Mapping[str, Any], where: str
) -> AdapterConfig:
    """The configuration of one method, which takes its frames and words from the recipe."""
    table = {**tables, "method": {"name": name, **settings}}
    return recipe_from_table(table, where).method


def _with_text(name: str, settings: Mapping[str, Any], text: str) -> dict[str, Any]:
    """A method's settings with this in the text tower, where it has such a setting."""
    has_text = "text" in table_from_settings(adapter_config(name, {}, name))
    return {**settings, "text": text} if has_text else dict(settings)


def check_plan(plan: Plan, backbone: Backbone) -> dict[str, int]:
    """Count what each method trains, so that one that does not fit is refused before any trains.

    Raises:
        ConfigError: One does not fit this CLIP.
    """
    counts = {}
    for name, config in plan.methods.items():
        try:
            counts[name] = count_trainable(config, backbone)
        except ConfigError as error:
            raise ConfigError(f"{name} does not fit {backbone.name!r}: {error}") from error
    return counts


def run_folder(folder: Path, name: str, learning_rate: float | None, seed: int) -> Path:
    """Where one run lies."""
    run = "untrained" if learning_rate is None else f"rate-{learning_rate:g}-seed-{seed}"
    return folder / "runs" / name / run


def same_methods(methods: Mapping[str, AdapterConfig]) -> dict[str, str]:
    """For each name, the first one with the same settings: what need not be trained twice."""
    first: dict[AdapterConfig, str] = {}
    return {name: first.setdefault(config, name) for name, config in methods.items()}
