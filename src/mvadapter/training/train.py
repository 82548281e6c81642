"""Data, or a recipe, in; a trained adapter in a folder out."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mvadapter.datasets.catalog import DATASETS
from mvadapter.datasets.prepare import find_prepared
from mvadapter.encoder.adapter_folder import CARD_FILE, CONFIG_FILE, WEIGHTS_FILE
from mvadapter.errors import ConfigError
from mvadapter.synthetic.dataset import is_drawn
from mvadapter.training.loop import RunOptions, TrainingResult, train_recipe
from mvadapter.training.recipe import Recipe, dataset_settings, read_recipe
from mvadapter.unfinished import finished_names

_OF_A_RUN = ("lock", "state.safetensors")


def train(
    data: str | Path | None = None,
    *,
    output: str | Path = "adapter",
    recipe: str | Path | None = None,
    settings: Mapping[str, Any] | None = None,
    options: RunOptions | None = None,
    overwrite: bool = False,
) -> TrainingResult:
    """Train an adapter, or continue a run that was stopped in this folder.

    Args:
        data: A table (CSV, JSONL, Parquet) or a folder of videos with captions. None is the
            recipe's, or the default table of the dataset.
        output: The adapter folder; run again with the same folder to resume.
        recipe: A recipe, TOML, or the name of a published dataset; None is the default settings.
        settings: What takes the place of the recipe's settings, by names such as "train.epochs",
            "backbone.name" or "method.name"; docs/reference/recipe.md lists them.
        options: Device, threads and callbacks.
        overwrite: Whether an adapter may be replaced that has no run to resume.

    Raises:
        ConfigError: There is nothing to train on, a setting is wrong, or the folder holds
            something else.
        MvAdapterError: The data, the CLIP or the method cannot be used as asked.
    """
    output = Path(output)
    settled = resolve_recipe(recipe, data, settings or {})
    _refuse_foreign(output, is_synthetic=settled.data.is_synthetic, overwrite=overwrite)
    return train_recipe(settled, settled.records(output / "videos"), output, options)


def resolve_recipe(
    recipe: str | Path | None, data: str | Path | None, settings: Mapping[str, Any]
) -> Recipe:
    """Settle what decides a run: a recipe, a dataset's default settings, or the defaults.

    Raises:
        ConfigError: There is nothing to train on, or a setting is wrong.
    """
    if data is None and "data.path" in settings:
        data = str(settings["data.path"])
    if data is not None:
        # The folder of videos that a recipe names belongs to the recipe's own table.
        settings = {"data.videos": "", **settings, "data.path": str(data)}
    if recipe is None:
        if data is None:
            raise ConfigError(
                "nothing to train on: name a recipe or a dataset, or give a table or folder of data"
            )
        return read_recipe(None, settings)
    if str(recipe) in DATASETS:
        dataset = DATASETS[str(recipe)]
        table = find_prepared(dataset, None if data is None else Path(data))
        defaults = {"data.path": str(table), **dataset_settings(dataset)}
        return read_recipe(None, {**defaults, **settings, "data.path": str(table)})
    if not Path(recipe).exists():
        raise ConfigError(
            f"{recipe}: no such recipe; expected a TOML file, or a dataset: {', '.join(DATASETS)}"
        )
    return read_recipe(recipe, settings)


def _refuse_foreign(folder: Path, *, is_synthetic: bool, overwrite: bool) -> None:
    """Refuse a folder whose files a run would overwrite, or be mixed up with.

    Raises:
        ConfigError: It has some, or it is a file.
    """
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder}: is a file; name a folder for the adapter")
    if not folder.is_dir() or any((folder / "run" / name).is_file() for name in _OF_A_RUN):
        return
    # Drawn videos come before their run.
    ours = {"videos"} if is_synthetic and is_drawn(folder / "videos") else set()
    has_adapter = (folder / CONFIG_FILE).is_file()
    if has_adapter:
        ours |= {CONFIG_FILE, f"{CONFIG_FILE}.next", WEIGHTS_FILE, CARD_FILE}
    others = sorted(finished_names(folder) - ours)
    if others:
        raise ConfigError(
            f"{folder}: contains other files ({others[0]}) and no run to resume; name a new folder"
        )
    if has_adapter and not overwrite:
        raise ConfigError(
            f"{folder}: contains an adapter and no run to resume; name a new folder, or allow "
            f"that adapter to be overwritten"
        )
