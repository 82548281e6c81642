import av
import pytest

from made_videos import duration_of, numbers_in, turned, video_info, write_video
from mvadapter.errors import StorageError, VideoError
from mvadapter.video import cut
from mvadapter.video.cut import cut_segment
from mvadapter.video.decode import read_segment


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    path = tmp_path_factory.mktemp("source") / "source.mp4"
    return write_video(path, 120, keyframe_every=15, num_b_frames=2, sound="aac")


def names_of_streams(path):
    with av.open(str(path)) as container:
        return [stream.codec_context.codec.canonical_name for stream in container.streams]


def test_a_copy_begins_at_the_keyframe_and_reports_it(source, tmp_path):
    made = cut_segment(source, 1.2, 2.0, tmp_path / "cut.mp4")

    frames = read_segment(made.path, 99)
    assert made.start_seconds == 1.0
    assert 2.0 <= made.end_seconds <= 2.2
    assert numbers_in(frames.images)[:30] == list(range(30, 60))
    assert frames.seconds[0] == 0.0
    assert names_of_streams(made.path) == ["h264", "aac"]


def test_a_copy_has_the_very_pictures_and_sound_of_its_source(source, tmp_path):
    made = cut_segment(source, 1.0, 2.0, tmp_path / "cut.mp4")

    copied = read_segment(made.path, 5, 0.0, 1.0)
    assert (copied.images == read_segment(source, 5, 1.0, 2.0).images).all()
    with av.open(str(made.path)) as container:
        audio = container.streams.audio[0]
        assert float(audio.duration * audio.time_base) == pytest.approx(1.0, abs=0.05)


def test_a_copy_stays_turned(tmp_path):
    source = turned(write_video(tmp_path / "source.mp4", 10), 90)

    made = cut_segment(source, 0.0, 1.0, tmp_path / "cut.mp4")

    assert (video_info(made.path).width_px, video_info(made.path).height_px) == (48, 64)


def test_what_mp4_cannot_hold_is_encoded_again_exactly(tmp_path):
    source = write_video(
        tmp_path / "source.webm", 60, codec="libvpx", size=(63, 47), sound="libopus"
    )

    made = cut_segment(source, 0.5, 1.5, tmp_path / "cut.mp4")

    assert made.start_seconds == pytest.approx(0.5, abs=0.002)
    assert made.end_seconds == pytest.approx(1.5, abs=0.002)
    frames = read_segment(made.path, 99)
    assert numbers_in(frames.images[:, :47, :63]) == list(range(15, 45))
    assert names_of_streams(made.path) == ["h264", "opus"]


def test_nothing_half_written_stays_behind(source, tmp_path, monkeypatch):
    target = tmp_path / "cut.mp4"
    target.write_bytes(b"what was there before")

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cut, "copy_sound", fail)
    with pytest.raises(StorageError, match="cannot be written \\(no space left on device\\)"):
        cut_segment(source, 1.0, 2.0, target)

    assert target.read_bytes() == b"what was there before"
    assert list(tmp_path.iterdir()) == [target]


def test_an_older_cut_is_replaced(source, tmp_path):
    target = tmp_path / "cut.mp4"
    target.write_bytes(b"old")

    cut_segment(source, 1.0, 2.0, target)

    assert duration_of(target) == pytest.approx(1.0, abs=0.1)
    assert list(tmp_path.iterdir()) == [target]


def test_the_source_is_never_overwritten(source):
    before = source.read_bytes()

    with pytest.raises(VideoError, match="is the source itself; choose another output"):
        cut_segment(source, 0.0, 1.0, source)

    assert source.read_bytes() == before


def test_a_missing_folder_is_made(source, tmp_path):
    made = cut_segment(source, 0.0, 1.0, tmp_path / "none" / "cut.mp4")

    assert [path.name for path in made.path.parent.iterdir()] == ["cut.mp4"]


def test_a_folder_that_cannot_be_made_is_one_line(source, tmp_path):
    (tmp_path / "file").touch()
    target = tmp_path / "file" / "cut.mp4"

    with pytest.raises(StorageError) as caught:
        cut_segment(source, 0.0, 1.0, target)

    assert str(caught.value) == (
        f"{target.parent}: cannot be written (file exists); a part of its path is a file; choose "
        f"another folder"
    )


def test_a_source_that_is_no_video_is_refused(tmp_path):
    path = tmp_path / "text.mp4"
    path.write_text("text")

    with pytest.raises(VideoError, match="cannot be opened as a video"):
        cut_segment(path, 0.0, 1.0, tmp_path / "cut.mp4")

    assert list(tmp_path.iterdir()) == [path]
