import pytest
import torch

from mvadapter import dual_softmax, query_bank_norm
from mvadapter.errors import ConfigError


def test_dual_softmax_weighs_by_the_share_over_captions():
    scores = torch.tensor([[0.0, 1.0], [0.0, 0.0]])

    # By hand: over the captions, column 1 is softmax(1, 0).
    expected = torch.e / (torch.e + 1)
    torch.testing.assert_close(
        dual_softmax(scores, 1.0), torch.tensor([[0.0, expected], [0.0, 0.0]])
    )


def test_a_temperature_and_its_reciprocal_say_the_same():
    scores = torch.randn(4, 3)

    torch.testing.assert_close(dual_softmax(scores, 50.0), dual_softmax(scores, 0.02))


@pytest.mark.parametrize("temperature", [0.0, -1.0])
def test_a_temperature_must_be_positive(temperature):
    with pytest.raises(ConfigError, match="temperature must be above 0"):
        dual_softmax(torch.ones(1, 1), temperature)


def test_query_bank_norm_leaves_rows_alone_whose_best_video_is_no_hub():
    scores = torch.tensor([[0.9, 0.1], [0.2, 0.8]])
    bank = torch.tensor([[0.1, 0.7]])

    normed = query_bank_norm(scores, bank)

    torch.testing.assert_close(normed[0], scores[0])


def test_query_bank_norm_takes_a_hubs_popularity_away():
    scores = torch.tensor([[0.50, 0.45]])
    bank = torch.tensor([[0.6, 0.1], [0.6, 0.1]])

    normed = query_bank_norm(scores, bank)

    assert normed.argmax(dim=1).tolist() == [1]


def test_query_bank_norm_does_not_overflow():
    high = query_bank_norm(torch.tensor([[35.0, 34.0, 33.0]]), torch.full((2, 3), 20.0))
    low = query_bank_norm(torch.tensor([[10.0, 9.0, 8.0]]), torch.full((2, 3), 30.0))

    for normed in (high, low):
        assert normed.isfinite().all()
        assert normed[0, 0] > normed[0, 1] > normed[0, 2] >= 0


@pytest.mark.parametrize("settings", [{"beta": 0.0}, {"k": 0}, {"k": 3}])
def test_query_bank_norm_refuses_nonsense(settings):
    with pytest.raises(ConfigError, match="beta must be above 0 and k between 1 and 2"):
        query_bank_norm(torch.ones(1, 2), torch.ones(1, 2), **settings)


def test_the_bank_must_score_the_same_videos():
    with pytest.raises(ConfigError, match="the bank scores 3 videos, the captions 2"):
        query_bank_norm(torch.ones(1, 2), torch.ones(1, 3))


def test_a_pair_that_is_out_of_the_question_stays_so():
    scores = torch.tensor([[1.0, -torch.inf], [0.5, 0.2]])

    weighed = dual_softmax(scores, 100.0)

    assert weighed[0, 1] == -torch.inf
    assert not weighed.isnan().any()
