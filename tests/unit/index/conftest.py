"""An empty index, and one with videos."""

import pytest

from mvadapter.index.video_index import VideoIndex


@pytest.fixture
def index(encoder, tmp_path):
    return VideoIndex.create(tmp_path / "index", encoder, max_segment_seconds=0.5)


@pytest.fixture
def filled(index, videos):
    index.add(videos)
    return index
