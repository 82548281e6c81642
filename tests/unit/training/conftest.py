import pytest

from made_videos import write_video
from mvadapter.data.table import read_table
from mvadapter.training.recipe import read_recipe


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """Twelve short videos, two captions each; a quarter of them belongs to the test split."""
    folder = tmp_path_factory.mktemp("videos")
    rows = ["video,caption,split"]
    for number in range(12):
        name = f"{number}.mp4"
        write_video(folder / name, range(number, number + 6))
        split = "test" if number % 4 == 3 else "train"
        rows += [f"{name},video {number},{split}", f"{name},the number {number},{split}"]
    path = folder / "captions.csv"
    path.write_text("\n".join(rows) + "\n")
    return path


@pytest.fixture
def records(table):
    return read_table(table)


@pytest.fixture
def recipe(table, random_clip_folder):
    return read_recipe(
        None,
        {
            "data.path": str(table),
            "backbone.name": str(random_clip_folder),
            "inputs.num_frames": 4,
            "inputs.max_tokens": 30,
            "method.bottleneck_width": 8,
            "train.epochs": 2,
            "train.batch_size": 4,
            "train.precision": "float32",
            "train.holdout_percent": 25.0,
        },
    )
