from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from made_videos import write_video
from mvadapter.data.batches import FrameLoader, FrameSettings, epoch_batches, stack_videos
from mvadapter.data.records import Record
from mvadapter.errors import VideoError

SETTINGS = FrameSettings(num_frames=4, sampling="uniform", image_px=16)


def records_with(*num_captions, group=""):
    return [
        Record(
            id=str(i),
            video=Path(f"{i}.mp4"),
            captions=tuple(f"caption {j}" for j in range(number)),
            group=group,
        )
        for i, number in enumerate(num_captions)
    ]


@given(
    st.lists(st.integers(1, 4), min_size=2, max_size=12),
    st.integers(2, 6),
    st.integers(0, 2**16),
)
def test_an_epoch_holds_every_pair_once_and_no_batch_a_record_twice(numbers, size, seed):
    records = records_with(*numbers)

    batches = epoch_batches(records, size, seed=seed, epoch=1)

    pairs = [(pair.record, pair.caption) for batch in batches for pair in batch]
    every = {(i, j) for i, number in enumerate(numbers) for j in range(number)}
    assert len(pairs) == len(set(pairs))
    assert set(pairs) <= every
    # Left out are only rounds in which a single record still has a caption.
    rounds = [sum(number > turn for number in numbers) for turn in range(max(numbers))]
    assert len(every) - len(pairs) == rounds.count(1)
    for batch in batches:
        assert 2 <= len(batch) <= size + 1
        assert len({pair.record for pair in batch}) == len(batch)


def test_seed_and_epoch_decide_the_order():
    records = records_with(*[1] * 20)

    first = epoch_batches(records, 4, seed=0, epoch=1)

    assert first == epoch_batches(records, 4, seed=0, epoch=1)
    assert first != epoch_batches(records, 4, seed=0, epoch=2)
    assert first != epoch_batches(records, 4, seed=1, epoch=1)


@given(st.lists(st.integers(1, 4), min_size=2, max_size=8), st.integers(0, 2**16))
def test_records_of_a_group_come_in_one_batch(sizes, seed):
    records = [
        record
        for group, size in enumerate(sizes)
        for record in records_with(*[1] * size, group=f"group {group}")
    ]

    batches = epoch_batches(records, 5, seed=seed, epoch=1)

    for group in range(len(sizes)):
        holding = [
            batch
            for batch in batches
            if any(records[pair.record].group == f"group {group}" for pair in batch)
        ]
        assert len(holding) == 1


def test_stacked_videos_are_padded_with_zeros_after_normalising():
    videos = [torch.full((2, 3, 4, 4), 255, dtype=torch.uint8), torch.zeros(1, 3, 4, 4).byte()]

    pixels, mask = stack_videos(videos, 3, torch.device("cpu"))

    assert mask.tolist() == [[True, True, False], [True, False, False]]
    assert pixels[~mask].abs().max() == 0
    assert pixels[mask].abs().min() > 0


@pytest.fixture
def loader(tmp_path):
    good = write_video(tmp_path / "good.mp4", 10)
    (tmp_path / "bad.mp4").write_text("no video")
    records = [
        Record(id="good", video=good, captions=("one",)),
        Record(id="bad", video=tmp_path / "bad.mp4", captions=("two",)),
    ]
    with FrameLoader(records, SETTINGS.decode, cache_bytes=10**6) as loader:
        yield loader


def test_a_loader_gives_squares_of_the_models_size(loader):
    frames = loader.frames(0)

    assert frames.shape == (4, 3, 16, 16)
    assert frames.dtype == torch.uint8


def test_the_first_readable_records_are_found_behind_bad_ones(tmp_path):
    good = write_video(tmp_path / "good.mp4", 10)
    records = [
        Record(id=str(i), video=video, captions=("one",))
        for i, video in enumerate([tmp_path / "gone.mp4", good, good, good])
    ]

    with FrameLoader(records, SETTINGS.decode) as loader:
        found = loader.first_readable(2)

    assert [position for position, _ in found] == [1, 2]
    assert all(len(frames) == 4 for _, frames in found)


def test_a_kept_record_is_not_decoded_again(loader):
    assert loader.frames(0) is loader.frames(0)


def test_a_group_larger_than_a_batch_is_split():
    batches = epoch_batches(records_with(*[1] * 6, group="all"), 3, seed=0, epoch=1)

    assert [len(batch) for batch in batches] == [3, 3]


def test_what_does_not_fit_into_the_cache_is_decoded_again(tmp_path):
    record = Record(id="a", video=write_video(tmp_path / "a.mp4", 10), captions=("one",))
    with FrameLoader([record], SETTINGS.decode, cache_bytes=10) as loader:
        first, second = loader.frames(0), loader.frames(0)

    assert first is not second
    assert torch.equal(first, second)


def test_a_bad_video_fails_each_time_it_is_asked_for(loader):
    loader.prefetch([0, 1])

    for _ in range(2):
        with pytest.raises(VideoError, match=r"bad\.mp4"):
            loader.frames(1)
    assert len(loader.frames(0)) == 4
