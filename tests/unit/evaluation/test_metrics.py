from dataclasses import asdict

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from made_scores import scores_with_ties
from mvadapter import retrieval_metrics
from mvadapter.errors import DataError
from mvadapter.evaluation.ranks import text_to_video_ranks
from mvadapter.evaluation.reversal import reversal_hits
from mvadapter.scoring.blocks import ScoreBlocks


def assert_same(ours, theirs):
    """The same but for the rounding of a sum in another order."""
    for direction, metrics in asdict(ours).items():
        assert metrics == pytest.approx(asdict(theirs)[direction])


def test_perfect_scores_are_perfect():
    report = retrieval_metrics(torch.eye(4), range(4))

    for metrics in (report.text_to_video, report.video_to_text, report.video_to_text_all_captions):
        assert metrics.recall_at_1 == 100
        assert metrics.median_rank == metrics.mean_rank == 1


def test_ranks_count_from_one():
    scores = torch.tensor([[0.1, 0.5, 0.9], [0.2, 0.1, 0.0], [0.0, 0.0, 0.5]])

    metrics = retrieval_metrics(scores, [0, 1, 2]).text_to_video

    # By hand: ranks 3, 2 and 1.
    assert metrics.recall_at_1 == pytest.approx(100 / 3)
    assert metrics.mean_rank == metrics.median_rank == 2


def test_ties_count_as_their_expectation():
    # By hand: one better, two other equal: rank 2 + 2/2; at 1 no chance, at 5 sure.
    scores = torch.tensor([[0.5, 0.5, 0.5, 0.9]])

    metrics = retrieval_metrics(scores, [0]).text_to_video

    assert metrics.mean_rank == 3
    assert metrics.recall_at_1 == 0
    assert metrics.recall_at_5 == 100


@given(num_videos=st.integers(1, 30))
def test_constant_scores_earn_exactly_chance(num_videos):
    report = retrieval_metrics(torch.zeros(num_videos, num_videos), range(num_videos))

    for metrics in (report.text_to_video, report.video_to_text, report.video_to_text_all_captions):
        assert metrics.recall_at_1 == pytest.approx(100 / num_videos)
        assert metrics.recall_at_5 == pytest.approx(100 * min(1, 5 / num_videos))
        assert metrics.mean_rank == pytest.approx((num_videos + 1) / 2)


@given(scores_with_ties(), st.integers(0, 2**16))
def test_the_order_of_videos_does_not_matter(case, seed):
    scores, owners = case
    order = torch.randperm(scores.shape[1], generator=torch.Generator().manual_seed(seed))
    place = torch.argsort(order)

    assert_same(
        retrieval_metrics(scores[:, order], place[owners]), retrieval_metrics(scores, owners)
    )


@given(scores_with_ties(), st.integers(0, 2**16))
def test_the_order_of_captions_does_not_matter(case, seed):
    scores, owners = case
    order = torch.randperm(len(scores), generator=torch.Generator().manual_seed(seed))

    assert_same(retrieval_metrics(scores[order], owners[order]), retrieval_metrics(scores, owners))


@given(scores_with_ties(), st.integers(-8, 8))
def test_adding_a_constant_does_not_matter(case, constant):
    scores, owners = case

    assert retrieval_metrics(scores + constant, owners) == retrieval_metrics(scores, owners)


@given(scores_with_ties())
def test_one_caption_a_video_makes_the_two_protocols_one(case):
    scores, _ = case
    size = min(scores.shape)
    square = scores[:size, :size]

    report = retrieval_metrics(square, range(size))

    assert report.video_to_text == report.video_to_text_all_captions


@given(scores_with_ties())
def test_video_to_text_is_text_to_video_of_the_transpose(case):
    scores, _ = case
    size = min(scores.shape)
    square = scores[:size, :size]

    there, back = retrieval_metrics(square, range(size)), retrieval_metrics(square.T, range(size))

    assert there.video_to_text == back.text_to_video


@given(scores_with_ties())
def test_breaking_ties_at_random_gives_the_expected_rank(case):
    scores, owners = case
    ranks = text_to_video_ranks(ScoreBlocks.of_matrix(scores), owners)
    # Noise too small to turn a difference round, so that it decides ties only.
    many = scores.repeat(300, 1)
    noise = torch.rand(many.shape, generator=torch.Generator().manual_seed(0)) * 1e-3
    drawn = text_to_video_ranks(ScoreBlocks.of_matrix(many + noise), owners.repeat(300)).ranks
    drawn = drawn.reshape(300, len(scores))

    spread = np.std(drawn, axis=0) / 300**0.5
    assert np.all(np.abs(np.mean(drawn, axis=0) - ranks.ranks) <= 5 * spread + 1e-9)


def test_a_videos_own_captions_do_not_compete():
    scores = torch.tensor([[0.9, 0.0], [0.9, 0.0], [0.0, 0.5]])

    metrics = retrieval_metrics(scores, [0, 0, 1]).video_to_text_all_captions

    assert metrics.recall_at_1 == 100


def test_a_video_without_captions_is_no_query_but_a_rival():
    scores = torch.tensor([[0.1, 0.9]])

    report = retrieval_metrics(scores, [0])

    assert report.text_to_video.mean_rank == 2
    assert report.video_to_text.num_queries == 1


def test_numpy_arrays_are_welcome():
    assert retrieval_metrics(np.eye(3), np.arange(3)) == retrieval_metrics(torch.eye(3), range(3))


def test_nan_is_refused_with_its_row():
    scores = torch.zeros(3, 3)
    scores[1, 2] = torch.nan

    with pytest.raises(DataError, match=r"NaN or infinity in 1 rows, row 1 \(caption\) first"):
        retrieval_metrics(scores, range(3))


@pytest.mark.parametrize(
    ("owners", "message"),
    [([0, 1], "must name one video for each of the 3 captions"), ([0, 1, 3], "is 3, but videos")],
)
def test_owners_that_do_not_fit_are_refused(owners, message):
    with pytest.raises(DataError, match=message):
        retrieval_metrics(torch.zeros(3, 3), owners)


def test_the_sum_of_recalls_is_the_papers():
    metrics = retrieval_metrics(torch.eye(2), range(2)).text_to_video

    assert metrics.recall_sum == 300


@given(st.integers(0, 2**16))
def test_pooling_without_order_comes_out_at_exactly_half(seed):
    generator = torch.Generator().manual_seed(seed)
    frames = torch.randn(6, 5, 8, generator=generator)
    captions, twins = torch.randn(2, 6, 8, generator=generator)

    hits = reversal_hits(frames.mean(1), frames.flip(1).mean(1), captions, twins)

    assert hits.tolist() == [0.5] * 6


def test_seeing_the_order_shows():
    there, back = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])

    assert reversal_hits(there, back, there, back).tolist() == [1.0]
    assert reversal_hits(back, there, there, back).tolist() == [0.0]
