"""A made-up MSR-VTT through the real command: prepare, check, train, evaluate."""

import json
import shutil
import signal

import pytest

from commands import run_command, run_process
from held import held_at
from made_datasets import SAMPLES, write_msrvtt
from made_videos import write_video

_SMALL = (
    "--epochs", "1", "--batch-size", "4", "--precision", "float32",
    "--set", "method.bottleneck_width=8", "--set", "train.holdout_percent=0.0",
)  # fmt: skip


def write_dataset(folder, frames=14):
    """Write annotations and videos of the sample, each video with content of its own."""
    write_msrvtt(folder / "annotations")
    for number, name in enumerate(SAMPLES["msrvtt"].files.values()):
        (folder / "videos" / name).parent.mkdir(parents=True, exist_ok=True)
        write_video(folder / "videos" / name, range(20 * number, 20 * number + frames))
    return folder


_PREPARE = (
    "data", "prepare", "msrvtt", "--annotations", "annotations", "--videos", "videos",
)  # fmt: skip


def prepare(folder, *arguments):
    return run_command(*_PREPARE, *arguments, cwd=folder)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("a made-up dataset"))


@pytest.fixture(scope="module")
def prepared(folder):
    """A prepared dataset whose frames are stored, and whose videos are gone since."""
    done = prepare(folder, "--frames", "--image-px", "32", "--json")
    assert done.returncode == 0, done.stderr
    (folder / "videos").rename(folder / "videos taken away")
    (folder / "videos").mkdir()
    return folder, json.loads(done.stdout)


