"""Small videos, and an encoder that is quick and sees them as different."""

import shutil

import pytest

from made_videos import write_video
from mvadapter.adapters.build import build_adapter
from mvadapter.adapters.methods.frozen import FrozenConfig
from mvadapter.embedding.inputs import Inputs
from mvadapter.encoder.encode import Encoder


@pytest.fixture(scope="session")
def encoder(random_clip):
    adapter = build_adapter(FrozenConfig(), random_clip)
    return Encoder(random_clip, adapter, inputs=Inputs(num_frames=2, max_tokens=16))


@pytest.fixture(scope="session")
def made_videos_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    for number in range(4):
        write_video(folder / f"{number}.mp4", 15 * (number + 1))
    return folder


@pytest.fixture
def videos(made_videos_folder, tmp_path):
    """A folder with 0.mp4 to 3.mp4, of 0.5, 1, 1.5 and 2 seconds, for one test to change."""
    return shutil.copytree(made_videos_folder, tmp_path / "videos")
