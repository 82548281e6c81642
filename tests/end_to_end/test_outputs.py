"""No output option destroys what a command reads, or what mvadapter did not write."""

import csv
import shutil

import pytest

from commands import run_command
from made_videos import write_video
from mvadapter.cli import demo

_NOT_OURS = "exists, and mvadapter did not write it; choose another output, or add --overwrite"
_READ = "is read by this command; choose another output"


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    folder = tmp_path_factory.mktemp("drawn")
    rows = [["video", "caption", "split"]]
    for number in range(4):
        write_video(folder / f"{number}.mp4", range(number, number + 6))
        rows.append([f"{number}.mp4", f"video {number}", "test" if number < 2 else "train"])
    with (folder / "captions.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return folder


@pytest.fixture
def folder(drawn, tmp_path):
    return shutil.copytree(drawn, tmp_path / "videos")


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--ranks", "captions.csv"], f"captions.csv: {_READ}"),
        (["--ranks", "captions.csv", "--overwrite"], f"captions.csv: {_READ}"),
        (["--ranks", "link.csv", "--overwrite"], f"link.csv: {_READ}"),
        (["--ranks", "other.csv"], f"other.csv: {_NOT_OURS}"),
        (["--report", "0.mp4"], "0.mp4: must end in .html or .htm"),
        (["--report", "page.html"], f"page.html: {_NOT_OURS}"),
        (["--report", "deep"], "deep: is a folder; choose a file name"),
        (["--output", "captions.csv"], "captions.csv: must end in .json"),
        (["--output", "notes.json"], f"notes.json: {_NOT_OURS}"),
    ],
)
def test_evaluate_refuses_before_it_reads_anything(folder, options, expected):
    (folder / "deep").mkdir()
    (folder / "link.csv").symlink_to("captions.csv")
    for name in ("other.csv", "page.html", "notes.json"):
        (folder / name).write_text("mine")
    before = contents(folder)

    done = run_command("evaluate", "--data", "captions.csv", *options, cwd=folder)

    assert done.returncode == 2
    assert expected in done.stderr
    assert done.stderr.count("\n") == 1
    assert contents(folder) == before


def test_the_folder_that_is_read_may_not_lose_a_file_even_with_overwrite(folder):
    (folder / "notes.json").write_text("mine")

    done = run_command(
        "evaluate", "--data", folder, "--output", folder / "notes.json", "--overwrite"
    )

    assert done.returncode == 2
    assert f"notes.json: {_READ}" in done.stderr
    assert (folder / "notes.json").read_text() == "mine"


def test_a_table_of_ranks_to_compare_with_is_not_replaced(folder):
    command = ["evaluate", "--data", "captions.csv", "--split", "test", "--ranks", "ranks.parquet"]
    first = run_command(*command, cwd=folder)
    before = contents(folder)

    done = run_command(*command, "--against", "ranks.parquet", cwd=folder)

    assert first.returncode == 0, first.stderr
    assert done.returncode == 2
    assert f"ranks.parquet: {_READ}" in done.stderr
    assert contents(folder) == before


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_the_same_evaluation_may_replace_its_own_outputs(folder, suffix):
    command = [
        "evaluate", "--data", "captions.csv", "--split", "test",
        "--ranks", f"ranks{suffix}", "--report", "page.html", "--output", "result.json",
    ]  # fmt: skip

    first, second = (run_command(*command, cwd=folder) for _ in range(2))

    assert first.returncode == 0, first.stderr
    assert second.returncode == 0, second.stderr


