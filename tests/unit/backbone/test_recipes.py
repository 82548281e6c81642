import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import mvadapter.backbone
from mvadapter import Encoder, FrozenConfig, build_adapter
from mvadapter.backbone.clip import Backbone
from mvadapter.backbone.recipes import PixelRecipe, Resize
from mvadapter.errors import BackboneError, ConfigError
from mvadapter.video.preprocess import to_pixels
from tolerances import backbone_in_float64, rounding

TINY = Path(mvadapter.backbone.__file__).parent / "tiny"
OPENAI = json.loads((TINY / "preprocessor_config.json").read_text())


@pytest.fixture
def folder(tmp_path):
    return shutil.copytree(TINY, tmp_path / "clip")


def describe_pixels(folder, **changes):
    table = {key: value for key, value in (OPENAI | changes).items() if value is not ...}
    (folder / "preprocessor_config.json").write_text(json.dumps(table))


def edit(path, change):
    table = json.loads(path.read_text())
    change(table)
    path.write_text(json.dumps(table))


def want_half(folder):
    """Make a copy of the tiny CLIP want a mean and deviation of 0.5, with the same features."""
    recipe = PixelRecipe.openai(64)
    mean, std = torch.tensor(recipe.mean), torch.tensor(recipe.std)
    weights = load_file(folder / "model.safetensors")
    patch = "vision_model.embeddings.patch_embedding.weight"
    positions = "vision_model.embeddings.position_embedding.weight"
    # (x - m) / s = ((x - 0.5) / 0.5) * (0.5 / s) + (0.5 - m) / s
    kernel = weights[patch].float()
    weights[patch] = kernel * (0.5 / std).view(1, 3, 1, 1)
    weights[positions] = weights[positions].float()
    weights[positions][1:] += (kernel * ((0.5 - mean) / std).view(1, 3, 1, 1)).sum((1, 2, 3))
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    describe_pixels(folder, image_mean=[0.5] * 3, image_std=[0.5] * 3)


def embed(backbone, images):
    encoder = Encoder(backbone, build_adapter(FrozenConfig(), backbone))
    pixels = to_pixels(images, backbone.pixels)[None]
    return encoder.embed_videos(pixels, torch.ones(1, len(images), dtype=torch.bool))


def test_a_clip_that_wants_other_pixels_gets_them(folder):
    want_half(folder)
    images = np.random.default_rng(0).integers(0, 256, (3, 70, 90, 3)).astype(np.uint8)

    half = Backbone.load(folder)

    assert half.pixels.mean == half.pixels.std == (0.5, 0.5, 0.5)
    ours, theirs = (
        embed(backbone_in_float64(clip), images) for clip in (half, Backbone.load("tiny"))
    )
    # A patch is a sum of 192 products, whose pixel and weight are rounded to float32.
    torch.testing.assert_close(ours, theirs, atol=rounding(2 * 192), rtol=0)


def test_without_a_description_pixels_are_openais(folder):
    described = Backbone.load(folder)
    (folder / "preprocessor_config.json").unlink()

    plain = Backbone.load(folder)

    assert plain.pixels == described.pixels == PixelRecipe.openai(64)
    assert plain.fingerprint == described.fingerprint


@pytest.mark.parametrize(
    ("changes", "resize"),
    [
        ({}, Resize.crop(64)),
        ({"size": 64, "crop_size": 64}, Resize.crop(64)),
        ({"size": ..., "crop_size": ..., "resample": ...}, Resize.crop(64)),
        ({"size": {"shortest_edge": 73}}, Resize(size_px=64, short_side_px=73)),
        ({"resample": 2}, Resize(size_px=64, short_side_px=64, interpolation="bilinear")),
        (
            {"size": {"height": 64, "width": 64}, "do_center_crop": False},
            Resize(size_px=64, short_side_px=64, fit="squash"),
        ),
    ],
)
def test_every_way_to_write_a_size_is_read(folder, changes, resize):
    describe_pixels(folder, **changes)

    assert Backbone.load(folder).pixels.resize == resize


def test_pixels_that_are_not_normalised_stay_between_0_and_1(folder):
    describe_pixels(folder, do_normalize=False)

    recipe = Backbone.load(folder).pixels

    pixels = to_pixels(np.full((1, 64, 64, 3), 255, np.uint8), recipe)
    assert pixels.unique().tolist() == [1.0]


