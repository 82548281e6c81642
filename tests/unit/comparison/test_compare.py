"""What a comparison trains, chooses and refuses, with jobs that write given results."""

import json

import pytest

from mvadapter.backbone.clip import Backbone
from mvadapter.comparison import stages
from mvadapter.comparison.compare import compare
from mvadapter.comparison.folder import difference, lock_folder
from mvadapter.comparison.plan import read_plan
from mvadapter.comparison.results import (
    Cost,
    Diverged,
    JobResult,
    Measured,
    Provenance,
    Trained,
    write_result,
)
from mvadapter.comparison.stages import ComparisonOptions
from mvadapter.errors import ConfigError, DataError, TrainingError, UnknownNameError
from mvadapter.evaluation.metrics import RetrievalMetrics
from mvadapter.seals import sealed_text

RECIPE = """
[data]
path = "synthetic"
[synthetic]
needs = ["direction"]
train_twins = 6
test_twins = 1
[inputs]
num_frames = 6
max_tokens = 16
[train]
precision = "float32"
holdout_percent = 30.0
[compare]
methods = ["frozen", "projection"]
seeds = [3, 4]
learning_rates = [1e-3, 1e-2]
"""
METRICS = RetrievalMetrics(
    recall_at_1=50.0,
    recall_at_5=100.0,
    recall_at_10=100.0,
    median_rank=1.5,
    mean_rank=1.5,
    num_queries=2,
)
TESTED = Measured(
    metrics={"text_to_video": METRICS, "video_to_text": METRICS},
    hits={"text_to_video": (100.0, 0.0)},
    groups={"text_to_video": (0, 1)},
)
COSTS = Cost(seconds_per_step=1.0, peak_bytes=1, videos_per_second=1.0)


@pytest.fixture
def recipe(tmp_path):
    path = tmp_path / "recipe.toml"
    path.write_text(RECIPE)
    return path


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "out"


@pytest.fixture
def run(folder, monkeypatch):
    """Compare with jobs that find a given recall, or recall and rank, for each learning rate."""

    def run(plan, sums, diverges=(), **options):
        done = []

        def run_jobs(jobs, _at_once, _on_progress):
            for job in jobs:
                train = job.recipe.train
                if job.result.is_file():
                    continue
                done.append((job.kind, job.recipe.method.name, train.learning_rate, train.seed))
                score = sums.get(train.learning_rate)
                if (train.learning_rate, train.seed) in diverges:
                    score = None
                found = {"train": training(score, train.seed), "test": TESTED, "cost": COSTS}
                provenance = Provenance(commit="abc", machine="here")
                write_result(job.result, JobResult(provenance=provenance, found=found[job.kind]))

        monkeypatch.setattr(stages, "run_jobs", run_jobs)
        return compare(plan, folder, ComparisonOptions(), **options), done

    return run


def training(score, seed):
    if not score:
        return Diverged(failed="the loss became nan")
    recall, rank = score if isinstance(score, tuple) else (score, 1)
    metrics = {"text_to_video_recall_at_1": recall, "text_to_video_mean_rank": rank}
    return Trained(
        metrics={name: float(value) for name, value in metrics.items()},
        best_epoch=1,
        num_steps=1,
        num_threads=seed,
        adapter_bytes=1,
        skipped={},
    )


def test_the_best_held_out_sum_chooses_the_rate_of_all_seeds(recipe, run):
    plan = read_plan(recipe, {"compare.learning_rates": [1e-3, 1e-2, 1e-1]})

    result, done = run(plan, {1e-3: 500, 1e-2: 520, 1e-1: 510})

    frozen, projection = result.summary.methods
    assert (frozen.learning_rate, projection.learning_rate) == (None, 1e-2)
    assert projection.search == {"0.001": 500, "0.01": 520, "0.1": 510}
    assert [rate for kind, _, rate, seed in done if (kind, seed) == ("train", 4)] == [1e-2]
    tested = [(name, rate, seed) for kind, name, rate, seed in done if kind == "test"]
    assert tested[1:] == [("projection", 1e-2, 3), ("projection", 1e-2, 4)]
    assert tested[0][0] == "frozen"


def test_of_equal_sums_the_lower_mean_rank_is_chosen(recipe, run):
    plan = read_plan(recipe, {"compare.learning_rates": [1e-4, 1e-3, 1e-2, 1e-1]})

    result, _ = run(plan, {1e-4: 1, 1e-3: (520, 1.5), 1e-2: (520, 1.4), 1e-1: (510, 1.0)})

    assert result.summary.methods[1].learning_rate == 1e-2


def test_the_commits_of_all_runs_are_in_the_result(recipe, run):
    result, _ = run(read_plan(recipe, {"compare.learning_rates": [1e-3]}), {1e-3: 5})

    assert result.commits == ("abc",)


