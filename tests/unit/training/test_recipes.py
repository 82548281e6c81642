"""The recipes that the repository ships: each parses, validates, and takes a step."""

import dataclasses
import json
from pathlib import Path

import pytest
import torch

from made_shapes import shape_only_clip
from made_videos import write_video
from mvadapter import Backbone
from mvadapter.adapters.build import count_trainable
from mvadapter.comparison.plan import check_plan, read_plan
from mvadapter.data.records import Record
from mvadapter.datasets.catalog import DATASETS
from mvadapter.training.loop import RunOptions, train_recipe
from mvadapter.training.recipe import dataset_settings, read_recipe

_FOLDER = Path(__file__).parents[3] / "recipes"
RECIPES = sorted(path.name for path in _FOLDER.glob("*.toml"))
PAPER = sorted(set(RECIPES) - {"synthetic.toml"})

# Trained weights that give the percentages of the paper's tables 1 to 5 for MV-Adapter.
COUNTS = {
    "msrvtt.toml": 3_572_736,
    "msvd.toml": 3_572_736,
    "lsmdc.toml": 3_615_008,
    "didemo.toml": 3_628_032,
    "activitynet.toml": 3_585_760,
    # Table 6c prints no share; the authors' code trains as many beside ViT-L/14.
    "msrvtt-large.toml": 17_002_176,
}


def clip_of(name):
    is_large = "large" in name
    return shape_only_clip(patch_px=14 if is_large else 16, is_large=is_large)


@pytest.fixture
def records(tmp_path):
    for number in range(4):
        write_video(tmp_path / f"{number}.mp4", range(number, number + 4))
    return [
        Record(id=str(i), video=tmp_path / f"{i}.mp4", captions=(f"video {i}",)) for i in range(4)
    ]


def test_there_is_a_recipe_for_each_dataset_of_the_paper():
    assert set(PAPER) == COUNTS.keys()


@pytest.mark.parametrize("name", PAPER)
def test_a_recipe_trains_as_many_weights_as_the_papers_table_says(name):
    recipe = read_recipe(_FOLDER / name)

    assert count_trainable(recipe.method, clip_of(name)) == COUNTS[name]


@pytest.mark.parametrize("name", PAPER)
def test_every_method_of_a_recipe_fits_its_clip(name):
    plan = read_plan(_FOLDER / name, {})

    counts = check_plan(plan, clip_of(name))

    assert list(counts.values())[-1] == COUNTS[name]
    assert counts["full"] == clip_of(name).num_weights
    assert plan.seeds == (0, 42, 123)


@pytest.mark.parametrize("name", PAPER)
def test_a_recipe_has_the_settings_that_its_dataset_decides(name):
    dataset = name.removesuffix(".toml").removesuffix("-large")
    decided = dataset_settings(DATASETS[dataset])

    said = read_recipe(_FOLDER / name).as_table()
    assert {key: said[key.split(".")[0]][key.split(".")[1]] for key in decided} == decided


def test_every_method_of_the_study_fits_the_tiny_clip():
    plan = read_plan(_FOLDER / "synthetic.toml", {})

    assert len(check_plan(plan, Backbone.load("tiny"))) == 12


def test_the_quick_study_takes_the_rates_that_the_study_found():
    found = json.loads((_FOLDER.parent / "docs" / "study" / "results.json").read_text())
    rates = {row["name"]: row["learning_rate"] for row in found["methods"]}

    plan = read_plan(_FOLDER / "synthetic.toml", {}, is_quick=True)

    assert rates.keys() == plan.methods.keys()
    for name, (rate,) in plan.learning_rates.items():
        # The search writes the rates beyond its grid with all their digits.
        assert name == "frozen" or rate == pytest.approx(rates[name], rel=0.01)


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_takes_a_step(name, records, random_clip_folder, tmp_path):
    shipped = read_recipe(_FOLDER / name)
    recipe = dataclasses.replace(
        shipped,
        backbone=dataclasses.replace(shipped.backbone, name=str(random_clip_folder)),
        method=dataclasses.replace(shipped.method, tied_layers=(-1,)),
        data=dataclasses.replace(shipped.data, train_split="train"),
        train=dataclasses.replace(shipped.train, epochs=1, precision="float32"),
    )
    torch.manual_seed(0)

    result = train_recipe(recipe, records, tmp_path / "adapter", RunOptions())

    assert result.is_finished
    assert result.step == 1
    assert (tmp_path / "adapter" / "adapter_model.safetensors").is_file()
