import dataclasses
import json
import os
import shutil
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from mvadapter import load_adapter
from mvadapter.data.splits import split_records
from mvadapter.encoder.adapter_folder import read_record
from mvadapter.errors import DataError, TrainingError
from mvadapter.training.loop import RunOptions, selection_score, train_recipe
from mvadapter.training.state import _digest


def weights_in(folder):
    return load_file(folder / "run" / "state.safetensors")


def same(ours, theirs):
    return ours.keys() == theirs.keys() and all(
        torch.equal(tensor, theirs[name]) for name, tensor in ours.items()
    )


def change(recipe, **settings):
    return dataclasses.replace(recipe, train=dataclasses.replace(recipe.train, **settings))


def test_training_lowers_the_loss(recipe, records, tmp_path):
    losses = []
    options = RunOptions(on_step=lambda _done, _total, loss: losses.append(loss))

    train_recipe(change(recipe, epochs=8, learning_rate=5e-3), records, tmp_path, options)

    assert sum(losses[-4:]) < 0.7 * sum(losses[:4])


def test_the_folder_holds_the_best_adapter_and_what_made_it(recipe, records, tmp_path):
    result = train_recipe(recipe, records, tmp_path)

    assert result.is_finished
    encoder = load_adapter(tmp_path)
    assert encoder.inputs == recipe.inputs
    record = read_record(tmp_path)
    assert record.training.recipe == recipe.as_table()
    assert record.training.epoch == result.best_epoch
    assert record.training.metrics == result.metrics
    assert "held-out 2 of the train split" in record.training.selection


def test_the_log_has_a_line_for_each_step_and_epoch(recipe, records, tmp_path):
    result = train_recipe(recipe, records, tmp_path)

    rows = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows if "loss" in row] == list(range(result.num_steps))
    assert [row["epoch"] for row in rows if "metrics" in row] == [1, 2]
    assert list((tmp_path / "run" / "tensorboard").iterdir())


def test_the_same_seed_gives_the_same_bits(recipe, records, tmp_path):
    for name in ("one", "two"):
        train_recipe(recipe, records, tmp_path / name)

    assert same(weights_in(tmp_path / "one"), weights_in(tmp_path / "two"))


def test_another_seed_gives_others(recipe, records, tmp_path):
    train_recipe(recipe, records, tmp_path / "one")
    train_recipe(change(recipe, seed=1), records, tmp_path / "two")

    assert not same(weights_in(tmp_path / "one"), weights_in(tmp_path / "two"))


@pytest.mark.parametrize("stop_after", [1, 4, 5])
def test_a_stopped_run_goes_on_bit_by_bit(recipe, records, tmp_path, stop_after):
    whole = train_recipe(recipe, records, tmp_path / "whole")
    steps = []
    options = RunOptions(
        on_step=lambda done, _total, _loss: steps.append(done),
        should_stop=lambda: len(steps) == stop_after,
    )

    stopped = train_recipe(recipe, records, tmp_path / "parts", options)
    resumed = train_recipe(recipe, records, tmp_path / "parts")

    assert (stopped.step, stopped.is_finished) == (stop_after, False)
    assert same(weights_in(tmp_path / "whole"), weights_in(tmp_path / "parts"))
    assert dataclasses.replace(resumed, folder=whole.folder) == whole
    logs = [(tmp_path / name / "run" / "log.jsonl").read_text() for name in ("whole", "parts")]
    assert logs[0] == logs[1]


def test_what_a_killed_run_was_writing_is_removed_when_it_resumes(recipe, records, tmp_path):
    train_recipe(recipe, records, tmp_path)
    left = tmp_path / "run" / ".mvadapter-0123abcd.part"
    left.mkdir()
    (left / "state.safetensors").write_bytes(b"half")

    train_recipe(recipe, records, tmp_path)

    assert not left.exists()


def test_a_finished_run_is_not_repeated(recipe, records, tmp_path):
    first = train_recipe(recipe, records, tmp_path)
    steps = []

    again = train_recipe(recipe, records, tmp_path, RunOptions(on_step=lambda *_: steps.append(1)))

    assert again == first
    assert steps == []


def test_another_recipe_does_not_continue_a_run(recipe, records, tmp_path):
    train_recipe(recipe, records, tmp_path)

    with pytest.raises(TrainingError, match=r"contains a run with train\.seed = 0, now 1"):
        train_recipe(change(recipe, seed=1), records, tmp_path)


def test_other_data_does_not_continue_a_run(recipe, records, tmp_path):
    train_recipe(recipe, records, tmp_path)
    other = [dataclasses.replace(records[0], captions=("new",)), *records[1:]]

    with pytest.raises(TrainingError, match="contains a run with other videos or captions"):
        train_recipe(recipe, other, tmp_path)


