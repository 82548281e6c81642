import os.path

import pytest

from mvadapter import FrozenConfig, MvAdapterConfig
from mvadapter.adapters.methods.adaptformer import AdaptFormerConfig
from mvadapter.datasets.catalog import DATASETS
from mvadapter.errors import ConfigError
from mvadapter.training.recipe import (
    TrainSettings,
    dataset_settings,
    read_recipe,
    recipe_from_table,
)


def recipe(tmp_path, text):
    path = tmp_path / "recipe.toml"
    path.write_text(text)
    return path


def test_a_recipe_of_one_line_takes_the_defaults(tmp_path):
    read = read_recipe(recipe(tmp_path, '[data]\npath = "captions.csv"\n'))

    assert read.method == MvAdapterConfig()
    assert read.data.path == str(tmp_path / "captions.csv")
    assert read.train == TrainSettings()


@pytest.mark.parametrize(
    ("name", "read_as"),
    [
        ("clips/vit", "{}/clips/vit"),
        ("../clips", "{}/../clips"),
        ("./missing", "{}/missing"),
        ("synthetic", "{}/synthetic"),
        ("openai/clip-vit-base-patch16", "openai/clip-vit-base-patch16"),
        ("tiny", "tiny"),
    ],
)
def test_a_clip_folder_starts_from_the_recipe_and_a_hub_id_from_nowhere(tmp_path, name, read_as):
    (tmp_path / "clips" / "vit").mkdir(parents=True)
    (tmp_path / "tiny").mkdir()
    (tmp_path / "synthetic").mkdir()

    read = read_recipe(recipe(tmp_path, f"data.path = 'tiny'\nbackbone.name = '{name}'\n"))

    assert read.backbone.name == os.path.normpath(read_as.format(tmp_path))
    assert read.data.path == str(tmp_path / "tiny")


def test_everything_can_be_set(tmp_path):
    read = read_recipe(
        recipe(
            tmp_path,
            """
            data = { path = "/videos/t.csv", videos = "v" }
            backbone.name = "openai/clip-vit-base-patch16"
            inputs = { num_frames = 32, max_tokens = 64, sampling = "left-edge" }
            train = { epochs = 15, batch_size = 64, learning_rate = 1e-4 }
            [method]
            name = "mv-adapter"
            tied_layers = [-1]
            has_input_norm = true
            """,
        )
    )

    assert read.method == MvAdapterConfig(
        num_frames=32, max_tokens=64, tied_layers=(-1,), has_input_norm=True
    )
    assert read.data.path == "/videos/t.csv"
    assert read.data.videos == str(tmp_path / "v")
    assert read.train.epochs == 15


def test_another_method_has_its_own_settings(tmp_path):
    read = read_recipe(recipe(tmp_path, 'data.path = "t"\nmethod.name = "frozen"\n'))

    assert read.method == FrozenConfig()


def test_overrides_take_the_place_of_the_files_settings(tmp_path):
    path = recipe(tmp_path, 'data.path = "t"\ntrain.epochs = 3\n')

    read = read_recipe(path, {"train.epochs": 7, "method.bottleneck_width": 32})

    assert read.train.epochs == 7
    assert read.method.bottleneck_width == 32