def test_the_description_that_transformers_5_nests_comes_first(folder):
    nested = {"image_processor": OPENAI | {"image_mean": [0.5] * 3}, "processor_class": "CLIP"}
    (folder / "processor_config.json").write_text(json.dumps(nested))

    assert Backbone.load(folder).pixels.mean == (0.5, 0.5, 0.5)


def test_a_processor_file_without_pixels_leaves_them_to_the_other(folder):
    (folder / "processor_config.json").write_text('{"processor_class": "CLIPProcessor"}')
    describe_pixels(folder, image_mean=[0.5] * 3)

    assert Backbone.load(folder).pixels.mean == (0.5, 0.5, 0.5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"resample": 1}, r"resample is 1; 2 \(bilinear\) and 3 \(bicubic\) are supported"),
        ({"resample": "3"}, 'resample is "3"'),
        ({"crop_size": 32}, "crop_size is 32; the vision tower takes 64 x 64 px"),
        ({"crop_size": {"height": 64, "width": 32}}, "crop_size is .*squares such as"),
        ({"size": {"height": 80, "width": 80}}, "size is .*takes 64 x 64 px"),
        ({"size": {"height": 64, "width": 48}}, "size is .*squares such as"),
        ({"size": {"shortest_edge": 64, "longest_edge": 90}}, "size is .*squares such as"),
        ({"size": 10**9}, "size is 1000000000; at most 8192 px is supported"),
        ({"size": 48}, "size is 48; at least the vision tower's 64 px"),
        ({"size": [64, 64]}, r"size is \[64, 64\]; squares such as"),
        ({"size": True}, "size is true; squares such as"),
        ({"do_resize": False}, "do_resize is false; true is supported"),
        ({"do_rescale": False}, "do_rescale is false; true is supported"),
        ({"do_center_crop": False}, "do_center_crop is false; false is supported where size has"),
        ({"do_pad": True}, "do_pad is true; false is supported"),
        ({"use_square_size": True}, "use_square_size is true; false is supported"),
        ({"do_normalize": "yes"}, 'do_normalize is "yes"; true or false is expected'),
        ({"rescale_factor": 0.5}, "rescale_factor is 0.5; 1/255 is supported"),
        ({"image_mean": [0.5, 0.5]}, r"image_mean is \[0.5, 0.5\]; three numbers are expected"),
        ({"image_mean": ["a", 0, 0]}, "image_mean is .*; three numbers are expected"),
        ({"image_mean": [10**400, 0, 0]}, "the integer 1000.* does not fit into 64 bits"),
        ({"image_mean": 0.5}, "image_mean is 0.5; three numbers are expected"),
        ({"image_std": [1, float("nan"), 1]}, "NaN is no number in JSON"),
        ({"image_std": [1, 0, 1]}, "image_std is .*; three numbers above 0"),
        ({"image_processor_type": "ViTImageProcessor"}, "CLIPImageProcessor is supported"),
    ],
)
def test_what_cannot_be_honoured_is_refused_with_file_key_and_value(folder, changes, message):
    describe_pixels(folder, **changes)

    with pytest.raises(BackboneError, match=rf"preprocessor_config\.json: .*{message}") as raised:
        Backbone.load(folder)

    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "name", ["preprocessor_config.json", "processor_config.json", "tokenizer_config.json"]
)
@pytest.mark.parametrize("text", ["{", "[]", "\xff"])
def test_a_damaged_description_is_one_line(folder, name, text):
    (folder / name).write_bytes(text.encode("latin-1"))

    with pytest.raises(BackboneError, match=name):
        Backbone.load(folder)


def swap_ids(table):
    vocabulary = table["model"]["vocab"]
    first, second = list(vocabulary)[:2]
    vocabulary[first], vocabulary[second] = vocabulary[second], vocabulary[first]


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("preprocessor_config.json", lambda table: table.update(image_mean=[0.5] * 3)),
        ("preprocessor_config.json", lambda table: table.update(image_std=[0.5] * 3)),
        ("tokenizer.json", swap_ids),
        ("tokenizer.json", lambda table: table.update(normalizer={"type": "NFC"})),
        ("tokenizer_config.json", lambda table: table.update(do_lower_case=False)),
        ("tokenizer_config.json", lambda table: table.update(model_max_length=20)),
    ],
)
def test_the_fingerprint_tells_recipes_apart(folder, name, change):
    before = Backbone.load(folder).fingerprint
    edit(folder / name, change)

    assert Backbone.load(folder).fingerprint != before


