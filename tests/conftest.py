"""Fixtures that every room's tests use."""

import os
from pathlib import Path

# Before anything reads them: no test asks a network, and tables are as wide on every terminal.
os.environ |= {"HF_HUB_OFFLINE": "1", "COLUMNS": "120"}

import pytest
import torch
from hypothesis import HealthCheck, settings

from made_clips import write_random_clip
from mvadapter.backbone.clip import Backbone

# The tensors here are so small that sharing them out costs more than it saves.
torch.set_num_threads(1)

# The same examples every time, and no example is too slow on a busy machine.
settings.register_profile(
    "suite", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("suite")

_GOLDEN = Path(__file__).parent / "golden"
_SHARED = Path(__file__).parents[2] / "shared"


@pytest.fixture(scope="session")
def random_clip_folder(tmp_path_factory) -> Path:
    return write_random_clip(tmp_path_factory.mktemp("clip") / "random")


@pytest.fixture(scope="session")
def random_clip(random_clip_folder) -> Backbone:
    return Backbone.load(random_clip_folder)


@pytest.fixture(scope="session")
def golden_folder() -> Path:
    return _GOLDEN


@pytest.fixture(scope="session")
def shared_folder() -> Path:
    if not _SHARED.is_dir():
        pytest.skip("the folder of real material is not beside this checkout")
    return _SHARED


@pytest.fixture(autouse=True)
def _same_numbers_every_time():
    torch.manual_seed(0)
