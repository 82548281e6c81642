"""The demo: a small one each time, the real one among the slow tests."""

import json

import pytest
from PIL import Image

from commands import run_command, run_process
from mvadapter.cli import demo as demo_command


@pytest.fixture
def small(monkeypatch):
    """So few videos and epochs that nothing is learned, but everything runs."""
    monkeypatch.setattr(demo_command, "TRAIN_TWINS_PER_NEED", 2)
    monkeypatch.setattr(demo_command, "TEST_TWINS_PER_NEED", 1)
    monkeypatch.setitem(demo_command.SETTINGS, "train.epochs", 1)


def test_the_demo_walks_the_whole_path_twice_in_a_row(small, tmp_path):
    output = tmp_path / "a folder with spaces"

    for _ in range(2):
        done = run_command("demo", "--output", output, "--json")

    result = json.loads(done.stdout)
    assert result["methods"].keys() == {"frozen", "mv-adapter"}
    assert result["methods"]["frozen"]["reversal_accuracy"]["mean"] == 50
    assert result["methods"]["frozen"]["num_trainable"] == 0
    assert 0 < result["methods"]["mv-adapter"]["share_percent"] < 10
    assert [len(search["found"]) for search in result["searches"]] == [3, 3, 3]
    assert json.loads((output / "demo.json").read_text()) == result
    with Image.open(output / "searches.png") as picture:
        assert picture.width > 300
        assert picture.height > 300


def test_the_table_says_what_was_measured(small, tmp_path):
    done = run_command("demo", "--output", tmp_path / "demo")

    assert "reversal accuracy" in done.stdout
    assert "mv-adapter" in done.stdout
    assert "mvadapter search" in done.stderr


def test_the_demo_leaves_other_peoples_folders_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")

    done = run_process("demo", "--output", tmp_path)

    assert done.returncode == 2
    assert "contains 'thesis.txt', which no demo wrote" in done.stderr
    assert (tmp_path / "thesis.txt").read_text() == "mine"


@pytest.mark.slow
def test_the_real_demo_learns_what_needs_time(tmp_path):
    done = run_process("demo", "--output", tmp_path / "demo", "--json")

    assert done.returncode == 0, done.stderr
    methods = json.loads(done.stdout)["methods"]
    frozen, adapted = methods["frozen"], methods["mv-adapter"]
    assert frozen["reversal_accuracy"]["mean"] == 50
    assert adapted["reversal_accuracy"]["mean"] >= 80
    assert adapted["text_to_video_recall_at_1"]["low"] > frozen["text_to_video_recall_at_1"]["high"]
