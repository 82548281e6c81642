import pytest
import torch

from made_videos import write_video
from mvadapter import Encoder, FrozenConfig, Inputs, build_adapter
from mvadapter.backbone.recipes import Resize
from mvadapter.data.frame_store import store_frames
from mvadapter.data.frames import FrameSettings
from mvadapter.data.records import Record
from mvadapter.embedding.records import open_frames


@pytest.fixture
def encoder(random_clip):
    inputs = Inputs(num_frames=4)
    return Encoder(random_clip, build_adapter(FrozenConfig(), random_clip), inputs=inputs)


@pytest.fixture
def record(tmp_path):
    return Record(id="a", video=write_video(tmp_path / "a.mp4", 8), captions=("one",))


def store(tmp_path, record, image_px):
    settings = FrameSettings(num_frames=4, sampling="uniform", resize=Resize.crop(image_px))
    store_frames(tmp_path / "t.csv", [record], settings, num_workers=1)


def test_frames_are_decoded_where_none_are_stored(encoder, record, tmp_path, caplog):
    (frames,) = open_frames(encoder, [record], tmp_path / "t.csv").read([0])

    assert frames.shape == (4, 3, 32, 32)
    assert caplog.text == ""


def test_stored_frames_are_used_without_being_asked_for(encoder, record, tmp_path):
    (decoded,) = open_frames(encoder, [record]).read([0])
    store(tmp_path, record, 32)
    record.video.unlink()

    (stored,) = open_frames(encoder, [record], tmp_path / "t.csv").read([0])

    assert (stored.int() - decoded.int()).abs().float().mean() < 2


def test_frames_stored_for_another_clip_are_passed_over_and_that_is_said(
    encoder, record, tmp_path, caplog
):
    store(tmp_path, record, 16)

    (frames,) = open_frames(encoder, [record], tmp_path / "t.csv").read([0])

    assert frames.shape == (4, 3, 32, 32)
    assert frames.dtype == torch.uint8
    assert "stored for other settings (4-uniform-16px), so the videos are decoded" in caplog.text
    assert f"--num-frames 4 --sampling uniform --backbone {encoder.backbone.name} " in caplog.text
