"""An empty index."""

import pytest

from mvadapter.index.video_index import VideoIndex


@pytest.fixture
def index(encoder, tmp_path):
    return VideoIndex.create(tmp_path / "index", encoder, max_segment_seconds=0.5)
