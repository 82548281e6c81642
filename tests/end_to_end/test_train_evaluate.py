"""Training and evaluation through the real command."""

import json
import signal
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from commands import run_command, run_process
from held import held_at
from made_videos import write_video


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    folder = tmp_path_factory.mktemp("a folder with spaces")
    rows = ["video,caption,split"]
    for number in range(10):
        write_video(folder / f"{number}.mp4", range(number, number + 6))
        rows.append(f"{number}.mp4,video {number},{'test' if number > 6 else 'train'}")
    (folder / "captions.csv").write_text("\n".join(rows) + "\n")
    return folder / "captions.csv"


@pytest.fixture(scope="module")
def recipe(tmp_path_factory, table, random_clip_folder):
    path = tmp_path_factory.mktemp("recipe") / "recipe.toml"
    path.write_text(
        f"""
        data = {{ path = "{table}" }}
        backbone = {{ name = "{random_clip_folder}" }}
        inputs = {{ num_frames = 4, max_tokens = 24 }}
        method = {{ bottleneck_width = 8 }}
        train = {{ epochs = 2, batch_size = 2, precision = "float32", holdout_percent = 30.0 }}
        """
    )
    return path


@pytest.fixture(scope="module")
def trained(recipe, tmp_path_factory):
    folder = tmp_path_factory.mktemp("out") / "adapter"
    done = run_command("train", recipe, "--output", folder, "--json")
    assert done.returncode == 0, done.stderr
    return folder, json.loads(done.stdout)


def test_a_trained_adapter_is_a_small_folder(trained):
    folder, report = trained

    names = {path.name for path in folder.iterdir()}
    assert names == {"adapter_config.json", "adapter_model.safetensors", "README.md", "run"}
    assert report["steps"] == 4
    assert report["precision"] == "float32"
    assert report["skipped"] == {}


def test_an_adapter_without_its_run_is_replaced_when_that_is_allowed(recipe, trained, tmp_path):
    folder, report = trained
    for name in ("adapter_config.json", "adapter_model.safetensors", "README.md"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())

    done = run_command("train", recipe, "--output", tmp_path, "--json", "--overwrite")

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["metrics"] == report["metrics"]


def test_an_adapter_is_evaluated_on_its_test_split(trained, table, tmp_path):
    folder, _ = trained

    done = run_process("evaluate", folder, "--data", table, "--output", tmp_path / "result.json")

    assert done.returncode == 0, done.stderr
    assert "text to video" in done.stdout
    assert "R@1" in done.stdout
    result = json.loads((tmp_path / "result.json").read_text())
    assert (result["num_videos"], result["num_captions"], result["split"]) == (3, 3, "test")


def test_evaluation_names_the_splits_there_are(trained, table):
    folder, _ = trained

    done = run_command("evaluate", folder, "--data", table, "--split", "tset")

    assert done.returncode == 2
    assert "'tset' is not known. Did you mean 'test'? Known: test, train." in done.stderr
    assert "Traceback" not in done.stderr


def test_a_killed_run_ends_where_an_undisturbed_one_does(recipe, trained, tmp_path):
    undisturbed, _ = trained
    state = tmp_path / "run" / "state.safetensors"
    command = ["train", recipe, "--output", tmp_path]
    # In the second of two epochs: what the first one saved is there, and its third step is lost.
    with held_at("mvadapter.training.loop:take_step", *command, call=4) as training:
        killed = training.interrupt(signal.SIGKILL)
    has_saved = state.exists()

    done = run_process(*command)

    assert killed.returncode == -signal.SIGKILL
    assert has_saved
    assert done.returncode == 0, done.stderr
    ours, theirs = load_file(state), load_file(undisturbed / "run" / "state.safetensors")
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in ours.items())


def test_ctrl_c_stops_cleanly_and_the_folder_keeps_its_recipe(recipe, tmp_path):
    long = ["train", recipe, "--output", tmp_path, "--epochs", "200"]
    with held_at("mvadapter.training.loop:take_step", *long, call=3) as training:
        stopped = training.interrupt(signal.SIGINT)

    assert stopped.returncode == 130
    assert "stopped by Ctrl-C at step 3 of 400; run the same command to continue" in stopped.stderr
    assert "Traceback" not in stopped.stderr
    assert (tmp_path / "adapter_model.safetensors").exists()
    refused = run_command("train", recipe, "--output", tmp_path)
    assert refused.returncode == 2
    assert "contains a run with train.epochs = 200, now 2" in refused.stderr


def test_a_bad_video_is_reported_and_the_exit_code_says_so(recipe, table, tmp_path):
    copy = tmp_path / "captions.csv"
    copy.write_text(table.read_text() + "missing.mp4,not there,train\n")

    done = run_command(
        "train", recipe, "--data", copy, "--videos", table.parent, "--output", tmp_path / "out",
        "--set", "train.holdout_percent=0.0",
    )  # fmt: skip

    assert done.returncode == 1
    assert "skipped missing.mp4: " in done.stderr


