import pytest
import torch

from mvadapter import Backbone, Encoder, FrozenConfig, Inputs, build_adapter
from mvadapter.adapters.full import FullConfig
from mvadapter.comparison.measure import measure, measure_cost
from mvadapter.data.stories import NEEDS
from mvadapter.training.recipe import recipe_from_table

INPUTS = Inputs(num_frames=6, num_words=16)


@pytest.fixture(scope="module")
def recipe():
    drawn = {"needs": ["appearance", "direction", "speed"], "train_twins": 2, "test_twins": 2}
    table = {"data": {"path": "synthetic"}, "synthetic": drawn, "train": {"batch_size": 4}}
    return recipe_from_table(table, "test")


@pytest.fixture(scope="module")
def records(recipe, tmp_path_factory):
    records = recipe.records(tmp_path_factory.mktemp("videos"))
    return [record for record in records if record.split == "test"]


@pytest.fixture(scope="module")
def tiny():
    return Backbone.load("tiny")


def encoder(config, backbone):
    encoder = Encoder(backbone, build_adapter(config, backbone), inputs=INPUTS)
    with torch.no_grad():
        for parameter in encoder.trainable_parameters().values():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return encoder


def test_what_pools_frames_without_order_is_at_chance_for_every_need(tiny, records, recipe):
    measured = measure(encoder(FullConfig(), tiny), records, recipe)

    assert set(measured.hits["reversal"]) == {50.0}
    assert measured.needs["direction"]["reversal"] == 50.0


def test_captions_without_time_have_no_reversal(tiny, records, recipe):
    measured = measure(encoder(FrozenConfig(), tiny), records, recipe)

    assert list(measured.needs) == [n for n in NEEDS if n in ("appearance", "direction", "speed")]
    assert "reversal" not in measured.needs["appearance"]
    assert len(measured.hits["reversal"]) == 8
    assert len(measured.hits["text_to_video"]) == 12


def test_the_parts_of_a_measure_make_up_the_whole(tiny, records, recipe):
    measured = measure(encoder(FrozenConfig(), tiny), records, recipe)

    recall = measured.metrics["text_to_video"]["recall_at_1"]
    by_need = [table["text_to_video"] for table in measured.needs.values()]
    assert sum(by_need) / len(by_need) == pytest.approx(recall)
    assert sum(measured.hits["text_to_video"]) / 12 == pytest.approx(recall)


def test_costs_are_looked_up_on_the_clock_and_in_memory(tiny, records, recipe):
    cost = measure_cost(lambda: encoder(FullConfig(), tiny), records, recipe, torch.device("cpu"))

    assert cost.seconds_per_step > 0
    assert cost.peak_bytes >= 0
    assert cost.videos_per_second > 0


def test_what_trains_nothing_has_no_step(tiny, records, recipe):
    cost = measure_cost(lambda: encoder(FrozenConfig(), tiny), records, recipe, torch.device("cpu"))

    assert (cost.seconds_per_step, cost.peak_bytes) == (0.0, 0)
