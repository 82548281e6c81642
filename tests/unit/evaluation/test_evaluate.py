"""The front door of evaluation, as a Python user calls it."""

import csv
import json

import numpy as np
import pytest

from made_videos import write_video
from mvadapter import Encoder, evaluate, evaluate_scores, retrieval_metrics
from mvadapter.data.table import read_table
from mvadapter.embedding.records import EmbeddingOptions, embed_records, open_frames
from mvadapter.errors import ConfigError, DataError, UnknownNameError, VideoError
from mvadapter.evaluation.rank_table import rank_table, write_rank_table


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """Six test videos and three to train on; one of the test videos is broken."""
    folder = tmp_path_factory.mktemp("videos")
    rows = [["video", "caption", "split"]]
    for number in range(9):
        name = f"{number}.mp4"
        if number == 4:
            (folder / name).write_text("no video")
        else:
            write_video(folder / name, range(9 * number, 9 * number + 6))
        rows.append([name, f"video {number}", "test" if number < 6 else "train"])
    with (folder / "captions.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return folder / "captions.csv"


@pytest.fixture(scope="module")
def result(table, random_clip_folder):
    return evaluate(
        None, table, backbone=random_clip_folder, split="test", unreadable="skip",
        query_bank="train", dual_softmax=100.0,
    )  # fmt: skip


def test_the_numbers_are_those_of_the_embeddings(result, table, random_clip_folder):
    encoder = Encoder.load(random_clip_folder)
    records = [record for record in read_table(table) if record.split == "test"]
    options = EmbeddingOptions(unreadable="skip")
    embedded = embed_records(encoder, records, open_frames(encoder, records), options)

    report = retrieval_metrics(
        embedded.captions.double() @ embedded.videos.double().T, embedded.caption_video
    )

    assert result.retrieval.text_to_video.metrics == report.text_to_video
    assert result.retrieval.video_to_text.metrics == report.video_to_text
    assert result.num_videos == 5


def test_what_is_left_out_is_in_the_result(result):
    assert list(result.data.skipped) == ["4.mp4"]
    assert result.data.dropped == {"4.mp4": 1}
    assert result.data.missing == []


def test_a_result_is_plain_values_for_json(result):
    found = json.loads(json.dumps(result.to_dict()))

    assert found["num_videos"] == 5
    assert found["text_to_video"]["recall_at_1"] == (
        result.retrieval.text_to_video.metrics.recall_at_1
    )
    assert found["dual_softmax"]["temperature"] == 100
    assert found["query_bank_norm"]["num_bank_captions"] == 3
    assert "against" not in found


def test_an_encoder_is_evaluated_as_its_folder_is(result, table, random_clip_folder):
    again = evaluate(
        Encoder.load(random_clip_folder), table, split="test", unreadable="skip",
        query_bank="train", dual_softmax=100.0,
    )  # fmt: skip

    assert again.retrieval == result.retrieval
    assert again.query_bank_norm == result.query_bank_norm


def test_the_same_system_is_no_better_than_itself(result, table, random_clip_folder, tmp_path):
    write_rank_table(tmp_path / "ranks.csv", rank_table(result))

    again = evaluate(
        None, table, backbone=random_clip_folder, split="test", unreadable="skip",
        against=tmp_path / "ranks.csv",
    )  # fmt: skip

    recalls = again.against.differences["text_to_video"].values()
    assert {difference.mean for difference in recalls} == {0}


def test_a_video_without_frames_is_an_error_unless_it_may_be_skipped(table, random_clip_folder):
    with pytest.raises(VideoError, match=r"4\.mp4"):
        evaluate(None, table, backbone=random_clip_folder, split="test")


def test_a_split_that_is_not_there_is_named_with_those_that_are(table, random_clip_folder):
    with pytest.raises(UnknownNameError, match=r"split 'tset' is not known.*'test'"):
        evaluate(None, table, backbone=random_clip_folder, split="tset")


def test_a_bank_of_evaluated_videos_is_refused(table, random_clip_folder):
    with pytest.raises(ConfigError, match="the query bank 'test' holds captions of 6"):
        evaluate(None, table, backbone=random_clip_folder, split="test", query_bank="test")


def test_a_square_matrix_needs_no_owners():
    result = evaluate_scores(np.eye(3))

    assert result.protocol == "one-caption"
    assert result.retrieval.text_to_video.metrics.recall_at_1 == 100
    assert result.labels() == {"text_to_video": "text to video", "video_to_text": "video to text"}


def test_another_matrix_does():
    with pytest.raises(DataError, match="2 captions and 3 videos; give caption_video"):
        evaluate_scores(np.ones((2, 3)))


def test_an_encoder_keeps_its_own_clip_and_device(table, random_clip_folder):
    encoder = Encoder.load(random_clip_folder)

    with pytest.raises(ConfigError, match="leave out backbone and device"):
        evaluate(encoder, table, backbone="tiny")


def test_what_an_encoder_was_trained_on_is_not_known(result):
    assert result.num_trained_on is None
    assert result.to_dict()["trained_on"] is None