def test_of_equal_rates_the_lowest_is_chosen(recipe, run):
    plan = read_plan(recipe, {"compare.learning_rates": [1e-4, 1e-3, 1e-2, 1e-1]})

    result, _ = run(plan, {1e-4: 1, 1e-3: 520, 1e-2: 520, 1e-1: 510})

    assert result.summary.methods[1].learning_rate == 1e-3


@pytest.mark.parametrize(
    ("sums", "tried"),
    [
        # Down from 1e-3 until it is no longer the best; up from 1e-2, twice at most.
        ({1e-3: 5, 1e-2: 4, 1e-4: 3}, [1e-4, 1e-3, 1e-2]),
        ({1e-3: 4, 1e-2: 5, 0.1: 6, 1.0: 7, 10.0: 8}, [1e-3, 1e-2, 0.1, 1.0]),
    ],
)
def test_the_search_is_extended_where_the_best_is_at_an_end(recipe, run, sums, tried):
    result, _ = run(read_plan(recipe, {}), sums)

    assert list(map(float, result.summary.methods[1].search)) == tried


def test_a_rate_at_which_training_diverges_loses_the_search(recipe, run):
    result, _ = run(read_plan(recipe, {}), {1e-2: 5, 0.1: 4}, diverges={(1e-3, 3)})

    assert result.summary.methods[1].search == {"0.001": None, "0.01": 5, "0.1": 4}


def test_training_that_always_diverges_is_refused(recipe, run):
    with pytest.raises(TrainingError, match="projection: the loss became NaN or infinite at every"):
        run(read_plan(recipe, {}), {})


def test_another_seed_that_diverges_is_refused_by_name_before_it_is_tested(recipe, run):
    plan = read_plan(recipe, {"compare.learning_rates": [1e-3]})

    with pytest.raises(TrainingError, match=r"projection: training diverged with seed 4 .* 0\.001"):
        run(plan, {1e-3: 5}, diverges={(1e-3, 4)})


def test_names_with_the_same_settings_are_trained_once(recipe, run):
    names = ["mv-adapter", "mv-adapter-tied"]
    plan = read_plan(recipe, {"compare.methods": names, "compare.learning_rates": [1e-3]})

    result, done = run(plan, {1e-3: 5})

    assert [found.name for found in result.summary.methods] == names
    assert len([one for one in done if one[0] == "train"]) == 2


def test_runs_under_another_name_of_the_same_settings_are_not_done_again(recipe, run):
    rates = {"compare.learning_rates": [1e-3]}
    run(read_plan(recipe, {"compare.methods": ["mv-adapter-tied"], **rates}), {1e-3: 5})

    names = ["mv-adapter", "mv-adapter-tied"]
    result, done = run(read_plan(recipe, {"compare.methods": names, **rates}), {1e-3: 5})

    assert [found.name for found in result.summary.methods] == names
    assert not done


def unsealed(path):
    """A result without its digest."""
    table = json.loads(path.read_text())
    del table["sha256"]
    return table


def test_every_machine_of_a_run_is_in_the_result(recipe, run, folder):
    plan = read_plan(recipe, {"compare.learning_rates": [1e-3]})
    run(plan, {1e-3: 5})
    (path,) = folder.rglob("rate-0.001-seed-4/train.json")
    path.write_text(sealed_text(unsealed(path) | {"machine": "another"}))

    result, _ = run(plan, {1e-3: 5})

    assert result.machines == ("another", "here")
    # The jobs here give their seeds as threads.
    assert result.num_threads == (3, 4)


def test_a_plan_that_does_not_fit_is_refused_before_videos_are_drawn(recipe, run, folder):
    with pytest.raises(ConfigError, match="does not fit 'tiny'"):
        run(read_plan(recipe, {"compare.methods": ["mv-adapter-tied-12"]}), {})

    assert not (folder / "videos").exists()


def test_a_missing_table_is_refused_before_a_clip_is_loaded(recipe, run, monkeypatch):
    monkeypatch.setattr(Backbone, "load", lambda *_args, **_settings: pytest.fail("loaded"))
    recipe.write_text(RECIPE.replace('"synthetic"', '"captions.csv"'))

    with pytest.raises(DataError, match=r"captions\.csv: no such file; expected a table"):
        run(read_plan(recipe, {}), {})


def test_other_data_in_the_same_folder_are_refused(recipe, run, folder):
    run(read_plan(recipe, {}), {1e-3: 4, 1e-2: 5, 0.1: 1})
    other = recipe.with_name("other.toml")
    other.write_text(RECIPE.replace("train_twins = 6", "train_twins = 7"))
    drawn = {path.name for path in (folder / "videos").iterdir()}

    with pytest.raises(ConfigError, match="another synthetic.train_twins"):
        run(read_plan(other, {}), {})

    assert {path.name for path in (folder / "videos").iterdir()} == drawn


