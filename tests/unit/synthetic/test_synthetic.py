import numpy as np
import pytest

from mvadapter.data.table import read_table
from mvadapter.synthetic.dataset import (
    SyntheticSettings,
    need_of,
    synthetic_records,
    synthetic_videos,
    write_video,
    write_videos,
)
from mvadapter.synthetic.stories import NEEDS, SAMPLED_FRAMES, reverse_caption
from mvadapter.video.decode import read_segment

IN_TIME = tuple(need for need in NEEDS if need != "appearance")


@pytest.fixture(scope="module")
def videos():
    return synthetic_videos(6, part="test", seed=0, needs=IN_TIME)


def test_the_same_pictures_are_the_same_bytes(tmp_path):
    # The first of the study's test videos: without its option, x264 gave five files in twelve tries.
    video = synthetic_videos(24, part="test", seed=0, needs=("appearance",))[0]
    pictures, path = video.draw(), tmp_path / "a.mp4"

    written = set()
    for _ in range(12):
        write_video(path, pictures, 8)
        written.add(path.read_bytes())

    assert len(written) == 1


def test_every_video_is_followed_by_its_twin(videos):
    for video, twin in zip(videos[::2], videos[1::2], strict=True):
        assert twin.caption == reverse_caption(video.caption)
        assert twin.frames == video.frames[::-1]
        assert reverse_caption(twin.caption) == video.caption


def test_needs_come_in_equal_numbers_and_no_caption_comes_twice(videos):
    assert [sum(video.need == need for video in videos) for need in IN_TIME] == [12] * 5
    assert len({video.caption for video in videos}) == len(videos)


def test_the_parts_share_no_object():
    def objects(part):
        videos = synthetic_videos(40, part=part, seed=0, needs=NEEDS)
        return {(s.color, s.kind) for video in videos for frame in video.frames for s in frame}

    assert not objects("train") & objects("test")


def test_the_seed_decides_everything():
    assert synthetic_videos(3, part="train", seed=1, needs=NEEDS) == synthetic_videos(
        3, part="train", seed=1, needs=NEEDS
    )
    assert synthetic_videos(3, part="train", seed=1, needs=NEEDS) != synthetic_videos(
        3, part="train", seed=2, needs=NEEDS
    )


@pytest.mark.parametrize(
    ("caption", "reverse"),
    [
        ("a red circle moves from left to right", "a red circle moves from right to left"),
        ("a blue star moves from bottom to top", "a blue star moves from top to bottom"),
        ("an orange ring grows", "an orange ring shrinks"),
        ("a red circle then a blue star", "a blue star then a red circle"),
        ("a red ring speeds up", "a red ring slows down"),
        ("one red cross becomes three", "three red crosses become one"),
        ("a red circle and a blue star", "a red circle and a blue star"),
    ],
)
def test_captions_are_reversed_word_by_word(caption, reverse):
    assert reverse_caption(caption) == reverse
    assert reverse_caption(reverse) == caption


def test_captions_without_time_have_no_twin():
    videos = synthetic_videos(6, part="test", seed=0, needs=("appearance",))

    assert len({video.caption for video in videos}) == len(videos) == 12


def test_a_speeding_shape_covers_more_and_more_ground(videos):
    video = next(video for video in videos if video.caption.endswith("speeds up"))
    places = np.array([(frame[0].x, frame[0].y) for frame in video.frames])
    steps = np.abs(np.diff(places, axis=0)).sum(axis=1)

    assert (np.diff(steps) > 0).all()


def test_as_many_shapes_are_there_as_the_caption_counts(videos):
    video = next(video for video in videos if "becomes three" in video.caption)

    assert [len(frame) for frame in video.frames] == [1] * 6 + [2] * 6 + [3] * 6


def test_a_drawn_dataset_is_complete_and_drawn_once(tmp_path):
    settings = SyntheticSettings(train_twins=1, test_twins=1)

    records = synthetic_records(settings, tmp_path)
    drawn_at = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.mp4")}
    again = synthetic_records(settings, tmp_path)

    assert [need_of(record) for record in records] == [n for n in NEEDS for _ in range(2)] * 2
    assert records == again
    assert drawn_at == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.mp4")}


def test_written_videos_are_read_back_with_the_same_frames_for_both_twins(videos, tmp_path):
    table = write_videos(videos[:2], tmp_path, "test")

    records = read_table(table)
    there, back = (read_segment(record.video, SAMPLED_FRAMES) for record in records)

    assert [record.captions[0] for record in records] == [video.caption for video in videos[:2]]
    assert records[0].group == records[1].group != ""
    assert len(there.images) == SAMPLED_FRAMES
    # Compressed apart, so nearly the same.
    difference = there.images.astype(int) - back.images[::-1].astype(int)
    assert np.abs(difference).mean() < 2
