"""The evaluator through the real command."""

import csv
import json

import numpy as np
import pytest

from commands import run_command, run_process
from made_videos import write_video
from mvadapter.data.origin import Origin, write_origin
from mvadapter.files import hash_file

_TWO_PROCESSES = (
    "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m",
)  # fmt: skip


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """Eighteen test videos, one of them unreadable, so that three batches are shared by two."""
    folder = tmp_path_factory.mktemp("videos")
    rows = [["video", "caption", "split"]]
    for number in range(36):
        name = f"{number}.mp4"
        if number == 17:
            (folder / name).write_bytes(b"no video")
        else:
            write_video(folder / name, range(number, number + 6))
        rows.append([name, f"<b>video</b> {number}", "train" if number == 35 else "test"])
    rows += [["3.mp4", "another, of the same", "test"]]
    with (folder / "captions.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return folder / "captions.csv"


@pytest.fixture(scope="module")
def everything(table, random_clip_folder, tmp_path_factory):
    """One evaluation with all that can be asked for; its folder and its result."""
    folder = tmp_path_factory.mktemp("results")
    done = run_command(
        "evaluate", "--data", table, "--backbone", random_clip_folder, "--split", "test",
        "--unreadable", "skip", "--dual-softmax", "100", "--query-bank", "train",
        "--ranks", folder / "ranks.csv", "--report", folder / "report.html", "--json",
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    return folder, json.loads(done.stdout)


def test_reranked_numbers_stand_apart_and_say_what_they_know(everything):
    _, result = everything

    assert result["protocol"] == "many-captions"
    assert (result["num_videos"], result["num_captions"]) == (34, 35)
    assert list(result["skipped"]) == ["17.mp4"]
    assert result["dual_softmax"]["is_transductive"] is True
    assert result["dual_softmax"]["temperature"] == 100
    assert result["query_bank_norm"]["is_transductive"] is False
    assert result["query_bank_norm"]["num_bank_captions"] == 1
    assert "video_to_text" not in result["query_bank_norm"]
    for direction in (result, result["dual_softmax"], result["query_bank_norm"]):
        metrics = direction["text_to_video"]
        interval = metrics["intervals"]["recall_at_5"]
        assert interval["low"] - 1e-9 <= metrics["recall_at_5"] <= interval["high"] + 1e-9


def test_each_query_has_its_row(everything):
    folder, result = everything

    with (folder / "ranks.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))

    ranks = [float(row["rank"]) for row in rows if row["direction"] == "text_to_video"]
    assert np.mean(ranks) == pytest.approx(result["text_to_video"]["mean_rank"])
    assert rows[3]["query"] == "<b>video</b> 3"
    assert rows[4]["query"] == "another, of the same"
    assert rows[3]["right"] == rows[4]["right"] == "3.mp4"


def test_the_page_shows_frames_and_says_what_is_left_out(everything):
    folder, _ = everything

    page = (folder / "report.html").read_text()

    assert page.count("data:image/jpeg;base64,") >= 12
    assert "test minus 1:" in page and "1 queries are dropped" in page
    assert "&lt;b&gt;video&lt;/b&gt;" in page
    assert "<b>video" not in page


def test_two_processes_give_the_numbers_of_one(everything, table, random_clip_folder, tmp_path):
    folder, result = everything

    done = run_process(
        "evaluate", "--data", table, "--backbone", random_clip_folder, "--split", "test",
        "--unreadable", "skip", "--dual-softmax", "100", "--query-bank", "train",
        "--ranks", tmp_path / "ranks.csv", "--output", tmp_path / "result.json",
        launcher=_TWO_PROCESSES,
    )  # fmt: skip

    # The exit code is torchrun's own: 1, as the first process ends with 1.
    assert done.returncode == 1, done.stderr
    assert json.loads((tmp_path / "result.json").read_text()) == result
    assert (tmp_path / "ranks.csv").read_bytes() == (folder / "ranks.csv").read_bytes()
    assert done.stdout.count("text to video, every caption") <= 3
    assert done.stderr.count("skipped 17.mp4") == 1


def test_a_failure_in_one_process_ends_them_all(table, random_clip_folder):
    done = run_process(
        "evaluate", "--data", table, "--backbone", random_clip_folder, "--split", "test",
        launcher=_TWO_PROCESSES,
    )  # fmt: skip

    assert done.returncode != 0
    assert done.stdout == ""
    assert "mvadapter: error: " in done.stderr and "17.mp4" in done.stderr


def test_a_system_is_tested_against_another_query_by_query(tmp_path):
    generator = np.random.default_rng(0)
    worse = generator.standard_normal((200, 200)) + 2 * np.eye(200)
    np.save(tmp_path / "worse.npy", worse)
    np.save(tmp_path / "better.npy", (worse + np.eye(200)).astype(np.float32))
    ranks = tmp_path / "ranks.parquet"

    first = run_command("evaluate", "--scores", tmp_path / "worse.npy", "--ranks", ranks)
    second = run_command("evaluate", "--scores", tmp_path / "better.npy", "--against", ranks)
    machine = run_command(
        "evaluate", "--scores", tmp_path / "better.npy", "--against", ranks, "--json"
    )

    assert first.returncode == second.returncode == machine.returncode == 0, second.stderr
    assert "by a paired bootstrap over the same queries" in second.stdout
    differences = json.loads(machine.stdout)["against"]["differences"]
    assert set(differences) == {"text_to_video", "video_to_text", "video_to_text_all_captions"}
    assert differences["text_to_video"]["recall_at_1"]["low"] > 0
    assert differences["text_to_video"]["recall_at_1"]["p_value"] < 0.01


def test_a_bank_of_scores_goes_with_a_matrix_of_scores(tmp_path):
    np.save(tmp_path / "scores.npy", np.eye(5, dtype=np.float16))
    np.save(tmp_path / "bank.npy", np.ones((3, 5)))

    done = run_command(
        "evaluate", "--scores", tmp_path / "scores.npy", "--query-bank", tmp_path / "bank.npy",
        "--report", tmp_path / "report.html", "--json",
    )  # fmt: skip

    result = json.loads(done.stdout)
    assert result["protocol"] == "one-caption"
    assert result["query_bank_norm"]["num_bank_captions"] == 3
    assert "<img" not in (tmp_path / "report.html").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--ranks", "ranks.txt"],
            "ranks.txt: must end in .csv or .jsonl or .parquet; choose another file name",
        ),
        (["--against", "none.csv"], "none.csv: no such file; expected a file of ranks"),
        (["--dual-softmax", "0"], "temperature must be above 0 and finite, got 0"),
        (["--query-bank", "none.npy"], "none.npy: no such file; expected a .npy matrix"),
    ],
)
def test_bad_usage_is_one_line(tmp_path, arguments, message):
    np.save(tmp_path / "scores.npy", np.eye(3))

    done = run_command("evaluate", "--scores", tmp_path / "scores.npy", *arguments)

    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