def test_overwrite_replaces_what_someone_else_wrote(folder):
    (folder / "result.json").write_text("mine")

    done = run_command(
        "evaluate", "--data", "captions.csv", "--split", "test", "--output", "result.json",
        "--overwrite", cwd=folder,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert (folder / "result.json").read_text() != "mine"


def test_prepare_replaces_only_a_table_that_it_wrote(folder):
    (folder / "annotations").mkdir()
    (folder / "annotations" / "test_list.txt").write_text("0\n")
    (folder / "annotations" / "captions_msvd.json").write_text('{"0": ["a caption"]}')
    command = ["data", "prepare", "msvd", "--annotations", "annotations", "--videos", "."]
    before = contents(folder)

    refused = run_command(*command, "--split", "test", "--output", "captions.csv", cwd=folder)
    first, second = (
        run_command(*command, "--split", "test", "--output", "../msvd.csv", cwd=folder)
        for _ in range(2)
    )

    assert refused.returncode == 2
    assert f"captions.csv: {_READ}" in refused.stderr
    assert contents(folder) == before
    assert first.returncode == second.returncode == 0, first.stderr + second.stderr


def test_training_replaces_no_adapter_whose_run_is_gone(folder, tmp_path):
    adapter = tmp_path / "adapter"
    command = [
        "train", "--data", folder, "--output", adapter, "--epochs", "1",
        "--set", "method.bottleneck_width=8", "--set", "train.batch_size=2",
    ]  # fmt: skip
    trained = run_command(*command)
    with (adapter / "README.md").open("a") as file:
        file.write("Trained for the meadow project.\n")
    shutil.rmtree(adapter / "run")
    before = contents(adapter)

    refused = run_command(*command)

    assert trained.returncode == 0, trained.stderr
    assert refused.returncode == 2
    assert "contains an adapter and no run to resume" in refused.stderr
    assert contents(adapter) == before

    done = run_command(*command, "--overwrite")

    assert done.returncode == 0, done.stderr
    card = (adapter / "README.md").read_text()
    assert card.endswith("Trained for the meadow project.\n")
    assert card.count("library_name") == 1


@pytest.mark.parametrize("name", ["videos", "run", "adapter"])
def test_training_is_refused_in_a_folder_with_a_folder_of_someone_else(folder, tmp_path, name):
    output = tmp_path / "mine"
    (output / name).mkdir(parents=True)
    (output / name / "photo.jpg").write_text("mine")

    done = run_command("train", "--data", folder, "--output", output)

    assert done.returncode == 2
    assert f"contains other files ({name})" in done.stderr


@pytest.mark.parametrize("name", ["videos", "index", "adapter"])
def test_the_demo_empties_no_folder_that_no_demo_made(tmp_path, name):
    (tmp_path / "mine" / name).mkdir(parents=True)
    (tmp_path / "mine" / name / "holiday.mp4").write_text("mine")

    done = run_command("demo", "--output", tmp_path / "mine")

    assert done.returncode == 2
    assert f"contains {name!r}, which no demo wrote" in done.stderr
    assert (tmp_path / "mine" / name / "holiday.mp4").read_text() == "mine"


def test_what_a_killed_demo_left_does_not_stop_the_next(tmp_path):
    left = tmp_path / "demo" / ".mvadapter-0123abcd.part"
    left.mkdir(parents=True)
    (left / "demo.json").write_text("{")

    demo._clear_folder(tmp_path / "demo")

    assert [path.name for path in (tmp_path / "demo").iterdir()] == ["demo.json"]


def test_the_place_of_a_tables_origin_is_never_an_output(folder):
    for command in (
        ["evaluate", "--data", "captions.csv", "--output", "captions.csv.origin.json"],
        ["evaluate", "--data", "captions.csv", "-o", "captions.csv.origin.json", "--overwrite"],
    ):
        done = run_command(*command, cwd=folder)

        assert done.returncode == 2
        assert "belong to prepared tables" in done.stderr


def test_prepare_replaces_no_file_that_only_has_the_name_of_an_origin(folder):
    (folder / "annotations").mkdir()
    (folder / "annotations" / "test_list.txt").write_text("0\n")
    (folder / "annotations" / "captions_msvd.json").write_text('{"0": ["a caption"]}')
    (folder / "t.csv.origin.json").write_text('{"mine": 1}')

    done = run_command(
        "data", "prepare", "msvd", "--annotations", "annotations", "--videos", ".",
        "--split", "test", "--output", "t.csv", cwd=folder,
    )  # fmt: skip

    assert done.returncode == 2
    assert "is not the origin of a table" in done.stderr
    assert (folder / "t.csv.origin.json").read_text() == '{"mine": 1}'
    assert not (folder / "t.csv").exists()


def test_an_output_that_cannot_be_written_is_refused_before_the_work(folder):
    (folder / "file").touch()

    done = run_command("evaluate", "--data", "captions.csv", "--output", "file/r.json", cwd=folder)

    assert done.returncode == 2
    assert "cannot be written" in done.stderr
    assert "embedding" not in done.stderr
