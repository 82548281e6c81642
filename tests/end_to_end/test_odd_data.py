"""Odd tables, captions and queries through the real command."""

import json

import pytest

from commands import run_command
from made_datasets import SAMPLES
from made_videos import write_video

LONG = "a film in which one sees at first nothing and then after a while of waiting " * 4


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    for number in range(3):
        write_video(folder / f"{number}.mp4", range(number, number + 8))
    return folder


def table(folder, text, name="t.csv"):
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


def test_columns_that_were_used_are_printed(folder):
    path = table(folder, "file,Sentence,start,end\n0.mp4,one,0,1\n1.mp4,two,0,1\n")

    done = run_command("evaluate", "--data", path, "--json")

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["num_videos"] == 2
    assert (
        "columns used: file as video, Sentence as caption, start as start_seconds, end as "
        "end_seconds" in done.stderr
    )


def test_cut_captions_are_counted_in_an_evaluation(folder):
    path = table(folder, f"video,caption\n0.mp4,{LONG}red\n1.mp4,{LONG}blue\n2.mp4,short\n")

    seen = run_command("evaluate", "--data", path)
    result = json.loads(run_command("evaluate", "--data", path, "--json").stdout)

    assert "note: 2 of 3 captions are longer than max_tokens=32" in seen.stderr
    assert result["cut_captions"] == 2


def test_cut_and_equal_captions_are_printed_before_training(folder, tmp_path):
    rows = [
        f"{number}.mp4,{caption}" for number in range(3) for caption in (f"{LONG}{number}", "x")
    ]
    path = table(folder, "\n".join(["video,caption", *rows]) + "\n")

    done = run_command(
        "train", "--data", path, "--output", tmp_path / "a", "--epochs", 1, "--json",
        "--set", "inputs.num_frames=2",
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert "note: 3 of 6 captions are longer than max_tokens=32" in done.stderr
    assert "note: 6 of 6 captions are the same as one of another video" in done.stderr
    assert json.loads(done.stdout)["equal_captions"] == 6


def test_what_is_left_out_of_a_query_is_printed(folder, tmp_path):
    run_command("index", tmp_path / "i", folder / "0.mp4", "--backbone", "tiny")

    done = run_command("search", tmp_path / "i", LONG + "a yellow square", "--json")

    assert len(json.loads(done.stdout)) == 1
    assert "note: the query is longer than the" in done.stderr
    assert "a yellow square" in done.stderr


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("train.epochs=1000000000", "epochs must be at most 10,000, got 1,000,000,000"),
        ("train.epochs=99999999999999999999", "does not fit into 64 bits"),
        ("inputs.num_frames=1000000000", "num_frames must be at most 4,096"),
        ("method.bottleneck_width=1000000000", "bottleneck_width must be at most 8,192"),
        ("train.learning_rate=nan", "nan is no number that a setting can have"),
    ],
)
def test_a_setting_beyond_all_sense_is_one_line(folder, tmp_path, setting, message):
    path = table(folder, "video,caption\n0.mp4,one\n1.mp4,two\n")

    done = run_command("train", "--data", path, "--output", tmp_path / "a", "--set", setting)

    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_problems_are_printed_by_kind_with_the_first_three_of_each(tmp_path):
    SAMPLES["msrvtt"].write(tmp_path / "annotations")
    (tmp_path / "videos").mkdir()

    done = run_command(
        "data", "check", "msrvtt", "--annotations", tmp_path / "annotations",
        "--videos", tmp_path / "videos", "--split", "1k-A", "--split", "train-9k",
    )  # fmt: skip

    assert done.returncode == 1
    assert "Problems: " in done.stdout
    assert "test-full" not in done.stdout
    assert done.stdout.count("no file for") == 3
