import json
from dataclasses import fields

import numpy as np
import pytest
import torch

from mvadapter import dual_softmax, query_bank_norm, retrieval_metrics
from mvadapter.errors import ConfigError
from mvadapter.evaluation.evaluate_scores import evaluate_scores
from mvadapter.evaluation.metrics import RetrievalMetrics, RetrievalReport
from mvadapter.evaluation.rank_scores import rank_scores
from mvadapter.evaluation.results import DirectionResult
from mvadapter.scoring.blocks import ScoreBlocks

OWNERS = torch.arange(30) % 20


@pytest.fixture(scope="module")
def scores():
    generator = torch.Generator().manual_seed(0)
    return torch.rand(30, 20, generator=generator, dtype=torch.float64)


@pytest.fixture(scope="module")
def bank():
    generator = torch.Generator().manual_seed(1)
    return torch.rand(9, 20, generator=generator, dtype=torch.float64)


def measured(scores, **options):
    return rank_scores(ScoreBlocks.of_matrix(scores), OWNERS, **options)


def test_nothing_is_reranked_unless_asked_for(scores):
    evaluation = measured(scores)

    assert evaluation.dual_softmax is None
    assert evaluation.query_bank_norm is None
    assert RetrievalReport.from_ranks(evaluation.plain) == retrieval_metrics(scores, OWNERS)


def test_dual_softmax_looks_over_captions_for_text_and_over_videos_for_video(scores):
    ranks = measured(scores, temperature=20.0).dual_softmax

    for_text = retrieval_metrics(dual_softmax(scores, 20.0), OWNERS)
    for_video = retrieval_metrics(dual_softmax(scores.T, 20.0).T, OWNERS)
    report = RetrievalReport.from_ranks(ranks)
    assert report.text_to_video == for_text.text_to_video
    assert report.video_to_text == for_video.video_to_text
    assert report.video_to_text_all_captions == for_video.video_to_text_all_captions


def test_query_bank_norm_is_text_to_video(scores, bank):
    ranks = measured(scores, bank=ScoreBlocks.of_matrix(bank)).query_bank_norm

    expected = retrieval_metrics(query_bank_norm(scores, bank), OWNERS).text_to_video
    assert RetrievalMetrics.from_ranks(ranks) == expected


def test_a_bank_of_other_videos_is_refused(scores):
    with pytest.raises(ConfigError, match="the bank scores 3 videos, the captions 20"):
        measured(scores, bank=ScoreBlocks.of_matrix(torch.ones(2, 3)))


def test_a_table_holds_every_number_and_an_interval_for_each_recall(scores):
    ranks = measured(scores).plain.text_to_video

    table = DirectionResult.from_ranks(ranks).to_dict()

    assert {field.name for field in fields(RetrievalMetrics)} | {"recall_sum", "intervals"} == set(
        table
    )
    for name, interval in table["intervals"].items():
        assert interval["low"] - 1e-9 <= table[name] <= interval["high"] + 1e-9
    json.dumps(table)


@pytest.mark.parametrize(
    ("owners", "protocol", "labels"),
    [
        (
            np.arange(6) % 3,
            "many-captions",
            [
                "text to video, every caption",
                "video to text, best caption of each video",
                "video to text, all captions",
            ],
        ),
        (np.arange(6), "one-caption", ["text to video", "video to text"]),
    ],
)
def test_the_protocol_names_the_directions(owners, protocol, labels):
    matrix = torch.zeros(6, int(owners.max()) + 1)
    result = evaluate_scores(matrix.numpy(), owners)

    assert result.protocol == protocol
    assert [label for label, _ in result.labelled()] == labels


def test_reranked_numbers_carry_their_names(scores, bank):
    result = evaluate_scores(
        scores.numpy(), OWNERS.numpy(), dual_softmax=0.2, bank_scores=bank.numpy()
    )

    labels = [label for label, _ in result.labelled()]

    assert result.dual_softmax.temperature == 5.0

    assert labels[3] == "text to video, every caption, dual softmax (transductive)"
    assert labels[6] == "text to video, every caption, QB-Norm (bank of 9 captions)"
    assert len(labels) == 7