def test_a_run_goes_on_where_its_data_were_moved(recipe, records, tmp_path):
    train_recipe(recipe, records, tmp_path / "out", RunOptions(should_stop=lambda: True))
    place = Path(recipe.data.path)
    moved = place.parent.with_name(f"{place.parent.name}-moved")
    shutil.copytree(place.parent, moved)
    data = dataclasses.replace(recipe.data, path=str(moved / place.name))
    there = dataclasses.replace(recipe, data=data)

    train_recipe(there, there.records(tmp_path), tmp_path / "out")

    assert read_record(tmp_path / "out").training.recipe == there.as_table()


def test_what_is_held_out_is_named_before_the_data_that_it_changes(recipe, records, tmp_path):
    train_recipe(recipe, records, tmp_path)

    with pytest.raises(TrainingError, match=r"train\.holdout_percent = 25\.0, now 50\.0"):
        train_recipe(change(recipe, holdout_percent=50.0), records, tmp_path)


def test_equal_sums_of_recalls_are_equal_whatever_order_they_are_added_in():
    ranks = {"text_to_video_mean_rank": 2.0, "video_to_text_mean_rank": 1.0}
    recalls = (0.1, 0.2, 0.3)
    names = [f"text_to_video_recall_at_{k}" for k in (1, 5, 10)]
    one = selection_score(dict(zip(names, recalls, strict=True)) | ranks)
    two = selection_score(dict(zip(names, reversed(recalls), strict=True)) | ranks)

    assert sum(recalls) != sum(reversed(recalls))
    assert one == two


def test_a_damaged_state_says_what_to_delete(recipe, records, tmp_path):
    train_recipe(recipe, records, tmp_path)
    (tmp_path / "run" / "state.safetensors").write_bytes(b"no")

    with pytest.raises(TrainingError, match=r"not a complete safetensors file .* to start over"):
        train_recipe(recipe, records, tmp_path)


def rewrite_progress(folder, **changes):
    """Change where a run is, with the digest that belongs to it."""
    path = folder / "run" / "state.safetensors"
    with safe_open(path, "pt") as file:
        progress = json.loads(file.metadata()["progress"]) | changes
    tensors, text = load_file(path), json.dumps(progress)
    save_file(tensors, path, metadata={"progress": text, "sha256": _digest(tensors, text)})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"step": -3}, "step must be at least 0, got -3"),
        ({"step": 1_000_000}, "is at step 1000000 of"),
        ({"step": 2.5}, "step: input should be a valid integer"),
        ({"precision": "int8"}, "precision: input should be 'float32' or 'bfloat16'"),
        ({"precision": "bfloat16"}, "was trained in bfloat16, but the recipe has float32"),
        ({"recipe": "tiny"}, "recipe: input should be"),
        ({"recipe": {"train": 3}}, "recipe.train: input should be"),
        ({"best_epoch": 99}, "has 99 as the best of 2 epochs"),
        ({"best_epoch": 0}, "has 0 as the best of 2 epochs"),
        ({"best_metrics": {"recall": float("nan")}}, "NaN is no number"),
        ({"speed": 3}, "setting 'speed' is not known"),
    ],
)
def test_a_state_that_no_run_can_be_in_is_refused(recipe, records, tmp_path, changes, message):
    train_recipe(recipe, records, tmp_path)
    rewrite_progress(tmp_path, **changes)

    with pytest.raises(TrainingError) as caught:
        train_recipe(recipe, records, tmp_path)

    assert message in str(caught.value)
    assert "to start over" in str(caught.value)


def test_a_state_that_cannot_be_read_is_not_called_missing(recipe, records, tmp_path, monkeypatch):
    train_recipe(recipe, records, tmp_path)
    state = tmp_path / "run" / "state.safetensors"
    opened = os.open

    def closed(path, *arguments, **options):
        # As for a file without permission, which root may read all the same.
        if path == str(state):
            raise PermissionError(13, "Permission denied", path)
        return opened(path, *arguments, **options)

    monkeypatch.setattr(os, "open", closed)

    with pytest.raises(TrainingError, match=r"cannot be read \(permission denied\)") as caught:
        train_recipe(recipe, records, tmp_path)

    assert "delete" not in str(caught.value)
    assert "make it readable and try again" in str(caught.value)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_a_pipe_instead_of_the_state_is_refused_and_not_waited_for(recipe, records, tmp_path):
    train_recipe(recipe, records, tmp_path)
    state = tmp_path / "run" / "state.safetensors"
    state.unlink()
    os.mkfifo(state)

    with pytest.raises(
        TrainingError,
        match=r"state\.safetensors: is a pipe, not an ordinary file; expected the state",
    ):
        train_recipe(recipe, records, tmp_path)


def test_a_finished_run_without_its_adapter_is_refused(recipe, records, tmp_path):
    train_recipe(recipe, records, tmp_path)
    (tmp_path / "adapter_model.safetensors").unlink()

    with pytest.raises(TrainingError, match=r"no adapter here .* to start over"):
        train_recipe(recipe, records, tmp_path)


