"""A TOML file in, all settings of a training run out."""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mvadapter.adapters.base import MethodConfig
from mvadapter.adapters.build import adapter_config
from mvadapter.adapters.catalog import method_of
from mvadapter.adapters.methods.mv_adapter import MvAdapterConfig
from mvadapter.backbone.precision import PrecisionChoice
from mvadapter.data.folder import find_table, read_records
from mvadapter.data.records import Record
from mvadapter.data.splits import SelectOn, SplitSettings
from mvadapter.datasets.annotations import Dataset
from mvadapter.documents.text import DocumentKind
from mvadapter.documents.values import read_toml
from mvadapter.embedding.inputs import Inputs
from mvadapter.errors import ConfigError, UnknownNameError
from mvadapter.settings import check_range, settings_from_table, table_from_settings
from mvadapter.synthetic.dataset import SyntheticSettings, synthetic_records

_SYNTHETIC = "synthetic"
_MAX_EPOCHS = 10_000
_MAX_BATCH = 1_000_000
# For `mvadapter compare`, which reads the same file.
_OTHER_TABLES = ("compare",)
_KIND = DocumentKind(error=ConfigError, expected="a recipe (TOML)", advice="correct the recipe")
FREE_SETTINGS = ("data.path", "data.videos", "train.gradient_checkpointing")
"""Settings that may differ when a run is resumed: the paths of the data (their content has a
fingerprint), and what saves memory without changing the result."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSettings:
    """The videos and captions."""

    path: str
    """A table, or a folder with captions, relative to the recipe; or "synthetic" for videos that
    are drawn as [synthetic] describes."""
    videos: str = ""
    """The folder that the videos' names are relative to; by default the one that the table was
    prepared from, or else the table's own."""
    train_split: str = "train"
    """The rows to train on."""
    test_split: str = "test"
    """The rows that the adapter will be measured on; they never train, and are not read unless
    ``train.select_on`` is "test"."""

    @property
    def is_synthetic(self) -> bool:
        """Whether the videos are drawn, not read."""
        return self.path == _SYNTHETIC


@dataclass(frozen=True, slots=True, kw_only=True)
class BackboneSettings:
    """The CLIP to adapt."""

    name: str = "tiny"
    """A folder, relative to the recipe; a hub id; or "tiny"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainSettings:
    """How to train."""

    epochs: int = 5
    """How often each (video, caption) pair is used."""
    batch_size: int = 128
    """Pairs per step; all other pairs of the batch are negatives."""
    learning_rate: float = MvAdapterConfig.default_learning_rate
    """The peak of AdamW's step size. A recipe without one has its method's usual rate, 0.002, or
    0.00005 for full fine-tuning; docs/study.md has the measurement behind both."""
    weight_decay: float = 0.2
    """AdamW's decay of weight matrices; biases, norms and vectors do not decay."""
    warmup_percent: float = 10.0
    """Share of all steps in which the learning rate rises; then it falls along a cosine to 0."""
    max_gradient_norm: float = 1.0
    """Longer gradients, over all weights together, are scaled down to this norm."""
    mask_equal_captions: bool = False
    """Whether videos with the same caption are left out of each other's negatives. They are in many
    published datasets, and no paper leaves them out."""
    seed: int = 0
    """Decides the adapter's first weights and the order of the data: the same bits again, for one
    precision on one machine."""
    precision: PrecisionChoice = "auto"
    """bfloat16 or float32; "auto" is bfloat16 where the processor has instructions for it."""
    gradient_checkpointing: bool = False
    """Less memory for about a third more time."""
    holdout_percent: float = 10.0
    """Share of the train split's videos that never train and choose the best epoch."""
    select_on: SelectOn = "holdout"
    """What chooses the best epoch. "test" is what many papers did; results are marked with it."""

    def __post_init__(self) -> None:
        check_range("epochs", self.epochs, 1, _MAX_EPOCHS)
        check_range("batch_size", self.batch_size, 2, _MAX_BATCH)
        check_range("seed", self.seed, 0, 2**63 - 1)
        for setting in ("learning_rate", "max_gradient_norm"):
            if not 0 < getattr(self, setting) < math.inf:
                raise ConfigError(
                    f"{setting} must be above 0 and finite, got {getattr(self, setting)}"
                )
        if not 0 <= self.weight_decay < math.inf:
            raise ConfigError(
                f"weight_decay must be at least 0 and finite, got {self.weight_decay}"
            )
        for setting in ("warmup_percent", "holdout_percent"):
            if not 0 <= getattr(self, setting) < 100:
                raise ConfigError(
                    f"{setting} must be from 0 to below 100, got {getattr(self, setting)}"
                )


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """All that decides a training run."""

    data: DataSettings
    backbone: BackboneSettings = field(default_factory=BackboneSettings)
    method: MethodConfig = field(default_factory=MvAdapterConfig)
    inputs: Inputs = field(default_factory=Inputs)
    train: TrainSettings = field(default_factory=TrainSettings)
    synthetic: SyntheticSettings = field(default_factory=SyntheticSettings)

    def as_table(self) -> dict[str, Any]:
        """The recipe as plain values, for files and comparisons."""
        table = table_from_settings(self)
        table["method"] = {"name": self.method.name, **table["method"]}
        if not self.data.is_synthetic:
            del table["synthetic"]
        return table

    @property
    def table(self) -> Path:
        """Where the dataset comes from: the table, also where a folder was named that holds it."""
        return find_table(Path(self.data.path))

    @property
    def splits(self) -> SplitSettings:
        """How the dataset is divided."""
        return SplitSettings(
            train_split=self.data.train_split,
            test_split=self.data.test_split,
            holdout_percent=self.train.holdout_percent,
            select_on=self.train.select_on,
        )

    def records(self, folder: Path) -> list[Record]:
        """The dataset; one that is drawn goes into ``folder``.

        Raises:
            DataError: The table or folder cannot be used.
            OSError: The videos cannot be written.
        """
        if self.data.is_synthetic:
            return synthetic_records(self.synthetic, folder)
        return read_records(self.data.path, self.data.videos or None)


