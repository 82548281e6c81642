"""Our metrics against numbers computed once by independent code; golden/README.md has the origin."""

import json

import pytest
import torch
from safetensors.torch import load_file

from mvadapter import dual_softmax, query_bank_norm, retrieval_metrics


@pytest.fixture(scope="module")
def scores(golden_folder):
    return load_file(golden_folder / "metrics" / "similarity.safetensors")


@pytest.fixture(scope="module")
def expected(golden_folder):
    return json.loads((golden_folder / "metrics" / "expected.json").read_text())


def assert_equal(metrics, expected):
    # The expected values of one protocol were computed in float32.
    close = {"rel": 1e-6}
    assert metrics.recall_at_1 == pytest.approx(expected["R1"], **close)
    assert metrics.recall_at_5 == pytest.approx(expected["R5"], **close)
    assert metrics.recall_at_10 == pytest.approx(expected["R10"], **close)
    assert metrics.median_rank == pytest.approx(expected["MedianR"], **close)
    assert metrics.mean_rank == pytest.approx(expected["MeanR"], **close)


def test_one_caption_a_video(scores, expected):
    report = retrieval_metrics(scores["similarity"], range(60))

    assert_equal(report.text_to_video, expected["one_to_one"]["t2v"])
    assert_equal(report.video_to_text, expected["one_to_one"]["v2t"])
    assert_equal(report.video_to_text_all_captions, expected["one_to_one"]["v2t"])


@pytest.mark.parametrize("temperature", [0.01, 100.0])
def test_dual_softmax_in_both_directions(scores, expected, temperature):
    plain = scores["similarity"]
    for_text = retrieval_metrics(dual_softmax(plain, temperature), range(60))
    for_video = retrieval_metrics(dual_softmax(plain.T, temperature).T, range(60))

    assert_equal(for_text.text_to_video, expected["dsl_T0.01"]["t2v"])
    assert_equal(for_video.video_to_text, expected["dsl_T0.01"]["v2t"])


def test_query_bank_norm(scores, expected):
    normed = query_bank_norm(scores["similarity"], scores["query_bank_similarity"], beta=20.0, k=1)

    report = retrieval_metrics(normed, range(60))

    assert_equal(report.text_to_video, expected["qb_norm_beta20_k1"]["t2v"])


def test_many_captions_a_video(scores, expected):
    report = retrieval_metrics(scores["multi_caption_similarity"], scores["caption_video"])

    many = expected["multi_caption"]
    assert_equal(report.text_to_video, many["t2v"])
    assert_equal(report.video_to_text, many["v2t_max_over_captions"])
    assert_equal(report.video_to_text_all_captions, many["v2t_best_of_all_captions"])


def test_the_golden_scores_are_whole(scores):
    assert not any(torch.isnan(tensor).any() for tensor in scores.values())
