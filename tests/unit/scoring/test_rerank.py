import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mvadapter import dual_softmax, query_bank_norm
from mvadapter.errors import ConfigError, DataError
from mvadapter.scoring.rerank import dual_softmax_over_videos


def test_dual_softmax_weighs_by_the_share_over_captions():
    scores = torch.tensor([[0.0, 1.0], [0.0, 0.0]])

    # By hand: over the captions, column 1 is softmax(1, 0).
    expected = torch.e / (torch.e + 1)
    torch.testing.assert_close(
        dual_softmax(scores, 1.0),
        torch.tensor([[0.0, expected], [0.0, 0.0]], dtype=torch.float64),
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

    torch.testing.assert_close(normed[0], scores[0].double())


def test_query_bank_norm_takes_a_hubs_popularity_away():
    scores = torch.tensor([[0.50, 0.45]])
    bank = torch.tensor([[0.6, 0.1], [0.6, 0.1]])

    normed = query_bank_norm(scores, bank)

    assert normed.argmax(dim=1).tolist() == [1]


def test_query_bank_norm_takes_logits_with_the_beta_of_their_factor():
    cosines, bank = torch.rand(5, 4), torch.rand(6, 4)

    of_logits = query_bank_norm(100 * cosines, 100 * bank, beta=0.2)

    normed = query_bank_norm(cosines, bank)
    assert of_logits.argsort(dim=1).tolist() == normed.argsort(dim=1).tolist()


def test_query_bank_norm_does_not_overflow():
    high = query_bank_norm(torch.tensor([[0.95, 0.94, 0.93]]), torch.full((2, 3), -0.9), beta=100.0)
    low = query_bank_norm(torch.tensor([[-0.5, -0.6, -0.7]]), torch.full((2, 3), 0.99), beta=100.0)

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


@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
def test_scores_that_are_not_finite_are_refused(bad):
    scores, sound = torch.tensor([[1.0, bad], [0.5, 0.2]]), torch.ones(2, 2)

    for rerank in (
        lambda: dual_softmax(scores, 100.0),
        lambda: dual_softmax_over_videos(100.0)(scores),
        lambda: query_bank_norm(scores, sound),
        lambda: query_bank_norm(sound, scores),
    ):
        with pytest.raises(DataError, match="scores must be finite"):
            rerank()


def test_dual_softmax_keeps_apart_what_float32_would_make_equal():
    scores = torch.tensor([[0.9, 0.9], [-0.4, -0.5]])

    weighed = dual_softmax(scores, 100.0)

    assert weighed[1, 0] < 0
    assert weighed[1, 0] != weighed[1, 1]


@pytest.mark.parametrize(
    ("largest", "temperature", "problem"),
    [
        (31.0, 100.0, "temperature 100.0 is too sharp for scores that reach 31"),
        (31.0, 0.5, "temperature 0.5 can be a factor or its reciprocal"),
        (31.0, 0.01, "temperature 0.01 can be a factor or its reciprocal"),
        (1.0, 1e-6, "temperature 1e-06 is too sharp"),
        (1.0, 1e6, "temperature 1000000.0 is too sharp"),
    ],
)
def test_a_temperature_that_cannot_be_meant_is_refused(largest, temperature, problem):
    scores = torch.tensor([[largest, 0.0], [0.0, 0.1]])

    with pytest.raises(ConfigError, match=problem):
        dual_softmax(scores, temperature)
    with pytest.raises(ConfigError, match=problem):
        dual_softmax_over_videos(temperature)(scores)


def test_logits_are_softened_by_the_factor_on_them():
    cosines = torch.rand(4, 3)

    torch.testing.assert_close(
        dual_softmax(100 * cosines, 1.0), 100 * dual_softmax(cosines, 100.0), rtol=1e-4, atol=1e-6
    )


@pytest.mark.parametrize("of_bank", [False, True])
def test_a_beta_that_is_not_for_these_scores_is_refused(of_bank):
    logits, cosines = torch.full((2, 2), 31.0), torch.full((2, 2), 0.31)

    with pytest.raises(ConfigError, match="beta=20 is meant for cosines, but scores reach 31"):
        query_bank_norm(cosines if of_bank else logits, logits if of_bank else cosines)


@given(st.integers(0, 2**16), st.floats(0.001, 350), st.floats(0.1, 1.0))
def test_no_finite_scores_give_nan_or_lose_a_weight(seed, temperature, size):
    scores = size * (2 * torch.rand(5, 4, generator=torch.Generator().manual_seed(seed)) - 1)
    try:
        weighed = dual_softmax(scores, temperature)
    except ConfigError as error:
        assert "is too sharp" in str(error)
    else:
        assert weighed.isfinite().all()
        assert ((weighed == 0) == (scores == 0)).all()
