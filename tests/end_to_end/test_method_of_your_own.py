"""The example of a method from another package, through the ordinary commands."""

import json

import pytest
import torch
from typer.testing import CliRunner

from made_methods import example_installed
from made_videos import write_video
from mvadapter import load_adapter
from mvadapter.cli.main import app


@pytest.fixture
def run(tmp_path):
    def run_command(*arguments):
        result = CliRunner().invoke(app, [str(argument) for argument in arguments])
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    (tmp_path / "site").mkdir()
    with example_installed(tmp_path / "site"):
        yield run_command


def test_it_is_listed_trained_evaluated_and_loaded(run, random_clip_folder, tmp_path):
    rows = ["video,caption,split"]
    for number in range(8):
        write_video(tmp_path / f"{number}.mp4", range(number, number + 4))
        rows.append(f"{number}.mp4,video {number},{'test' if number > 5 else 'train'}")
    (tmp_path / "captions.csv").write_text("\n".join(rows))
    (tmp_path / "recipe.toml").write_text(
        f"""
        data = {{ path = "captions.csv" }}
        backbone = {{ name = "{random_clip_folder}" }}
        inputs = {{ num_frames = 2, max_tokens = 24 }}
        method = {{ name = "ssf", layers = [-1] }}
        train = {{ epochs = 1, batch_size = 2, precision = "float32", holdout_percent = 34.0 }}
        """
    )
    folder = tmp_path / "adapter"

    listed = run("methods", "--json")
    trained = run("train", tmp_path / "recipe.toml", "--output", folder, "--json")
    run("evaluate", folder, "--data", tmp_path / "captions.csv", "--json")

    assert "ssf" in {row["name"] for row in listed}
    assert trained["steps"] == 2
    parameters = load_adapter(folder).trainable_parameters()
    # By hand: 2 towers x 2 halves of the last layer x (a scale + a shift) of 32.
    assert sum(parameter.numel() for parameter in parameters.values()) == 2 * 2 * 2 * 32
    assert all(torch.count_nonzero(parameter) for parameter in parameters.values())
