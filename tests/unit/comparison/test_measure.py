import dataclasses

import pytest
import torch

from mvadapter import Backbone, Encoder, FrozenConfig, Inputs, build_adapter
from mvadapter.adapters.methods.full import FullConfig
from mvadapter.comparison.measure import measure_cost, measure_on_test
from mvadapter.comparison.processes import run_jobs
from mvadapter.comparison.results import read_cost
from mvadapter.comparison.work import Job
from mvadapter.synthetic.stories import NEEDS
from mvadapter.training.recipe import recipe_from_table

INPUTS = Inputs(num_frames=6, max_tokens=16)


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
    measured = measure_on_test(
        encoder(FullConfig(), tiny), records, recipe.table, is_synthetic=True
    )

    assert set(measured.hits["reversal"]) == {50.0}
    assert measured.needs["direction"]["reversal"] == 50.0


def test_captions_without_time_have_no_reversal(tiny, records, recipe):
    measured = measure_on_test(
        encoder(FrozenConfig(), tiny), records, recipe.table, is_synthetic=True
    )

    assert list(measured.needs) == [n for n in NEEDS if n in ("appearance", "direction", "speed")]
    assert "reversal" not in measured.needs["appearance"]
    assert len(measured.hits["reversal"]) == 8
    assert len(measured.hits["text_to_video"]) == 12


def test_the_parts_of_a_measure_make_up_the_metrics(tiny, records, recipe):
    measured = measure_on_test(
        encoder(FrozenConfig(), tiny), records, recipe.table, is_synthetic=True
    )

    recall = measured.metrics["text_to_video"].recall_at_1
    by_need = [table["text_to_video"] for table in measured.needs.values()]
    assert sum(by_need) / len(by_need) == pytest.approx(recall)
    assert sum(measured.hits["text_to_video"]) / 12 == pytest.approx(recall)


def test_a_video_and_its_twin_are_one_group(tiny, records, recipe):
    groups = measure_on_test(
        encoder(FrozenConfig(), tiny), records, recipe.table, is_synthetic=True
    ).groups

    # Four videos without twins, and four pairs of twins side by side.
    assert len(set(groups["video_to_text"])) == 4 + 4
    assert groups["reversal"][::2] == groups["reversal"][1::2]
    assert groups["text_to_video"] == groups["video_to_text"]


def cost(config, records, recipe):
    def make():
        return encoder(config, Backbone.load("tiny"))

    return measure_cost(make, records, recipe, torch.device("cpu"))


def test_costs_are_measured_on_the_clock_and_in_memory(recipe, tmp_path):
    full = dataclasses.replace(recipe, method=FullConfig(), inputs=INPUTS)
    job = Job(
        kind="cost", recipe=full, folder=tmp_path / "run", videos=tmp_path / "videos", device="cpu"
    )

    # In a process of its own, because this one has memory left from earlier tests.
    run_jobs([job], 1, lambda _done, _total: None)

    found = read_cost(job.result).found
    assert found.seconds_per_step > 0
    # At least weights, gradients and two moments of 2.6 million numbers.
    assert found.peak_bytes > 4 * 4 * 2_600_000
    assert found.videos_per_second > 0


def test_what_trains_nothing_has_no_step(records, recipe):
    found = cost(FrozenConfig(), records, recipe)

    assert (found.seconds_per_step, found.peak_bytes) == (0.0, 0)


def test_videos_without_frames_are_left_out_of_the_timing(records, recipe, tmp_path):
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    broken = dataclasses.replace(records[0], video=tmp_path / "broken.mp4")

    assert cost(FrozenConfig(), [broken, *records[:2]], recipe).videos_per_second > 0
