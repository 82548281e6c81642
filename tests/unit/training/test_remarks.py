"""What a run says of its captions before it trains, and of itself when it has come to nothing."""

import dataclasses
import math

import pytest

from mvadapter.training import step
from mvadapter.training.loop import RunOptions, train_recipe


def with_settings(recipe, **settings):
    return dataclasses.replace(recipe, train=dataclasses.replace(recipe.train, **settings))


def test_cut_and_equal_captions_are_reported_before_the_first_step(
    recipe, records, tmp_path, caplog
):
    long = "a red circle and a blue square " * 10
    records = [dataclasses.replace(record, captions=(long, "the same")) for record in records]
    seen = []

    result = train_recipe(
        recipe,
        records,
        tmp_path,
        RunOptions(on_step=lambda *_: seen.append(len(caplog.messages))),
    )

    assert result.captions.num_cut == result.captions.num_captions / 2 > 0
    assert result.captions.num_equal == result.captions.num_captions
    assert seen[0] == 2
    assert "captions are longer than max_tokens=30, and their ends are left" in caplog.messages[0]
    assert "captions are the same as one of another video" in caplog.messages[1]
    assert result.to_dict()["cut_captions"] == result.captions.num_cut
    assert result.to_dict()["equal_captions"] == result.captions.num_equal


def test_masked_captions_are_not_reported_and_change_the_training(
    recipe, records, tmp_path, caplog
):
    records = [
        dataclasses.replace(record, captions=("odd" if number % 2 else "even", f"video {number}"))
        for number, record in enumerate(records)
    ]
    losses = {}
    for masks in (False, True):
        caplog.clear()
        losses[masks] = []
        train_recipe(
            with_settings(recipe, mask_equal_captions=masks),
            records,
            tmp_path / str(masks),
            RunOptions(on_step=lambda _d, _t, loss, of=losses[masks]: of.append(loss)),
        )

        assert any("the same as" in message for message in caplog.messages) is not masks

    assert sum(losses[True]) < sum(losses[False])


def test_without_equal_captions_masking_changes_no_bit(recipe, records, tmp_path):
    losses = {False: [], True: []}
    for masks, of in losses.items():
        train_recipe(
            with_settings(recipe, mask_equal_captions=masks),
            records,
            tmp_path / str(masks),
            RunOptions(on_step=lambda _d, _t, loss, of=of: of.append(loss)),
        )

    assert losses[True] == losses[False]


@pytest.mark.parametrize("is_stopped", [False, True])
def test_a_run_that_only_guesses_is_remarked(recipe, records, tmp_path, monkeypatch, is_stopped):
    def guess(captions, videos, _temperature):
        return math.log(len(captions)) + 0 * (captions * videos).sum()

    monkeypatch.setattr(step, "symmetric_info_nce", guess)
    if is_stopped:
        steps = []
        stop = RunOptions(on_step=lambda *_: steps.append(1), should_stop=lambda: len(steps) == 5)
        assert not train_recipe(recipe, records, tmp_path, stop).is_collapsed

    result = train_recipe(recipe, records, tmp_path)

    assert result.is_finished
    assert result.is_collapsed
    assert result.to_dict()["is_collapsed"] is True
    assert "the run has collapsed: the loss of its last epoch" in result.notes()[0]
    # And again where there is nothing left to do.
    assert train_recipe(recipe, records, tmp_path).is_collapsed


def test_a_run_that_learns_is_not_remarked(recipe, records, tmp_path):
    result = train_recipe(with_settings(recipe, epochs=8, learning_rate=5e-3), records, tmp_path)

    assert not result.is_collapsed
    assert result.notes() == []


def test_a_log_that_a_crash_damaged_is_continued_without_the_damaged_lines(
    recipe, records, tmp_path
):
    steps = []
    stop = RunOptions(on_step=lambda *_: steps.append(1), should_stop=lambda: len(steps) == 3)
    train_recipe(recipe, records, tmp_path, stop)
    log = tmp_path / "run" / "log.jsonl"
    log.write_bytes(log.read_bytes() + b'\0\0\0\n\xff\n[1]\n{"step": 1')

    train_recipe(recipe, records, tmp_path)

    lines = log.read_text().splitlines()
    assert len([line for line in lines if '"loss"' in line]) == len(set(lines)) - 2


def test_epochs_beyond_all_sense_begin_at_once(recipe, records, tmp_path):
    stop = RunOptions(should_stop=lambda: True)

    result = train_recipe(with_settings(recipe, epochs=10_000), records, tmp_path, stop)

    assert result.step == 1
    assert result.num_steps > 10_000
