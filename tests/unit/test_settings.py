"""A setting of any size is refused before anything of that size is made."""

import tracemalloc

import pytest

from mvadapter.adapters.build import adapter_config
from mvadapter.backbone.recipes import Resize
from mvadapter.embedding.inputs import Inputs
from mvadapter.errors import ConfigError
from mvadapter.settings import settings_from_table
from mvadapter.synthetic.dataset import SyntheticSettings
from mvadapter.training.recipe import TrainSettings, read_recipe
from mvadapter.video.sample import check_sampling

HUGE = 10**9


@pytest.mark.parametrize(
    ("method", "setting"),
    [
        ("mv-adapter", "num_frames"),
        ("mv-adapter", "max_tokens"),
        ("mv-adapter", "bottleneck_width"),
        ("mv-adapter", "num_heads"),
        ("mv-adapter", "calibration_width"),
        ("mv-adapter", "factor_dim"),
        ("mv-adapter", "kronecker_terms"),
        ("lora", "rank"),
        ("adaptformer", "bottleneck_width"),
        ("convpass", "text_bottleneck_width"),
        ("st-adapter", "bottleneck_width"),
        ("cross-modal-adapter", "num_shared"),
        ("sequence-transformer", "num_layers"),
        ("sequence-transformer", "num_positions"),
        ("prompts", "num_video"),
        ("prompts", "num_prefix"),
        ("prompts", "num_suffix"),
    ],
)
def test_a_huge_setting_of_a_method_is_refused_with_its_bound(method, setting):
    with pytest.raises(ConfigError, match=rf"here: .*{setting} must be at most [\d,]+, got 1,000,"):
        adapter_config(method, {setting: HUGE}, "here")


@pytest.mark.parametrize(
    ("config", "setting"),
    [
        (Inputs, "num_frames"),
        (Inputs, "max_tokens"),
        (TrainSettings, "epochs"),
        (TrainSettings, "batch_size"),
        (SyntheticSettings, "train_twins"),
        (SyntheticSettings, "test_twins"),
    ],
)
def test_a_huge_setting_is_refused_with_its_bound(config, setting):
    with pytest.raises(ConfigError, match=rf"{setting} must be at most [\d,]+, got 1,000,000,000"):
        settings_from_table(config, {setting: HUGE}, "here")


@pytest.mark.parametrize("config", [TrainSettings, SyntheticSettings])
def test_a_seed_of_more_than_63_bits_is_refused(config):
    with pytest.raises(ConfigError, match="seed must be at most"):
        config(seed=2**63)


def test_a_recipe_with_huge_numbers_allocates_nothing():
    tracemalloc.start()
    try:
        for name in ("train.epochs", "inputs.num_frames", "method.num_frames"):
            with pytest.raises(ConfigError, match="must be at most"):
                read_recipe(None, {"data.path": "t.csv", name: HUGE})
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 10 * 2**20


def test_a_huge_number_of_frames_of_a_segment_is_refused():
    with pytest.raises(ConfigError, match="num_frames must be at most 4,096, got 1,000,000,000"):
        check_sampling(HUGE, "uniform")


def test_frames_of_a_huge_size_are_refused():
    with pytest.raises(ConfigError, match="size_px must be at most 8,192, got 1,000,000,000"):
        Resize.crop(HUGE)


@pytest.mark.parametrize(
    ("method", "setting"), [("mv-adapter", "scale"), ("lora", "alpha"), ("adaptformer", "scale")]
)
def test_a_factor_must_be_finite(method, setting):
    from mvadapter.adapters.catalog import method_class

    with pytest.raises(ConfigError, match=f"{setting} must be above 0 and finite, got inf"):
        method_class(method)(**{setting: float("inf")})


def test_settings_that_are_nested_without_end_are_one_line():
    table = nested = {}
    for _ in range(100_000):
        nested["a"] = nested = {}

    with pytest.raises(ConfigError, match="here: ") as caught:
        settings_from_table(TrainSettings, {"epochs": table}, "here")
    assert len(str(caught.value)) < 500