def test_an_override_of_what_is_no_table_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"train must be a table, \[train\], got 3"):
        read_recipe(recipe(tmp_path, "train = 3"), {"train.epochs": 3})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[data]\npath = 't'\n[trian]\n", "table of .* 'trian' is not known. Did you mean 'train'"),
        ("data.path = 't'\n[comparison]\n", "Did you mean 'compare'"),
        ("data.path = 't'\ntrain.epoch = 3", r"\[train\]: setting 'epoch' .* mean 'epochs'"),
        ("data.path = 't'\nmethod.bottleneck = 3", "Did you mean 'bottleneck_width'"),
        ("data.path = 't'\nmethod.name = 'mv-adaptor'", "method 'mv-adaptor' .* 'mv-adapter'"),
        ("data.path = 't'\ntrain.epochs = 0", "epochs must be at least 1, got 0"),
        ("data.path = 't'\ntrain.epochs = '3'", r"\[train\]: epochs: .*valid integer, got '3'"),
        ("data.path = 't'\ntrain.select_on = 'val'", "'holdout' or 'test', got 'val'"),
        ("data.path = 't'\ntrain.warmup_percent = 100.0", "from 0 to below 100"),
        ("data.path = 't'\ninputs.sampling = 'random'", "got 'random'"),
        ("data.path = 't'\ntrain = 3", r"train must be a table, \[train\], got 3"),
        ("", r"\[data\]: path is missing"),
        ("data =", "not valid TOML"),
        ("data.path = 't'\ntrain.seed = -1", "seed must be at least 0, got -1"),
        ("data.path = 't'\nmethod.name = 3", "method '3' is not known"),
    ],
)
def test_what_a_recipe_cannot_say_is_refused(tmp_path, text, message):
    with pytest.raises(ConfigError, match=message):
        read_recipe(recipe(tmp_path, text))


def test_a_missing_recipe_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="no such file; expected a recipe"):
        read_recipe(tmp_path / "nowhere.toml")


def test_another_method_than_the_recipes_takes_none_of_its_settings(tmp_path):
    path = recipe(tmp_path, 'data.path = "t"\nmethod.calibration_width = 4\n')

    assert read_recipe(path, {"method.name": "adaptformer"}).method == AdaptFormerConfig()
    assert read_recipe(path, {"method.name": "mv-adapter"}).method.calibration_width == 4


@pytest.mark.parametrize("rate", [0.0, -1.0, float("inf"), float("nan")])
def test_a_rate_that_cannot_be_is_refused(rate):
    with pytest.raises(ConfigError, match="learning_rate must be above 0 and finite"):
        TrainSettings(learning_rate=rate)


def test_a_recipe_survives_its_own_table(tmp_path):
    from mvadapter.training.recipe import recipe_from_table

    read = read_recipe(recipe(tmp_path, 'data.path = "t"\nmethod.tying = "none"\n'))

    assert recipe_from_table(read.as_table(), "again") == read


@pytest.mark.parametrize(
    ("name", "frames", "words", "epochs", "batch_size", "splits"),
    [
        ("msrvtt", 12, 32, 5, 128, ("train-9k", "1k-A")),
        ("msvd", 12, 32, 5, 128, ("train", "test")),
        ("lsmdc", 12, 32, 5, 128, ("train", "test")),
        ("didemo", 32, 64, 15, 64, ("train", "test")),
        ("activitynet", 32, 64, 15, 64, ("train", "val1")),
    ],
)
def test_a_dataset_decides_settings_and_options_take_their_place(
    name, frames, words, epochs, batch_size, splits
):
    usual = dataset_settings(DATASETS[name])

    recipe = read_recipe(None, {"data.path": "t.csv", **usual, "train.seed": 3})
    other = read_recipe(None, {"data.path": "t.csv", **usual, "train.epochs": 1})

    assert (recipe.inputs.num_frames, recipe.inputs.max_tokens) == (frames, words)
    assert (recipe.train.epochs, recipe.train.batch_size) == (epochs, batch_size)
    assert (recipe.data.train_split, recipe.data.test_split) == splits
    assert other.train.epochs == 1


@pytest.mark.parametrize(("name", "rate"), [("full", 5e-5), ("lora", 2e-3), ("mv-adapter", 2e-3)])
def test_a_recipe_without_a_learning_rate_has_its_methods_usual_one(name, rate):
    table = {"data": {"path": "t.csv"}, "method": {"name": name}}

    assert recipe_from_table(table, "test").train.learning_rate == rate
    given = recipe_from_table({**table, "train": {"learning_rate": 0.5}}, "test")
    assert given.train.learning_rate == 0.5