def test_a_folder_without_tokenizer_json_has_its_vocabulary_in_the_fingerprint(folder):
    (folder / "tokenizer.json").unlink()
    before = Backbone.load(folder).fingerprint
    merges = folder / "merges.txt"
    merges.write_text("\n".join(merges.read_text().splitlines()[:-1]))

    assert Backbone.load(folder).fingerprint != before


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("tokenizer.json", lambda table: table.update(normalizer={"type": "NFC"})),
        ("tokenizer_config.json", lambda table: table.update(do_lower_case=False)),
    ],
)
def test_a_clip_that_knows_capitals_keeps_them(folder, name, change):
    lowered = Backbone.load(folder).tokenizer.encode(["A Star", "a star"], 10)[0]
    edit(folder / name, change)

    kept = Backbone.load(folder).tokenizer.encode(["A Star", "a star"], 10)[0]

    assert torch.equal(lowered[0], lowered[1])
    assert not torch.equal(kept[0], kept[1])
    assert torch.equal(kept[1], lowered[1])


def test_captions_are_cut_where_the_clips_own_limit_is_lower(folder):
    edit(folder / "tokenizer_config.json", lambda table: table.update(model_max_length=6))

    token_ids, mask = Backbone.load(folder).tokenizer.encode(["a red star moves left and right"], 8)

    assert mask.tolist() == [[True] * 6 + [False] * 2]
    assert token_ids[0, 5] == Backbone.load(folder).text.end_token_id


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tokenizer_class": "BertTokenizer"}, "tokenizer_class is 'BertTokenizer'; supported"),
        ({"model_max_length": "40"}, "model_max_length is '40'; it must be a number"),
        ({"model_max_length": 2}, "model_max_length is 2; it must be a number of at least 3"),
        ({"do_lower_case": 1}, "do_lower_case is 1; it must be true or false"),
    ],
)
def test_a_tokenizer_setting_of_the_wrong_kind_is_one_line(folder, change, message):
    edit(folder / "tokenizer_config.json", lambda table: table.update(change))

    with pytest.raises(BackboneError, match=rf"tokenizer_config\.json: {message}"):
        Backbone.load(folder)


LOAD_ALL = """
import sys
from mvadapter.backbone.clip import Backbone
from mvadapter.errors import BackboneError, ConfigError
for name in sys.argv[1:]:
    try:
        print(Backbone.load(name).pixels.mean[0])
    except BackboneError as error:
        print(error)
"""


def test_a_hub_ids_recipe_comes_from_the_cache_and_is_never_guessed(folder, tmp_path):
    describe_pixels(folder, image_mean=[0.5] * 3)
    for name in ("described", "unknown", "without"):
        cached = tmp_path / "hub" / f"models--some--{name}"
        snapshot = shutil.copytree(folder, cached / "snapshots" / "123")
        (cached / "refs").mkdir()
        (cached / "refs" / "main").write_text("123")
        if name != "described":
            (snapshot / "preprocessor_config.json").unlink()
    # What the hub's client leaves for a file that it asked for and that is not there.
    absent = tmp_path / "hub" / "models--some--without" / ".no_exist" / "123"
    absent.mkdir(parents=True)
    for name in ("preprocessor_config.json", "processor_config.json"):
        (absent / name).touch()

    lines = subprocess.run(
        [sys.executable, "-c", LOAD_ALL, "some/described", "some/unknown", "some/without"],
        env=os.environ | {"HF_HUB_CACHE": str(tmp_path / "hub"), "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()

    assert lines[0] == "0.5"
    assert "some/unknown: preprocessor_config.json is not in the cache; connect" in lines[1]
    assert lines[2] == str(PixelRecipe.openai(64).mean[0])


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"size_px": 0, "short_side_px": 0}, "size_px must be at least 1, got 0"),
        (
            {"size_px": 8, "short_side_px": 7},
            r"short_side_px must be at least size_px \(8\), got 7",
        ),
    ],
)
def test_a_square_cannot_be_cut_out_of_less(sizes, message):
    with pytest.raises(ConfigError, match=message):
        Resize(**sizes)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("tokenizer.json", "{}"),
        ("tokenizer.json", '{"added_tokens": [], "model": {"type": "BPE", "vocab": [1]}}'),
        ("tokenizer_config.json", '{"bos_token": 5}'),
    ],
)
def test_a_tokenizer_that_makes_no_sense_is_one_line(folder, name, text):
    (folder / name).write_text(text)

    with pytest.raises(BackboneError, match="the tokenizer cannot be read: ") as raised:
        Backbone.load(folder).tokenizer.encode(["a star"], 8)

    assert "\n" not in str(raised.value)