def test_what_takes_less_memory_for_the_same_result_may_change(recipe, run):
    run(read_plan(recipe, {}), {1e-3: 4, 1e-2: 5, 0.1: 1})

    thrifty = read_plan(recipe, {"train.gradient_checkpointing": True})
    _, done = run(thrifty, {1e-3: 4, 1e-2: 5, 0.1: 1})

    assert not done


def test_the_same_data_elsewhere_are_the_same_comparison(recipe):
    run_here = read_plan(recipe, {}).as_table()
    run_there = {**run_here, "data": {**run_here["data"], "path": "elsewhere/captions.csv"}}

    assert difference(run_here, run_there) is None
    assert difference(run_here, {**run_there, "inputs": {"num_frames": 7}}) == (
        "another inputs.num_frames (6, now 7)"
    )
    assert difference({"data_fingerprint": "1a"}, {"data_fingerprint": "2b"}) == (
        "other videos or captions"
    )


def test_a_result_without_its_digest_is_named(recipe, run, folder):
    plan = read_plan(recipe, {"compare.learning_rates": [1e-3]})
    run(plan, {1e-3: 5})
    for path in folder.rglob("train.json"):
        path.write_text(json.dumps({"metrics": None, "skipped": {}}))

    with pytest.raises(
        TrainingError,
        match=r"train\.json: is damaged, .*sha256 is missing\); delete it to repeat",
    ):
        run(plan, {1e-3: 5})


def test_a_damaged_plan_is_named(recipe, run, folder):
    run(read_plan(recipe, {}), {1e-3: 4, 1e-2: 5, 0.1: 1})
    (folder / "plan.json").write_text("{")

    with pytest.raises(ConfigError, match=r"plan\.json: not valid JSON"):
        run(read_plan(recipe, {}), {})


def test_a_damaged_result_is_named(recipe, run, folder):
    plan = read_plan(recipe, {"compare.learning_rates": [1e-3]})
    run(plan, {1e-3: 5})
    (path,) = folder.rglob("rate-0.001-seed-4/test.json")
    path.write_text('{"commit":')

    with pytest.raises(
        TrainingError, match=r"test\.json: not valid JSON .*; delete it to repeat that"
    ):
        run(plan, {1e-3: 5})


def test_the_others_are_tested_against_mv_adapter_or_else_the_last(recipe, run, folder):
    rates = {"compare.learning_rates": [1e-3]}
    names = {"compare.methods": ["mv-adapter", "frozen"]}

    last, _ = run(read_plan(recipe, rates), {1e-3: 5})
    ours, _ = run(read_plan(recipe, names | rates), {1e-3: 5})
    chosen, _ = run(read_plan(recipe, names | rates), {1e-3: 5}, reference="frozen")

    references = [{one.reference for one in r.summary.differences} for r in (last, ours, chosen)]
    assert references == [{"projection"}, {"mv-adapter"}, {"frozen"}]


def test_a_reference_that_is_not_compared_is_refused_before_the_folder_is_made(recipe, run, folder):
    with pytest.raises(UnknownNameError, match="reference 'lora' is not known"):
        run(read_plan(recipe, {}), {}, reference="lora")

    assert not folder.exists()


def test_a_comparison_is_not_started_twice_in_one_folder(recipe, run, folder):
    with (
        lock_folder(folder),
        pytest.raises(ConfigError, match="another comparison is running here"),
    ):
        run(read_plan(recipe, {}), {})


@pytest.mark.parametrize(
    ("key", "value", "problem"),
    [
        ("best_epoch", -1, "best_epoch must be at least 1, got -1; delete it"),
        ("num_steps", 0, "num_steps must be at least 1, got 0; delete it"),
        ("num_threads", 2.5, "num_threads: input should be a valid integer"),
        ("metrics", {"recall": float("nan")}, "NaN is no number"),
        ("commit", None, "commit: input should be a valid string"),
        ("speed", 3, "setting 'speed' is not known"),
    ],
)
def test_a_result_that_cannot_be_is_refused(recipe, run, folder, key, value, problem):
    plan = read_plan(recipe, {"compare.learning_rates": [1e-3]})
    run(plan, {1e-3: 5})
    (path,) = folder.rglob("rate-0.001-seed-4/train.json")
    path.write_text(sealed_text(unsealed(path) | {key: value}))

    with pytest.raises(TrainingError, match=rf"train\.json: {problem}"):
        run(plan, {1e-3: 5})


def test_a_changed_result_is_noticed(recipe, run, folder):
    plan = read_plan(recipe, {"compare.learning_rates": [1e-3]})
    run(plan, {1e-3: 5})
    (path,) = folder.rglob("rate-0.001-seed-4/train.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"best_epoch": 2}))

    with pytest.raises(TrainingError, match=r"train\.json: is damaged.*delete it to repeat"):
        run(plan, {1e-3: 5})
