"""The front door of training, as a Python user calls it."""

import json

import pytest

from mvadapter import load_adapter, train
from mvadapter.errors import ConfigError, UnknownNameError

SMALL = {
    "inputs.num_frames": 4,
    "inputs.max_tokens": 30,
    "method.bottleneck_width": 8,
    "train.epochs": 1,
    "train.batch_size": 4,
    "train.precision": "float32",
    "train.holdout_percent": 25.0,
}


def test_a_table_and_a_few_settings_make_an_adapter(table, random_clip_folder, tmp_path):
    settings = SMALL | {"backbone.name": str(random_clip_folder)}

    result = train(table, output=tmp_path / "mine", settings=settings)

    assert result.is_finished
    assert result.missing == {}
    assert load_adapter(tmp_path / "mine").inputs.num_frames == 4
    assert json.loads(json.dumps(result.to_dict()))["steps"] == result.num_steps


def test_a_recipe_may_be_given_other_data_and_settings(table, random_clip_folder, tmp_path):
    recipe = tmp_path / "recipe.toml"
    recipe.write_text('[data]\npath = "elsewhere.csv"\nvideos = "elsewhere"\n[train]\nepochs = 9\n')
    settings = SMALL | {"backbone.name": str(random_clip_folder)}

    result = train(table, output=tmp_path / "mine", recipe=recipe, settings=settings)

    assert result.is_finished
    assert result.best_epoch == 1


def test_nothing_to_train_on_is_an_error(tmp_path):
    with pytest.raises(ConfigError, match="nothing to train on"):
        train(output=tmp_path / "mine")

    assert not (tmp_path / "mine").exists()


def test_a_setting_of_an_earlier_version_has_its_new_name_in_the_error(table, tmp_path):
    with pytest.raises(UnknownNameError, match="Did you mean 'max_tokens'"):
        train(table, output=tmp_path / "mine", settings={"inputs.num_words": 32})


def test_a_folder_with_other_files_is_left_alone(table, tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")

    with pytest.raises(ConfigError, match=r"contains other files \(thesis\.txt\)"):
        train(table, output=tmp_path)
