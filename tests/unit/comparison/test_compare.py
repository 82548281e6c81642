"""What a comparison trains, chooses and refuses, with jobs that write what they are told to."""

import json

import pytest

from mvadapter.backbone.clip import Backbone
from mvadapter.comparison import compare as module
from mvadapter.comparison.compare import ComparisonOptions, compare
from mvadapter.comparison.plan import read_plan
from mvadapter.errors import ConfigError, DataError, TrainingError

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


@pytest.fixture
def recipe(tmp_path):
    path = tmp_path / "recipe.toml"
    path.write_text(RECIPE)
    return path


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Compare with jobs that find a given recall, or recall and rank, for each learning rate."""

    def run(plan, sums, diverges=()):
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
                recall, rank = score if isinstance(score, tuple) else (score, 1)
                metrics = {"text_to_video_recall_at_1": recall, "text_to_video_mean_rank": rank}
                metrics = {name: float(value) for name, value in metrics.items() if score}
                found = {
                    "commit": "abc",
                    "machine": "here",
                    "num_threads": train.seed,
                    "metrics": metrics or None,
                    "skipped": {},
                }
                job.folder.mkdir(parents=True, exist_ok=True)
                job.result.write_text(json.dumps(found))

        monkeypatch.setattr(module, "run_jobs", run_jobs)
        return compare(plan, tmp_path / "out", ComparisonOptions()), done

    return run


def test_the_best_held_out_sum_chooses_the_rate_of_all_seeds(recipe, run):
    plan = read_plan(recipe, {"compare.learning_rates": [1e-3, 1e-2, 1e-1]})

    comparison, done = run(plan, {1e-3: 500, 1e-2: 520, 1e-1: 510})

    frozen, projection = comparison.methods
    assert (frozen.learning_rate, projection.learning_rate) == (None, 1e-2)
    assert projection.search == {1e-3: 500, 1e-2: 520, 1e-1: 510}
    assert [rate for kind, _, rate, seed in done if (kind, seed) == ("train", 4)] == [1e-2]
    tested = [(name, rate, seed) for kind, name, rate, seed in done if kind == "test"]
    assert tested[1:] == [("projection", 1e-2, 3), ("projection", 1e-2, 4)]
    assert tested[0][0] == "frozen"


def test_of_equal_sums_the_lower_mean_rank_is_chosen(recipe, run):
    plan = read_plan(recipe, {"compare.learning_rates": [1e-4, 1e-3, 1e-2, 1e-1]})

    comparison, _ = run(plan, {1e-4: 1, 1e-3: (520, 1.5), 1e-2: (520, 1.4), 1e-1: (510, 1.0)})

    assert comparison.methods[1].learning_rate == 1e-2


def test_the_commits_of_all_runs_are_told(recipe, run):
    comparison, _ = run(read_plan(recipe, {"compare.learning_rates": [1e-3]}), {1e-3: 5})

    assert comparison.commits == ("abc",)


def test_of_equal_rates_the_lowest_is_chosen(recipe, run):
    plan = read_plan(recipe, {"compare.learning_rates": [1e-4, 1e-3, 1e-2, 1e-1]})

    comparison, _ = run(plan, {1e-4: 1, 1e-3: 520, 1e-2: 520, 1e-1: 510})

    assert comparison.methods[1].learning_rate == 1e-3


@pytest.mark.parametrize(
    ("sums", "tried"),
    [
        # Down from 1e-3 until it is no longer the best; up from 1e-2, twice at most.
        ({1e-3: 5, 1e-2: 4, 1e-4: 3}, [1e-4, 1e-3, 1e-2]),
        ({1e-3: 4, 1e-2: 5, 0.1: 6, 1.0: 7, 10.0: 8}, [1e-3, 1e-2, 0.1, 1.0]),
    ],
)
def test_the_search_goes_on_where_the_best_is_at_an_end(recipe, run, sums, tried):
    comparison, _ = run(read_plan(recipe, {}), sums)

    assert list(comparison.methods[1].search) == tried


def test_a_rate_at_which_training_diverges_loses_the_search(recipe, run):
    comparison, _ = run(read_plan(recipe, {}), {1e-2: 5, 0.1: 4}, diverges={(1e-3, 3)})

    assert comparison.methods[1].search == {1e-3: None, 1e-2: 5, 0.1: 4}


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

    comparison, done = run(plan, {1e-3: 5})

    assert [found.name for found in comparison.methods] == names
    assert len([one for one in done if one[0] == "train"]) == 2


def test_runs_under_another_name_of_the_same_settings_are_not_done_again(recipe, run):
    rates = {"compare.learning_rates": [1e-3]}
    run(read_plan(recipe, {"compare.methods": ["mv-adapter-tied"], **rates}), {1e-3: 5})

    names = ["mv-adapter", "mv-adapter-tied"]
    comparison, done = run(read_plan(recipe, {"compare.methods": names, **rates}), {1e-3: 5})

    assert [(found.name, found.runs_of) for found in comparison.methods] == [
        ("mv-adapter", "mv-adapter-tied"),
        ("mv-adapter-tied", "mv-adapter-tied"),
    ]
    assert not done


def test_every_machine_that_a_run_is_of_is_told(recipe, run, tmp_path):
    plan = read_plan(recipe, {"compare.learning_rates": [1e-3]})
    run(plan, {1e-3: 5})
    (result,) = (tmp_path / "out").rglob("rate-0.001-seed-4/train.json")
    result.write_text(json.dumps(json.loads(result.read_text()) | {"machine": "another"}))

    comparison, _ = run(plan, {1e-3: 5})

    assert comparison.machines == ("another", "here")
    # The jobs here say their seeds.
    assert comparison.num_threads == (3, 4)


def test_a_plan_that_does_not_fit_is_refused_before_videos_are_drawn(recipe, run, tmp_path):
    with pytest.raises(ConfigError, match="does not fit 'tiny'"):
        run(read_plan(recipe, {"compare.methods": ["mv-adapter-tied-12"]}), {})

    assert not (tmp_path / "out" / "videos").exists()


def test_a_missing_table_is_refused_before_a_clip_is_loaded(recipe, run, monkeypatch):
    monkeypatch.setattr(Backbone, "load", lambda *_args, **_settings: pytest.fail("loaded"))
    recipe.write_text(RECIPE.replace('"synthetic"', '"captions.csv"'))

    with pytest.raises(DataError, match=r"captions\.csv: no such file; expected a table"):
        run(read_plan(recipe, {}), {})


def test_other_data_in_the_same_folder_are_refused(recipe, run, tmp_path):
    run(read_plan(recipe, {}), {1e-3: 4, 1e-2: 5, 0.1: 1})
    other = recipe.with_name("other.toml")
    other.write_text(RECIPE.replace("train_twins = 6", "train_twins = 7"))
    drawn = {path.name for path in (tmp_path / "out" / "videos").iterdir()}

    with pytest.raises(ConfigError, match="another synthetic.train_twins"):
        run(read_plan(other, {}), {})

    assert {path.name for path in (tmp_path / "out" / "videos").iterdir()} == drawn


def test_what_takes_less_memory_for_the_same_result_may_change(recipe, run):
    run(read_plan(recipe, {}), {1e-3: 4, 1e-2: 5, 0.1: 1})

    thrifty = read_plan(recipe, {"train.gradient_checkpointing": True})
    _, done = run(thrifty, {1e-3: 4, 1e-2: 5, 0.1: 1})

    assert not done


def test_the_same_data_elsewhere_go_on(recipe, run):
    from mvadapter.comparison.compare import _other

    run_here = read_plan(recipe, {}).as_table()
    run_there = {**run_here, "data": {**run_here["data"], "path": "elsewhere/captions.csv"}}

    assert _other(run_here, run_there) is None
    assert _other(run_here, {**run_there, "inputs": {"num_frames": 7}}) == (
        "another inputs.num_frames (6, now 7)"
    )
    assert _other({"data_fingerprint": "1a"}, {"data_fingerprint": "2b"}) == (
        "other videos or captions"
    )


def test_a_result_of_another_version_is_named(recipe, run, tmp_path):
    plan = read_plan(recipe, {"compare.learning_rates": [1e-3]})
    run(plan, {1e-3: 5})
    for result in (tmp_path / "out").rglob("train.json"):
        result.write_text(json.dumps({"metrics": None, "skipped": {}}))

    with pytest.raises(TrainingError, match=r"train\.json: another version of mvadapter wrote it"):
        run(plan, {1e-3: 5})


def test_a_damaged_plan_is_named(recipe, run, tmp_path):
    run(read_plan(recipe, {}), {1e-3: 4, 1e-2: 5, 0.1: 1})
    (tmp_path / "out" / "plan.json").write_text("{")

    with pytest.raises(ConfigError, match=r"plan\.json: not the JSON that it was written as"):
        run(read_plan(recipe, {}), {})
