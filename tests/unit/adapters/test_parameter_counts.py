"""Counts printed by the authors' code, as reference for ours; all are exact integers.

Origin: the trainable-parameter table measured from the authors' repository at commit 08a61f3 with
CLIP ViT-B/16, ViT-B/32 and ViT-L/14.
"""

import re
from pathlib import Path

import pytest

from made_shapes import shape_only_clip
from mvadapter.adapters.build import adapter_config, build_adapter, count_trainable
from mvadapter.adapters.methods import METHODS
from mvadapter.adapters.methods.mv_adapter import MvAdapterConfig

LONG = {"num_frames": 32, "max_tokens": 64}
LARGE = {"bottleneck_width": 128}

CONFIGS = [
    # Configurations as the authors ship them.
    pytest.param({"tying_position": "down-out"}, 3_325_696, id="msrvtt-shipped"),
    pytest.param({}, 3_401_728, id="msvd-and-the-paper's-msrvtt"),
    pytest.param({"tied_layers": (-3, -2, -1)}, 3_444_000, id="lsmdc"),
    pytest.param({"tying_position": "down-out", **LONG}, 3_380_992, id="didemo-shipped"),
    pytest.param(
        {"tied_layers": (-1,), "has_input_norm": True, **LONG}, 3_445_472, id="activitynet-shipped"
    ),
    # What matches the paper's percentages.
    pytest.param(LONG, 3_457_024, id="didemo-paper"),
    pytest.param({"tied_layers": (-1,), **LONG}, 3_414_752, id="activitynet-paper"),
    # Ablations.
    pytest.param({"tying": "none"}, 3_317_184, id="untied-short"),
    pytest.param({"tying": "none", **LONG}, 3_372_480, id="untied-long"),
    pytest.param({"tied_layers": (-1,)}, 3_359_456, id="last-1"),  # 3,317,184 + 42,272
    pytest.param({"tied_layers": tuple(range(-6, 0))}, 3_570_816, id="last-6"),
    pytest.param({"tied_layers": tuple(range(-12, 0))}, 3_824_448, id="last-12"),
    pytest.param({"factor_dim": 8}, 3_340_240, id="factor-8"),
    pytest.param({"factor_dim": 16}, 3_360_736, id="factor-16"),
    pytest.param({"factor_dim": 64}, 3_483_712, id="factor-64"),
]


@pytest.fixture(scope="module")
def base_16():
    return shape_only_clip(patch_px=16)


@pytest.fixture(scope="module")
def large_14():
    return shape_only_clip(patch_px=14, is_large=True)


def count(settings, backbone):
    parameters = build_adapter(MvAdapterConfig(**settings), backbone).trainable_parameters()
    return sum(parameter.numel() for parameter in parameters.values())


def test_the_backbones_have_the_published_sizes(base_16, large_14):
    assert base_16.num_weights == 149_620_737
    assert shape_only_clip(patch_px=32).num_weights == 151_277_313
    assert large_14.num_weights == 427_616_513


@pytest.mark.parametrize(("settings", "expected"), CONFIGS)
def test_each_configuration_trains_as_many_weights_as_the_authors_code(settings, expected, base_16):
    assert count(settings, base_16) == expected


@pytest.mark.parametrize(("settings", "expected"), CONFIGS)
def test_training_biases_adds_all_of_clips_171_008(settings, expected, base_16):
    assert count({**settings, "has_trained_biases": True}, base_16) == expected + 171_008


def test_counts_do_not_depend_on_the_patch_size():
    assert count({}, shape_only_clip(patch_px=32)) == 3_401_728


def test_the_large_clip_trains_as_many_weights_as_the_authors_code(large_14):
    assert count({"tying": "none", **LARGE}, large_14) == 16_509_312
    assert count(LARGE, large_14) == 16_627_648
    assert count({"has_trained_biases": True, **LARGE}, large_14) == 17_002_176


# Counts of the peers' own modules, and the sizes that reproduce the percentages of the paper's
# tables 1 to 5 (CLIP's 171,008 biases included, as there).
PEERS = [
    pytest.param("frozen", {}, 0, id="frozen"),
    pytest.param("full", {}, 149_620_737, id="full"),
    pytest.param("projection", {}, 655_360, id="projection"),
    pytest.param("bitfit", {}, 171_008, id="bitfit"),
    pytest.param("lora", {}, 491_520, id="lora"),
    # Three A of 8 x 768 and 8 x 512 instead of one: 2 x 12 x 8 x 1,280 more.
    pytest.param("lora", {"form": "separate"}, 737_280, id="lora-separate"),
    pytest.param("adaptformer", {}, 1_982_976, id="adaptformer"),
    pytest.param("adaptformer", {"text": "none"}, 1_189_632, id="adaptformer-vision"),
    pytest.param("adaptformer-paper", {}, 4_152_320, id="adaptformer-paper"),
    pytest.param("adaptformer-sequential-paper", {}, 4_152_320, id="adapt-seq-paper"),
    pytest.param("convpass", {}, 541_440, id="convpass"),
    pytest.param("st-adapter", {}, 7_903_488, id="st-adapter"),
    pytest.param("convpass", {"text": "none"}, 327_552, id="convpass-vision"),
    pytest.param("convpass-paper", {}, 4_195_328, id="convpass-paper"),
    pytest.param("st-adapter", {"text": "none"}, 7_110_144, id="st-adapter-vision"),
    pytest.param(
        "st-adapter", {"text": "none", "sites": "both"}, 14_220_288, id="st-adapter-vision-both"
    ),
    pytest.param("st-adapter-paper", {}, 8_873_984, id="st-adapter-paper"),
    pytest.param("cross-modal-adapter", {}, 519_168, id="cross-modal-adapter"),
    # 4,152,320 less 16 x 128 shared weights in each of 12 layers.
    pytest.param("cross-modal-adapter-paper", {}, 4_127_744, id="cross-modal-adapter-paper"),
    pytest.param("sequence-transformer", {}, 12_648_960, id="sequence-transformer"),
    pytest.param("prompts", {}, 122_880, id="prompts"),
    pytest.param("mv-adapter", {}, 3_401_728, id="mv-adapter"),
    pytest.param("mv-adapter-paper", {}, 3_572_736, id="mv-adapter-paper"),
]


@pytest.mark.parametrize(("name", "settings", "expected"), PEERS)
def test_each_method_trains_as_many_weights_as_published(name, settings, expected, base_16):
    assert count_trainable(adapter_config(name, settings, "test"), base_16) == expected


def test_the_docs_list_each_method_with_its_count(base_16):
    page = Path(__file__).parents[3] / "docs" / "concepts" / "methods.md"
    rows = re.findall(r"^\| `([a-z-]+)` \|.*\| ([\d,]+) \|$", page.read_text(), re.MULTILINE)

    counts = {name: int(number.replace(",", "")) for name, number in rows}

    assert counts == {
        name: count_trainable(adapter_config(name, {}, "test"), base_16) for name in METHODS
    }


def test_counting_needs_no_weights_and_agrees_with_building(random_clip):
    config = adapter_config("mv-adapter", {"bottleneck_width": 8}, "test")

    built = build_adapter(config, random_clip).trainable_parameters()

    assert count_trainable(config, random_clip) == sum(p.numel() for p in built.values())