@pytest.fixture(scope="module")
def trained(prepared, random_clip_folder):
    folder, _ = prepared
    done = run_command(
        "train", "msrvtt", "--backbone", random_clip_folder, "--output", "adapter", *_SMALL,
        "--json", cwd=folder,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return folder, json.loads(done.stdout)


def test_a_dataset_is_prepared_to_one_table(prepared):
    folder, report = prepared

    assert report["table"] == "msrvtt.parquet"
    assert report["splits"]["1k-A"] == {"videos": 2, "captions": 2}
    assert report["splits"]["test-full"] == {"videos": 4, "captions": 8}
    assert (folder / "msrvtt.parquet").is_file()
    assert (folder / "msrvtt.parquet.frames" / "12-uniform-32px" / "index.parquet").is_file()


def test_training_takes_its_settings_from_the_dataset_and_its_frames_from_the_store(trained):
    folder, report = trained

    # Sixteen pairs of eight videos in batches of four: the videos themselves are gone.
    assert report["steps"] == 4
    assert report["skipped"] == {}
    record = json.loads((folder / "adapter" / "adapter_config.json").read_text())
    recipe = record["training"]["recipe"]
    assert recipe["inputs"] == {"num_frames": 12, "max_tokens": 32, "sampling": "uniform"}
    assert (recipe["data"]["train_split"], recipe["data"]["test_split"]) == ("train-9k", "1k-A")
    assert record["training"]["data"]["missing_videos"] == 0


@pytest.mark.parametrize(
    ("arguments", "split", "num_videos", "num_captions", "trained_on"),
    # The full test split holds videos 6 to 9, of which 6 and 7 are in train-9k.
    [((), "1k-A", 2, 2, 0), (("--split", "test-full"), "test-full", 4, 8, 2)],
)
def test_an_adapter_is_evaluated_on_a_split(
    trained, arguments, split, num_videos, num_captions, trained_on
):
    folder, _ = trained

    done = run_command("evaluate", "adapter", "msrvtt", *arguments, "--json", cwd=folder)

    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["split"] == split
    assert (result["num_videos"], result["num_captions"]) == (num_videos, num_captions)
    assert (result["missing"], result["dropped_queries"]) == ([], 0)
    assert result["trained_on"] == trained_on


def test_check_reports_that_a_sample_is_not_the_complete_dataset(folder, tmp_path):
    write_dataset(tmp_path)

    arguments = ["data", "check", "msrvtt", "--annotations", "annotations", "--videos", "videos"]
    seen = run_process(*arguments, cwd=tmp_path)
    done = run_command(*arguments, "--json", "--backbone", "tiny", cwd=tmp_path)

    assert seen.returncode == done.returncode == 1
    assert "Problems: 13" in seen.stdout
    result = json.loads(done.stdout)
    assert result["splits"]["1k-A"] == {"videos": 2, "captions": 2}
    assert {problem.split(":")[0] for problem in result["problems"]} == {"changed", "count"}
    assert result["frames"]["videos"] == 10
    assert result["cut_captions"]["1k-A"] == 0


def test_a_missing_video_is_stated_in_every_result(tmp_path, random_clip_folder):
    write_dataset(tmp_path)
    (tmp_path / "videos" / "part0" / "video8.mp4").unlink()
    (tmp_path / "videos" / "part0" / "video0.mp4").unlink()

    refused = prepare(tmp_path)
    skipped = prepare(tmp_path, "--missing", "skip", "--output", "here/captions.csv")
    # A folder stands for the table that it holds.
    trained = run_command(
        "train", "msrvtt", "--data", "here", "--backbone", random_clip_folder, "--output",
        "adapter", *_SMALL, cwd=tmp_path,
    )  # fmt: skip
    arguments = ["evaluate", "adapter", "msrvtt", "--data", "here"]
    seen = run_command(*arguments, cwd=tmp_path)
    result = json.loads(run_command(*arguments, "--json", cwd=tmp_path).stdout)

    assert refused.returncode == 2
    assert "no file for 1 of the 2 videos of 1k-A (video8)" in refused.stderr
    assert not (tmp_path / "msrvtt.parquet").exists()
    assert skipped.returncode == 1
    assert trained.returncode == 1, trained.stderr
    assert "1 videos were missing when the table was prepared; 2 captions" in trained.stderr
    assert seen.returncode == 1
    assert "1k-A minus 1: 1 queries dropped" in seen.stdout
    assert (result["missing"], result["dropped_videos"]) == (["video8"], 1)
    assert (result["dropped_queries"], result["num_captions"]) == (1, 1)
    assert result["policy"] == {"missing": "skip", "unreadable": "error"}


def test_the_frozen_clip_is_measured_as_the_dataset_wants_it(prepared, random_clip_folder):
    folder, _ = prepared

    done = run_command("evaluate", "msrvtt", "--backbone", random_clip_folder, "--json", cwd=folder)

    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert (result["dataset"], result["split"]) == ("msrvtt", "1k-A")
    assert (result["inputs"]["num_frames"], result["inputs"]["max_tokens"]) == (12, 32)
    assert result["policy"]["missing"] == "error"


def test_a_table_of_another_dataset_is_refused(prepared):
    folder, _ = prepared

    done = run_command("evaluate", "adapter", "msvd", "--data", "msrvtt.parquet", cwd=folder)

    assert done.returncode == 2
    assert "msrvtt.parquet: was prepared from msrvtt, not from msvd" in done.stderr


def test_a_bad_video_does_not_end_the_storing_of_frames(tmp_path):
    write_dataset(tmp_path)
    (tmp_path / "videos" / "part0" / "video8.mp4").write_text("no video")

    done = prepare(tmp_path, "--frames", "--image-px", "32", "--json")

    assert done.returncode == 1
    assert "skipped video8: " in done.stderr
    assert list(json.loads(done.stdout)["skipped"]) == ["video8"]


def test_other_frames_than_the_datasets_own_can_be_stored(tmp_path):
    write_dataset(tmp_path)

    done = prepare(
        tmp_path, "--frames", "--image-px", "32", "--num-frames", "3", "--sampling", "left-edge",
        "--json",
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["frames"].endswith("/3-left-edge-32px")


def test_frames_are_stored_as_a_clip_wants_them(tmp_path, random_clip_folder):
    write_dataset(tmp_path)
    clip = shutil.copytree(random_clip_folder, tmp_path / "clip")
    recipe = {"do_center_crop": False, "size": {"height": 32, "width": 32}, "resample": 2}
    (clip / "preprocessor_config.json").write_text(json.dumps(recipe))

    done = prepare(tmp_path, "--frames", "--backbone", clip, "--json")

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["frames"].endswith("/12-uniform-32px-squash-bilinear")


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_storing_frames_is_interrupted_and_continues(tmp_path, how):
    write_dataset(tmp_path)
    third_video = "mvadapter.data.frame_store:_ShardWriter.add"
    with held_at(third_video, *_PREPARE, "--frames", call=3, cwd=tmp_path) as storing:
        interrupted = storing.interrupt(how)

    done, again = prepare(tmp_path, "--frames"), prepare(tmp_path, "--frames")

    assert "Traceback" not in interrupted.stderr
    if how == signal.SIGINT:
        assert interrupted.returncode == 130
        assert "stopped by Ctrl-C; run the same command to continue" in interrupted.stderr
        assert "frames of 10 videos (8 new)" in done.stderr
    else:
        assert interrupted.returncode == -signal.SIGKILL
    assert done.returncode == 0, done.stderr
    assert "frames of 10 videos (" in done.stderr
    assert "frames of 10 videos (0 new)" in again.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["train", "msrvtt"],
            "msrvtt.parquet: no such table; create it with: mvadapter data prepare",
        ),
        (["evaluate", "adapter", "msvd"], "msvd.parquet: no such table; create it with: mvadapter"),
        (["train", "msrvtt", "--data", "t.csv"], "--videos FOLDER --output t.csv"),
        (
            ["data", "prepare", "msvd", "--annotations", "no", "--videos", "."],
            "no: no such folder; expected one with annotation files",
        ),
        (
            ["data", "prepare", "msvd", "--annotations", ".", "--videos", "no"],
            "no: no such folder; expected one with video files",
        ),
        (
            ["data", "prepare", "msvd", "--annotations", ".", "--videos", ".", "--num-frames", "3"],
            "--num-frames, --sampling, --backbone and --image-px need --frames",
        ),
        (
            ["data", "prepare", "msvd", "--annotations", ".", "--videos", ".", "-o", "t.txt"],
            "t.txt: must end in .csv or .jsonl or .parquet; choose another file name",
        ),
        (
            ["data", "prepare", "msvd", "--annotations", ".", "--videos", "."],
            "split 'train' cannot be read: .: train_list.txt is not here",
        ),
        (
            ["data", "prepare", "msvd", "--annotations", ".", "--videos", ".", "--split", "tset"],
            "msvd: split 'tset' is not known. Did you mean 'test'?",
        ),
        (["data", "check", "msvd", "--annotations", "no"], "no: no such folder"),
        (["train", "msrvt"], "msrvt: no such recipe; expected a TOML file, or a dataset: msrvtt,"),
        (["evaluate", "mvrtt"], "no data to evaluate mvrtt on; name a dataset (msrvtt,"),
    ],
)
def test_bad_usage_is_one_line_and_exit_code_2(tmp_path, arguments, message):
    done = run_command(*arguments, cwd=tmp_path)

    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
