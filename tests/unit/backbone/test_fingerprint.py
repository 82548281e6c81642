"""Everything that changes a vector changes the fingerprint, and the part that differs is named."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from mvadapter.backbone.clip import Backbone
from mvadapter.backbone.fingerprint import differing_parts

TINY = Backbone.load("tiny").source


@pytest.fixture(scope="module")
def tiny():
    return Backbone.load("tiny")


@pytest.fixture
def folder(tmp_path):
    return shutil.copytree(TINY, tmp_path / "clip")


def change_json(path, change):
    table = json.loads(path.read_text()) if path.is_file() else {}
    change(table)
    path.write_text(json.dumps(table))


def swap_ids(table):
    ids = table["model"]["vocab"]
    ids["red</w>"], ids["left</w>"] = ids["left</w>"], ids["red</w>"]


def with_added(table):
    table["added_tokens_decoder"] = {"1": {"content": "circle"}}


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("tokenizer.json", swap_ids),
        ("tokenizer.json", lambda t: t["model"]["merges"].pop()),
        ("tokenizer_config.json", lambda t: t.update({"bos_token": "red</w>"})),
        ("tokenizer_config.json", lambda t: t.update(extra_special_tokens=["circle"])),
        ("tokenizer_config.json", lambda t: t.update({"cls_token": "circle"})),
        ("tokenizer_config.json", with_added),
        ("special_tokens_map.json", lambda t: t.update({"bos_token": "red</w>"})),
        ("added_tokens.json", lambda t: t.update(circle=7)),
    ],
)
def test_another_tokenizer_is_another_clip(folder, tiny, name, change):
    change_json(folder / name, change)

    other = Backbone.load(folder)

    caption = ["a red circle moves left, all the way to the left"]
    assert other.fingerprint != tiny.fingerprint
    assert differing_parts(tiny.fingerprint_parts, other.fingerprint_parts) == ["tokenizer"]
    if "merges" not in str(change):
        different = other.tokenizer.encode(caption, 40)[0] != tiny.tokenizer.encode(caption, 40)[0]
        assert different.any() or name == "tokenizer.json"


@pytest.mark.parametrize(
    ("name", "table"),
    [
        ("special_tokens_map.json", {"eos_token": {"content": "<|endoftext|>", "lstrip": False}}),
        ("added_tokens.json", {"<|endoftext|>": 1123}),
        ("tokenizer_config.json", {"errors": "replace", "add_prefix_space": False}),
    ],
)
def test_files_that_say_nothing_new_change_nothing(folder, tiny, name, table):
    change_json(folder / name, lambda t: t.update(table))

    assert Backbone.load(folder).fingerprint == tiny.fingerprint


@pytest.mark.parametrize(
    ("name", "part"), [("logit_scale", "temperature"), ("visual_projection.weight", "weights")]
)
def test_another_weight_is_another_clip(folder, tiny, name, part):
    tensors = load_file(folder / "model.safetensors")
    with torch.no_grad():
        tensors[name] = tensors[name] * 1.1
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})

    other = Backbone.load(folder)

    assert other.fingerprint != tiny.fingerprint
    assert differing_parts(tiny.fingerprint_parts, other.fingerprint_parts) == [part]


def test_another_pixel_recipe_is_another_clip(folder, tiny):
    change_json(folder / "preprocessor_config.json", lambda t: t.update(image_mean=[0.5, 0.5, 0.5]))

    other = Backbone.load(folder)

    assert differing_parts(tiny.fingerprint_parts, other.fingerprint_parts) == ["pixel recipe"]


def test_the_parts_are_the_same_in_every_precision(tiny):
    assert Backbone.load("tiny", dtype=torch.bfloat16).fingerprint_parts == tiny.fingerprint_parts


def test_the_parts_stay_those_of_saved_adapters(tiny):
    # What commit 79a04fa computed; another value refuses every saved adapter.
    assert tiny.fingerprint_parts == {
        "weights": "c5632020b65e2b6e",
        "shape": "a5e32322a75f46be",
        "pixel recipe": "8f45d2ec58a03918",
        "text recipe": "ff81b54a553407a7",
        "tokenizer": "34270fdcdf27956c",
        "temperature": "033833a152c52971",
    }
