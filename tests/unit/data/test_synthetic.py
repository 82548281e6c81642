import numpy as np
import pytest

from mvadapter.data.synthetic import (
    NEEDS,
    SAMPLED_FRAMES,
    reverse_caption,
    synthetic_clips,
    write_clips,
)
from mvadapter.data.table import read_table
from mvadapter.video.decode import read_segment


@pytest.fixture(scope="module")
def clips():
    return synthetic_clips(6, part="test", seed=0)


def test_every_clip_is_followed_by_its_twin(clips):
    for clip, twin in zip(clips[::2], clips[1::2], strict=True):
        assert twin.caption == reverse_caption(clip.caption)
        assert twin.frames == clip.frames[::-1]
        assert reverse_caption(twin.caption) == clip.caption


def test_needs_come_in_equal_numbers_and_no_caption_comes_twice(clips):
    assert [sum(clip.need == need for clip in clips) for need in NEEDS] == [12, 12, 12]
    assert len({clip.caption for clip in clips}) == len(clips)


def test_the_parts_share_no_object():
    def objects(part):
        clips = synthetic_clips(40, part=part, seed=0)
        return {(s.color, s.kind) for clip in clips for frame in clip.frames for s in frame}

    assert not objects("train") & objects("test")


def test_the_seed_decides_everything():
    assert synthetic_clips(3, part="train", seed=1) == synthetic_clips(3, part="train", seed=1)
    assert synthetic_clips(3, part="train", seed=1) != synthetic_clips(3, part="train", seed=2)


@pytest.mark.parametrize(
    ("caption", "reverse"),
    [
        ("a red circle moves from left to right", "a red circle moves from right to left"),
        ("a blue star moves from bottom to top", "a blue star moves from top to bottom"),
        ("an orange ring grows", "an orange ring shrinks"),
        ("a red circle then a blue star", "a blue star then a red circle"),
    ],
)
def test_captions_are_reversed_word_by_word(caption, reverse):
    assert reverse_caption(caption) == reverse
    assert reverse_caption(reverse) == caption


def test_written_clips_are_read_back_with_the_same_frames_for_both_twins(clips, tmp_path):
    table = write_clips(clips[:2], tmp_path, "test")

    records = read_table(table)
    there, back = (read_segment(record.video, SAMPLED_FRAMES) for record in records)

    assert [record.captions[0] for record in records] == [clip.caption for clip in clips[:2]]
    assert records[0].group == records[1].group != ""
    assert len(there.images) == SAMPLED_FRAMES
    # Compressed apart, so nearly the same.
    difference = there.images.astype(int) - back.images[::-1].astype(int)
    assert np.abs(difference).mean() < 2