def dataset_settings(dataset: Dataset) -> dict[str, Any]:
    """The settings that a dataset decides, by names such as "train.epochs"."""
    return {
        "data.train_split": dataset.train_split,
        "data.test_split": dataset.test_split,
        "inputs.num_frames": dataset.num_frames,
        "inputs.max_tokens": dataset.max_tokens,
        "inputs.sampling": dataset.sampling,
        "train.epochs": dataset.epochs,
        "train.batch_size": dataset.batch_size,
    }


def read_recipe(path: str | Path | None, overrides: Mapping[str, Any] | None = None) -> Recipe:
    """Read a recipe; its relative paths start from its own folder.

    Args:
        path: A TOML file; None starts from the defaults.
        overrides: Settings that replace the file's, by names such as "train.epochs".
            Where "method.name" is another method than the file's, the file's [method] is not used.

    Raises:
        ConfigError: It is missing, not TOML, or has an invalid value.
    """
    tables = {} if path is None else read_tables(Path(path))
    for other in _OTHER_TABLES:
        tables.pop(other, None)
    where = "settings" if path is None else str(path)
    _drop_other_method(tables, (overrides or {}).get("method.name"))
    for name, value in (overrides or {}).items():
        table, _, key = name.partition(".")
        if not key or "." in key:
            raise ConfigError(
                f"{where}: a setting is named by its table and key, such as 'train.epochs', got "
                f"{name!r}"
            )
        check_table(table, tables.setdefault(table, {}), where)
        tables[table][key] = value
    return recipe_from_table(tables, where)


def _drop_other_method(tables: dict[str, Any], named: object) -> None:
    """Forget a recipe's settings of a method where another one is asked for."""
    own = tables.get("method")
    if not (isinstance(named, str) and isinstance(own, Mapping)):
        return
    if method_of(named) != method_of(str(own.get("name", MvAdapterConfig.name))):
        del tables["method"]


def check_table(name: str, table: object, where: str) -> None:
    """Refuse what should be a table and is not.

    Raises:
        ConfigError: It is a plain value.
    """
    if not isinstance(table, Mapping):
        raise ConfigError(f"{where}: {name} must be a table, [{name}], got {table!r}")


def read_tables(path: Path) -> dict[str, Any]:
    """Read a recipe's tables, with paths relative to the working folder.

    Raises:
        ConfigError: It is missing or not TOML.
    """
    tables = read_toml(path, _KIND)
    data = tables.get("data", {})
    for key in ("path", "videos"):
        value = data.get(key) if isinstance(data, dict) else None
        if isinstance(value, str) and value not in ("", _SYNTHETIC):
            data[key] = str(path.parent / value)
    backbone = tables.get("backbone", {})
    name = backbone.get("name") if isinstance(backbone, dict) else None
    if isinstance(name, str) and name != "tiny":
        folder = path.parent / name
        # A name that is no folder may be a hub id. The path is absolute because adapters record it.
        if name.startswith(".") or folder.is_dir():
            backbone["name"] = str(folder.resolve())
    return tables


def recipe_from_table(table: Mapping[str, Any], where: str) -> Recipe:
    """Build a recipe from its tables.

    The learning rate is the method's usual one unless there is one.

    Raises:
        UnknownNameError: A table or key is not known.
        ConfigError: One is missing, or has a value it cannot have.
    """
    known = {part.name for part in dataclasses.fields(Recipe)}
    for key, part in table.items():
        if key not in known:
            raise UnknownNameError(f"table of {where}", key, {*known, *_OTHER_TABLES})
        check_table(key, part, where)
    if "path" not in table.get("data", {}):
        raise ConfigError(f"{where} [data]: path is missing; name a table or a folder")
    inputs = settings_from_table(Inputs, table.get("inputs", {}), f"{where} [inputs]")
    config = method_from_table(table.get("method", {}), inputs, f"{where} [method]")
    train = {"learning_rate": config.default_learning_rate} | dict(table.get("train", {}))
    return Recipe(
        data=settings_from_table(DataSettings, table["data"], f"{where} [data]"),
        backbone=settings_from_table(
            BackboneSettings, table.get("backbone", {}), f"{where} [backbone]"
        ),
        method=config,
        inputs=inputs,
        train=settings_from_table(TrainSettings, train, f"{where} [train]"),
        synthetic=settings_from_table(
            SyntheticSettings, table.get("synthetic", {}), f"{where} [synthetic]"
        ),
    )


def method_from_table(table: Mapping[str, Any], inputs: Inputs, where: str) -> MethodConfig:
    """Build a method's configuration, which takes its frames and tokens from the inputs.

    Raises:
        UnknownNameError: The method or a setting is not known.
        ConfigError: A setting has a value it cannot have.
    """
    settings = dict(table)
    name = str(settings.pop("name", MvAdapterConfig.name))
    if method_of(name) == MvAdapterConfig.name:
        settings = {"num_frames": inputs.num_frames, "max_tokens": inputs.max_tokens} | settings
    return adapter_config(name, settings, where)
