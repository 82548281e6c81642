"""Every command that writes, on disks that are too small at every stage of its work."""

import os
import resource
import shutil

import pytest

from commands import run_command
from made_datasets import SAMPLES, write_msrvtt
from made_videos import write_video
from small_disk import small_disk

_PLENTY = "size=200m"
_SHARES = (0.03, 0.2, 0.45, 0.7, 0.93)


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    folder = tmp_path_factory.mktemp("videos")
    rows = ["video,caption,split"]
    for number in range(8):
        write_video(folder / f"{number}.mp4", range(number, number + 6))
        rows.append(f"{number}.mp4,video {number},{'test' if number > 5 else 'train'}")
    (folder / "captions.csv").write_text("\n".join(rows) + "\n")
    return folder / "captions.csv"


@pytest.fixture(scope="module")
def index(table, random_clip_folder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("index") / "index"
    done = run_command("index", folder, table.parent, "--backbone", random_clip_folder)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def annotations(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dataset")
    write_msrvtt(folder / "annotations")
    for number, name in enumerate(SAMPLES["msrvtt"].files.values()):
        (folder / "videos" / name).parent.mkdir(parents=True, exist_ok=True)
        write_video(folder / "videos" / name, range(number, number + 14))
    return folder


def train(disk, table, clip):
    return [
        "train", "--data", table, "--backbone", clip, "--output", disk / "adapter",
        "--epochs", 2, "--batch-size", 3, "--precision", "float32",
        "--set", "inputs.num_frames=2", "--set", "method.bottleneck_width=8",
    ]  # fmt: skip


@pytest.fixture(scope="module")
def comparison(tmp_path_factory):
    path = tmp_path_factory.mktemp("comparison") / "recipe.toml"
    path.write_text(
        """
        data = { path = "synthetic" }
        synthetic = { needs = ["direction"], train_twins = 6, test_twins = 2 }
        inputs = { num_frames = 6, max_tokens = 16 }
        train = { epochs = 1, batch_size = 4, precision = "float32", holdout_percent = 30.0 }
        compare = { methods = ["frozen", "projection"], seeds = [0], learning_rates = [1e-3] }
        """
    )
    return path


@pytest.fixture(params=["train", "index", "evaluate", "cut", "data prepare", "compare"])
def command(request, table, index, annotations, comparison, random_clip_folder):
    """A command that writes onto a disk."""

    def arguments(disk):
        match request.param:
            case "train":
                return train(disk, table, random_clip_folder)
            case "index":
                return ["index", disk / "index", table.parent, "--backbone", random_clip_folder]
            case "evaluate":
                return [
                    "evaluate", "--data", table, "--backbone", random_clip_folder, "--split",
                    "test", "--report", disk / "page.html", "--ranks", disk / "ranks.csv",
                    "--output", disk / "result.json",
                ]  # fmt: skip
            case "cut":
                return ["cut", index, "grey", "--top", 5, "-o", disk / "cuts"]
            case "compare":
                return ["compare", comparison, "--output", disk / "comparison"]
            case _:
                return [
                    "data", "prepare", "msrvtt", "--annotations", annotations / "annotations",
                    "--videos", annotations / "videos", "--output", disk / "table.parquet",
                    "--frames", "--image-px", 64,
                ]  # fmt: skip

    return arguments


def assert_one_line(done):
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    last = done.stderr.splitlines()[-1]
    assert last.startswith("mvadapter: error: ")
    assert done.stderr.count("mvadapter: error: ") == 1
    return last


@pytest.mark.slow
def test_a_full_disk_is_one_line_and_the_same_command_continues(command, tmp_path):
    with small_disk(tmp_path / "plenty", _PLENTY) as disk:
        assert run_command(*command(disk.folder)).returncode == 0
        needed = disk.used_bytes
    num_full = 0
    for share in _SHARES:
        with small_disk(tmp_path / f"{share}", f"size={int(share * needed)}") as disk:
            done = run_command(*command(disk.folder))
            if done.returncode == 0:
                # The last work fits, for a disk is a few pages larger than asked for.
                continue
            num_full += 1
            last = assert_one_line(done)
            assert "no space left on device" in last
            assert str(disk.folder) in last
            assert not list(disk.folder.rglob("*.part"))
            disk.resize(200_000_000)
            # Cuts that were written whole are not written over.
            shutil.rmtree(disk.folder / "cuts", ignore_errors=True)
            done = run_command(*command(disk.folder))
            assert done.returncode == 0, done.stderr
    assert num_full


@pytest.mark.parametrize("name", ["train", "index"])
def test_a_full_disk_ends_the_command_with_one_line(name, table, random_clip_folder, tmp_path):
    with small_disk(tmp_path / "disk", "size=16k") as disk:
        wanted = train(disk.folder, table, random_clip_folder)
        if name == "index":
            wanted = ["index", disk.folder / "i", table.parent, "--backbone", random_clip_folder]
        done = run_command(*wanted)

        last = assert_one_line(done)
        assert "; needs " in last
        assert "are free; free some space and run the same command again" in last
        disk.resize(100_000_000)
        done = run_command(*wanted)
        assert done.returncode == 0, done.stderr


def test_a_demo_on_a_full_disk_is_one_line(tmp_path):
    with small_disk(tmp_path / "disk", "size=16k") as disk:
        last = assert_one_line(run_command("demo", "--output", disk.folder / "demo"))

    assert "no space left on device" in last


def test_a_disk_without_inodes_is_one_line(command, tmp_path):
    with small_disk(tmp_path / "disk", _PLENTY, "nr_inodes=3") as disk:
        last = assert_one_line(run_command(*command(disk.folder)))

    assert "no more files fit on this disk" in last


def test_a_disk_that_may_only_be_read_is_one_line(command, tmp_path):
    with small_disk(tmp_path / "disk", _PLENTY, "ro") as disk:
        last = assert_one_line(run_command(*command(disk.folder)))

    assert "read-only file system" in last
    assert "choose another folder" in last


def test_a_limit_on_the_size_of_files_is_one_line(table, random_clip_folder, tmp_path):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
    try:
        done = run_command(*train(tmp_path, table, random_clip_folder))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)

    assert "file too large" in assert_one_line(done)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission_is_one_line(command, tmp_path):
    (tmp_path / "closed").mkdir(mode=0o500)

    last = assert_one_line(run_command(*command(tmp_path / "closed")))

    assert "permission denied" in last
