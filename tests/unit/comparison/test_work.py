import pytest

from mvadapter.comparison.plan import read_plan
from mvadapter.comparison.results import Diverged, read_test, read_training
from mvadapter.comparison.work import Job, run_job
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


def test_a_trained_run_leaves_its_result_and_no_state(job):
    shares = []

    run_job(job("train"), never, shares.append)
    found = read_training(job("train").result).found

    assert found.num_steps == len(shares) == 4
    assert found.adapter_bytes > 4 * 40_960
    assert shares[-1] == 1.0
    assert not (job("train").folder / "run" / "state.safetensors").exists()


def test_a_stopped_run_has_no_result_and_continues(job):
    run_job(job("train"), lambda: True, silent)
    assert not job("train").result.exists()
    assert (job("train").folder / "run" / "state.safetensors").is_file()

    run_job(job("train"), never, silent)

    assert job("train").result.is_file()


def test_a_rate_at_which_training_diverges_is_a_result_too(job):
    run_job(job("train", rate=1e30), never, silent)

    found = read_training(job("train").result).found
    assert isinstance(found, Diverged)
    assert "the loss became nan" in found.failed


def test_a_trained_method_is_never_measured_untrained(job):
    with pytest.raises(AdapterFolderError, match="no adapter here"):
        run_job(job("test"), never, silent)


def test_a_method_that_trains_nothing_is_measured(job):
    run_job(job("test", "frozen", None), never, silent)

    found = read_test(job("test").result).found
    assert found.needs["direction"]["reversal"] == 50.0


def test_measuring_stops_when_asked(job):
    run_job(job("test", "frozen", None), lambda: True, silent)

    assert not job("test").result.exists()


def test_a_result_that_is_there_is_kept(job):
    job("train").folder.mkdir(parents=True)
    job("train").result.write_text("{}")

    run_job(job("train"), never, silent)

    assert job("train").result.read_text() == "{}"


def test_costs_are_those_of_a_device(job):
    assert job("cost").result.name == "cost-cpu.json"