def test_an_evaluation_does_not_leave_out_videos_unless_told(trained, table, tmp_path):
    folder, _ = trained
    copy = tmp_path / "captions.csv"
    copy.write_text(table.read_text() + "missing.mp4,not there,test\n")
    arguments = ["evaluate", folder, "--data", copy, "--videos", table.parent]

    refused = run_command(*arguments)
    skipped = run_command(*arguments, "--unreadable", "skip", "--json")

    assert refused.returncode == 2
    assert "missing.mp4" in refused.stderr
    assert skipped.returncode == 1
    assert list(json.loads(skipped.stdout)["skipped"]) == ["missing.mp4"]


def test_any_matrix_of_scores_is_evaluated(tmp_path):
    np.save(tmp_path / "scores.npy", np.array([[0.9, 0.1], [0.8, 0.2], [0.1, 0.3]]))
    np.save(tmp_path / "owners.npy", np.array([0, 0, 1]))

    done = run_command(
        "evaluate", "--scores", tmp_path / "scores.npy", "--caption-video",
        tmp_path / "owners.npy", "--json",
    )  # fmt: skip

    result = json.loads(done.stdout)
    assert result["text_to_video"]["recall_at_1"] == 100
    assert result["video_to_text"]["num_queries"] == 2


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        (np.array([[1.0, np.nan], [0.0, 1.0]]), "NaN or infinity in 1 rows, row 0"),
        (np.zeros((3, 2)), "3 captions and 2 videos; give caption_video, the index of each"),
        (np.array(["a"]), "not a .npy array of numbers, but of"),
        (np.array([{"a": 1}], dtype=object), "not a .npy array of numbers"),
        (np.zeros(3), "scores must be [caption video]"),
    ],
)
def test_a_matrix_that_cannot_be_used_is_refused_in_one_line(tmp_path, matrix, message):
    np.save(tmp_path / "scores.npy", matrix, allow_pickle=True)

    done = run_command("evaluate", "--scores", tmp_path / "scores.npy")

    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.startswith("mvadapter: error: ")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train"], "nothing to train on"),
        (["train", "nowhere.toml"], "nowhere.toml: no such recipe"),
        (["train", "--data", "nowhere.csv"], "nowhere.csv: no such file; expected a table"),
        (["train", "--data", "t.csv", "--set", "epochs=3"], "--set takes table.key=value"),
        (["train", "--data", "t.csv", "--set", "train.epoch=3"], "Did you mean 'epochs'?"),
        (
            ["train", "--data", "t.csv", "--output", "full"],
            "full: contains other files (photo.jpg) and no run to resume",
        ),
        (["train", "--data", "t.csv", "--output", "file"], "file: is a file; name a folder"),
        (["train", "--data", "t.csv", "--learning-rate", "inf"], "must be above 0 and finite"),
        (["compare", "nowhere.toml", "--seeds", "a"], "--seeds takes numbers separated by commas"),
        (["evaluate"], "no data to evaluate the frozen CLIP on; name a dataset (msrvtt,"),
        (["evaluate", "nowhere", "--data", "t.csv"], "t.csv: no such file"),
        (["evaluate", "--scores", "nowhere.npy"], "nowhere.npy: no such file"),
        (["evaluate", "x", "--scores", "s.npy"], "ADAPTER cannot be combined with --scores"),
        (
            ["evaluate", "--data", "t", "--caption-video", "l.npy"],
            "--caption-video needs --scores",
        ),
    ],
)
def test_bad_usage_is_one_line_and_exit_code_2(tmp_path, arguments, message):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "photo.jpg").touch()
    (tmp_path / "file").touch()

    done = run_command(*arguments, cwd=tmp_path)

    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


def test_the_version_is_told():
    done = run_process("--version")

    assert done.stdout == f"mvadapter {version('mvadapter')}\n"


def test_help_loads_nothing_heavy():
    code = (
        "import sys; from mvadapter.cli.main import app\n"
        "try: app(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'transformers', 'lancedb', 'av', 'numpy', 'pyarrow'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert "Usage" in done.stdout


def test_importing_the_package_loads_nothing_heavy():
    code = "import sys, mvadapter; assert 'torch' not in sys.modules; assert mvadapter.__all__"

    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_read_only_folder_is_one_line(recipe, tmp_path):
    (tmp_path / "file").write_text("")

    done = run_command("train", recipe, "--output", tmp_path / "file" / "adapter")

    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("mvadapter: error: ")
    assert "Traceback" not in done.stderr


def test_the_public_names_are_sorted_complete_and_importable():
    import mvadapter

    assert mvadapter.__all__ == sorted(mvadapter.__all__)
    assert set(mvadapter.__all__) == set(mvadapter._HOME)
    for name in mvadapter.__all__:
        assert getattr(mvadapter, name) is not None


def test_the_package_says_that_it_is_typed():
    import mvadapter

    assert (Path(mvadapter.__file__).parent / "py.typed").is_file()
