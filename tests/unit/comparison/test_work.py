import json

import pytest

from mvadapter.comparison.plan import read_plan
from mvadapter.comparison.work import Job, do
from mvadapter.errors import AdapterFolderError

RECIPE = """
[data]
path = "synthetic"
[synthetic]
needs = ["direction"]
train_twins = 4
test_twins = 1
[inputs]
num_frames = 6
max_tokens = 16
[train]
epochs = 2
batch_size = 4
precision = "float32"
"""


@pytest.fixture(scope="module")
def plan(tmp_path_factory):
    path = tmp_path_factory.mktemp("recipe") / "recipe.toml"
    path.write_text(RECIPE)
    return read_plan(path, {"compare.methods": ["frozen", "projection"]})


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    return tmp_path_factory.mktemp("videos")


@pytest.fixture
def job(plan, videos, tmp_path):
    def make(kind, name="projection", rate=1e-3):
        return Job(
            kind=kind,
            recipe=plan.recipe_for(name, rate, 0),
            folder=tmp_path / "run",
            videos=videos,
            device="cpu",
        )

    return make


def never():
    return False


def silent(_share):
    pass


def test_a_trained_run_says_what_the_held_out_part_makes_of_it(job):
    shares = []

    do(job("train"), never, shares.append)
    found = json.loads(job("train").result.read_text())

    assert found["num_steps"] == len(shares) == 4
    assert shares[-1] == 1.0
    assert not (job("train").folder / "run" / "state.safetensors").exists()


def test_a_stopped_run_has_no_result_and_goes_on(job):
    do(job("train"), lambda: True, silent)
    assert not job("train").result.exists()
    assert (job("train").folder / "run" / "state.safetensors").is_file()

    do(job("train"), never, silent)

    assert job("train").result.is_file()


def test_a_rate_at_which_training_diverges_loses_the_search_and_ends_nothing(job):
    do(job("train", rate=1e30), never, silent)

    found = json.loads(job("train").result.read_text())
    assert found["metrics"] is None
    assert "the loss became nan" in found["failed"]


def test_a_trained_method_is_never_measured_untrained(job):
    with pytest.raises(AdapterFolderError, match="no adapter here"):
        do(job("test"), never, silent)


def test_what_trains_nothing_is_measured_as_it_is(job):
    do(job("test", "frozen", None), never, silent)

    found = json.loads(job("test").result.read_text())
    assert found["needs"]["direction"]["reversal"] == 50.0


def test_measuring_stops_when_asked(job):
    do(job("test", "frozen", None), lambda: True, silent)

    assert not job("test").result.exists()


def test_a_result_that_is_there_is_kept(job):
    job("train").folder.mkdir(parents=True)
    job("train").result.write_text("{}")

    do(job("train"), never, silent)

    assert job("train").result.read_text() == "{}"


def test_costs_are_those_of_a_device(job):
    assert job("cost").result.name == "cost-cpu.json"
