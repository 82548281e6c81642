"""A comparison through the real command: complete, killed and continued."""

import json
import signal
import subprocess
from pathlib import Path
from unittest import mock

import pytest

from commands import run_command, run_process
from held import held_at
from mvadapter.comparison.work import run_job

_ROOT = Path(__file__).parents[2]
_RECIPE = """
[data]
path = "synthetic"
[synthetic]
needs = ["appearance", "direction"]
train_twins = 6
test_twins = 2
[inputs]
num_frames = 6
max_tokens = 16
[train]
epochs = 2
batch_size = 4
precision = "float32"
holdout_percent = 30.0
[compare]
methods = ["frozen", "projection"]
seeds = [0, 1]
learning_rates = [1e-3, 1e-2]
"""


def compare(*arguments):
    return run_command("compare", *arguments)


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    path = tmp_path_factory.mktemp("a folder with spaces") / "recipe.toml"
    path.write_text(_RECIPE)
    return path


def commit():
    if not (_ROOT / ".git").exists():
        return "none: not run from a checkout"
    described = ["git", "-C", str(_ROOT), "describe", "--always", "--dirty"]
    return subprocess.run(described, capture_output=True, text=True, check=True).stdout.strip()


def modified(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("t*.json")}


def run_here(jobs, _at_once, _on_progress):
    """Run the jobs in this process, which saves the seconds that imports take in each of theirs."""
    for job in jobs:
        run_job(job, lambda: False, lambda _share: None)


@pytest.fixture(scope="module")
def compared(recipe, tmp_path_factory):
    """A comparison: its folder, and what the command reported."""
    folder = tmp_path_factory.mktemp("comparisons") / "comparison"
    with mock.patch("mvadapter.comparison.stages.run_jobs", run_here):
        ended = compare(recipe, "-o", folder, "--json")
    assert ended.returncode == 0, ended.stderr
    return folder, json.loads(ended.stdout)


def test_a_comparison_reports_every_method(compared):
    folder, result = compared

    assert result["commit"] == commit()
    frozen, projection = result["methods"]
    assert [one["name"] for one in result["methods"]] == ["frozen", "projection"]
    assert (frozen["seeds"], projection["seeds"]) == ([0], [0, 1])
    # The best of two is at an end, so that the search is extended.
    assert {"0.001", "0.01"} < projection["search"].keys()
    assert f"{projection['learning_rate']:g}" in projection["search"]
    assert projection["trainable"] == 40_960
    assert projection["adapter_bytes"] > 4 * 40_960
    assert frozen["needs"]["direction"]["reversal"]["mean"] == 50
    assert projection["needs"]["direction"]["reversal"]["mean"] == 50
    assert {one["reference"] for one in result["differences"]} == {"projection"}
    assert {path.name for path in folder.glob("*.*")} == {
        "compare.lock", "plan.json", "results.json", "results.csv", "tables.md",
        "recall_by_share.png", "recall_by_share.svg", "recall_by_seed.png", "recall_by_seed.svg",
    }  # fmt: skip


def test_a_comparison_with_another_recipe_does_not_mix_with_it(compared, tmp_path):
    folder, _ = compared
    longer = tmp_path / "longer.toml"
    longer.write_text(_RECIPE.replace("epochs = 2", "epochs = 3"))

    other = compare(longer, "-o", folder)

    assert other.returncode == 2
    assert "contains a comparison with another train.epochs (2, now 3)" in other.stderr


def test_a_comparison_that_ended_does_nothing_again(compared, recipe):
    folder, _ = compared
    before = modified(folder)

    again = compare(recipe, "-o", folder, "--methods", "projection,frozen")

    assert again.returncode == 0
    assert "Text to video, test split" in again.stdout
    assert before == modified(folder)


def test_a_killed_comparison_continues_with_what_is_missing(recipe, tmp_path):
    folder = tmp_path / "comparison"
    command = ["compare", recipe, "-o", folder, "--jobs", "2", "--seeds", "0"]
    command += ["--methods", "projection"]
    # The first of its processes has ended, and another one is at work.
    with held_at("mvadapter.comparison.processes:_Worker.join", *command) as comparing:
        killed = comparing.interrupt(signal.SIGKILL)
    before = modified(folder)

    ended = run_process(*command, "--json")

    assert killed.returncode == -signal.SIGKILL
    assert "train.json" in {path.name for path in before}
    assert ended.returncode == 0, ended.stderr
    (projection,) = json.loads(ended.stdout)["methods"]
    assert {"0.001", "0.01"} < projection["search"].keys()
    assert projection["peak_bytes"] > 0
    assert before.items() <= modified(folder).items()


def test_a_folder_that_is_no_comparison_is_not_touched(recipe, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")

    into_folder, into_file = compare(recipe, "-o", tmp_path), compare(recipe, "-o", recipe)

    assert (into_folder.returncode, into_file.returncode) == (2, 2)
    assert "contains other files (notes.txt) and is not a comparison" in into_folder.stderr
    assert "is a file; choose a folder" in into_file.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--methods", "lorra"], "Did you mean 'lora'?"),
        (
            ["--quick", "--seeds", "1"],
            "--quick cannot be combined with --seeds or --learning-rates",
        ),
        (["--text", "some"], "'some' is not one of 'none'"),
        (["--seeds", "one"], "--seeds takes numbers separated by commas (1,2), got 'one'"),
        (["--reference", "lora"], "reference 'lora' is not known"),
        (["--methods", "frozen,", "--reference", "lora"], "reference 'lora' is not known"),
        (["--methods", "mv-adapter-tied-12"], "does not fit 'tiny'"),
        (
            ["--backbone", "./nowhere"],
            "nowhere: no such folder; expected a folder with config.json",
        ),
        (["--device", "nowhere"], "device 'nowhere' cannot be used here"),
    ],
)
def test_bad_options_are_one_line_and_exit_code_2(recipe, tmp_path, options, message):
    ended = compare(recipe, "-o", tmp_path / "out", *options)

    assert ended.returncode == 2
    assert message in ended.stderr
    assert "Traceback" not in ended.stderr
    assert not (tmp_path / "out" / "runs").exists()
    assert not (tmp_path / "out" / "videos").exists()