def test_paragraphs_are_named_in_the_result(table, random_clip_folder, tmp_path):
    copy = tmp_path / "activitynet.csv"
    copy.write_text("video,caption,split\n1.mp4,first this then that,val1\n2.mp4,only this,val1\n")
    origin = Origin(dataset="activitynet", videos=str(table.parent), table_sha256=hash_file(copy))
    write_origin(copy, origin)

    done = run_command("evaluate", "--data", copy, "--backbone", random_clip_folder, "--json")

    result = json.loads(done.stdout)
    assert result["protocol"] == "paragraph"
    assert result["split"] == "val1"


def test_a_bank_of_the_evaluated_captions_is_refused(table):
    done = run_command("evaluate", "--data", table, "--split", "test", "--query-bank", "test")

    assert done.returncode == 2
    assert "the query bank 'test' holds captions of 35 of the evaluated videos" in done.stderr


def test_what_holds_no_single_array_is_refused_as_scores(tmp_path):
    np.savez(tmp_path / "scores.npz", a=np.eye(2), b=np.eye(2))
    (tmp_path / "scores.csv").write_text("1,0\n0,1\n")

    several = run_command("evaluate", "--scores", tmp_path / "scores.npz")
    text = run_command("evaluate", "--scores", tmp_path / "scores.csv")

    assert (several.returncode, text.returncode) == (2, 2)
    assert "scores.npz: holds several arrays; write one with numpy.save" in several.stderr
    assert "scores.csv: not a .npy array of numbers; write one with numpy.save" in text.stderr


def test_an_adapter_trained_elsewhere_is_not_said_to_know_these_videos(
    table, random_clip_folder, tmp_path
):
    other = tmp_path / "captions.csv"
    other.write_text("video,caption\n" + "".join(f"{n}.mp4,number {n}\n" for n in range(4)))
    small = ["--set", "method.bottleneck_width=4", "--set", "inputs.num_frames=2", "--epochs", "1"]
    run_command(
        "train", "--data", other, "--videos", table.parent, "--backbone", random_clip_folder,
        "--output", tmp_path / "adapter", *small,
    )  # fmt: skip

    def trained_on(data, split):
        done = run_command(
            "evaluate", tmp_path / "adapter", "--data", data, "--videos", table.parent,
            "--split", split, "--unreadable", "skip", "--json",
        )  # fmt: skip
        return json.loads(done.stdout)["trained_on"]

    # Of another table's videos nothing is known: that is null, not 0.
    assert trained_on(table, "train") is None
    assert trained_on(table, "test") is None
    assert trained_on(other, "train") == 4