def test_a_bad_video_is_left_out_and_reported(recipe, records, tmp_path):
    bad = tmp_path / "bad.mp4"
    bad.write_text("no video")
    records = [dataclasses.replace(records[0], video=bad), *records[1:]]

    result = train_recipe(change(recipe, holdout_percent=0.0), records, tmp_path / "adapter")

    assert result.is_finished
    assert list(result.skipped) == [records[0].id]


def test_a_split_without_one_readable_video_is_refused_at_once(recipe, records, tmp_path):
    gone = [dataclasses.replace(record, video=tmp_path / f"gone {record.id}") for record in records]
    steps = []
    options = RunOptions(on_step=lambda *_: steps.append(1))

    with pytest.raises(DataError, match=r"none of the \d+ videos can be read; .*gone 0\.mp4"):
        train_recipe(recipe, gone, tmp_path / "adapter", options)
    with pytest.raises(TrainingError, match=r"^0\.mp4 alone of \d+ videos can be read"):
        train_recipe(recipe, [records[0], *gone[1:]], tmp_path / "other", options)
    assert not steps


def test_a_finished_run_is_told_again_without_its_videos(recipe, records, tmp_path):
    shutil.copytree(records[0].video.parent, tmp_path / "videos")
    copies = [
        dataclasses.replace(record, video=tmp_path / "videos" / record.video.name)
        for record in records
    ]
    told = train_recipe(recipe, copies, tmp_path / "adapter")
    shutil.rmtree(tmp_path / "videos")

    assert train_recipe(recipe, copies, tmp_path / "adapter") == told


def test_groups_are_held_out_whole(recipe, records):
    twins = [
        dataclasses.replace(record, group=f"twins {position // 2}", split="train")
        for position, record in enumerate(records)
    ]

    parts = split_records(twins, change(recipe, holdout_percent=40.0).splits)

    assert parts.selection
    assert not {r.group for r in parts.train} & {r.group for r in parts.selection}


def test_a_loss_that_is_no_number_stops_before_it_reaches_the_weights(
    recipe, records, tmp_path, monkeypatch
):
    from mvadapter.training import step

    monkeypatch.setattr(
        step,
        "symmetric_info_nce",
        lambda captions, videos, _: (captions * videos).sum() * torch.inf,
    )

    with pytest.raises(TrainingError, match="the loss became .*lower learning_rate"):
        train_recipe(recipe, records, tmp_path)

    assert not (tmp_path / "run" / "state.safetensors").exists()


def test_the_test_split_is_never_touched(recipe, records):
    parts = split_records(records, recipe.splits)

    assert {record.split for record in (*parts.train, *parts.selection)} == {"train"}
    assert not {r.video for r in parts.train} & {r.video for r in parts.selection}


def test_the_held_out_part_does_not_depend_on_the_seed(recipe, records):
    assert split_records(records, recipe.splits) == split_records(
        records, change(recipe, seed=5).splits
    )


def test_selecting_on_test_marks_the_result(recipe, records, tmp_path):
    train_recipe(change(recipe, select_on="test", epochs=1), records, tmp_path)

    training = read_record(tmp_path).training
    assert training.data.splits.select_on == "test"
    assert training.selection == "the test split, whose numbers are therefore too good"


def test_with_too_few_videos_the_last_epoch_is_kept(recipe, records, tmp_path):
    result = train_recipe(change(recipe, holdout_percent=5.0), records, tmp_path)

    assert result.best_epoch == 2
    assert result.metrics == {}


def test_one_video_cannot_train(recipe, records):
    with pytest.raises(TrainingError, match="needs at least 2 videos in split 'train', found 1"):
        split_records(records[:1], recipe.splits)


def test_a_frozen_clip_has_nothing_to_train(recipe, records, tmp_path):
    from mvadapter import FrozenConfig

    with pytest.raises(TrainingError, match="'frozen' has nothing to train"):
        train_recipe(dataclasses.replace(recipe, method=FrozenConfig()), records, tmp_path)


def test_the_recipe_names_the_splits_that_train_and_test(recipe, records):
    renamed = [
        dataclasses.replace(record, split={"train": "train-9k", "test": "1k-A"}[record.split])
        for record in records
    ]
    data = dataclasses.replace(recipe.data, train_split="train-9k", test_split="1k-A")
    recipe = dataclasses.replace(change(recipe, select_on="test"), data=data)

    parts = split_records(renamed, recipe.splits)

    assert {record.split for record in parts.train} == {"train-9k"}
    assert {record.split for record in parts.selection} == {"1k-A"}


def test_a_train_split_that_no_row_has_is_refused_with_the_ones_there_are(recipe, records):
    data = dataclasses.replace(recipe.data, train_split="train-9k")

    with pytest.raises(TrainingError, match="no row has split 'train-9k', only test, train"):
        split_records(records, dataclasses.replace(recipe, data=data).splits)


def test_what_is_tested_does_not_train(recipe, records):
    leak = dataclasses.replace(records[0], split="test")

    with pytest.raises(TrainingError, match=r"'0\.mp4' is in split 'train' and in split 'test'"):
        split_records([*records, leak], recipe.splits)
