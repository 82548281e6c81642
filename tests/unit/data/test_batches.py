from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from mvadapter.data.batches import epoch_batches
from mvadapter.data.records import Record


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


def test_a_group_larger_than_a_batch_is_split():
    batches = epoch_batches(records_with(*[1] * 6, group="all"), 3, seed=0, epoch=1)

    assert [len(batch) for batch in batches] == [3, 3]
