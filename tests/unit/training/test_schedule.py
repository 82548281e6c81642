"""The steps of a run are those of its epochs, from any step on, and are made when needed."""

from itertools import islice
from pathlib import Path

import pytest

from mvadapter.data.batches import epoch_batches
from mvadapter.data.records import Record
from mvadapter.training.schedule import Schedule


def records(groups):
    return [
        Record(
            id=str(number),
            video=Path(f"{number}.mp4"),
            captions=("one", "two")[: 1 + number % 2],
            group=group,
        )
        for number, group in enumerate(groups)
    ]


@pytest.mark.parametrize("groups", [[""] * 9, ["a", "a", "b", "b", "b", "c", "c", "", ""]])
def test_the_steps_are_those_of_the_epochs_from_any_step_on(groups):
    train = records(groups)
    schedule = Schedule(train, batch_size=4, epochs=3, seed=5)

    expected = [
        (epoch, batch)
        for epoch in (1, 2, 3)
        for batch in epoch_batches(train, 4, seed=5, epoch=epoch)
    ]
    for done in range(len(expected) + 1):
        steps = list(schedule.steps(done))
        assert [(step.epoch, step.batch) for step in steps] == expected[done:]
    assert len(schedule) == len(expected)
    ends = [step.epoch for step in schedule.steps(0) if step.is_last_of_epoch]
    assert ends == [1, 2, 3]


def test_ten_thousand_epochs_are_not_made_beforehand(monkeypatch):
    made = []

    def batches(*args, epoch, **options):
        made.append(epoch)
        return epoch_batches(*args, epoch=epoch, **options)

    monkeypatch.setattr("mvadapter.training.schedule.epoch_batches", batches)
    schedule = Schedule(records([""] * 9), batch_size=4, epochs=10_000, seed=0)

    steps = list(islice(schedule.steps(len(schedule) - 5), 1))

    assert steps[0].epoch >= 9_998
    assert len(made) <= 2
