import dataclasses

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mvadapter import dual_softmax, query_bank_norm
from mvadapter.scoring.blocks import ScoreBlocks
from mvadapter.scoring.rerank import (
    QueryBank,
    dual_softmax_over_captions,
    dual_softmax_over_videos,
)
from tolerances import rounding


def all_rows(blocks, scores_per_block=7):
    return torch.cat([rows for _, rows in blocks.walk(scores_per_block=scores_per_block)])


def few_at_once(scores):
    """Blocks that refuse to give more than four rows, so that nobody asks for all."""
    blocks = ScoreBlocks.of_matrix(scores)

    def rows(positions):
        assert len(positions) <= 4
        return blocks.rows(positions)

    return dataclasses.replace(blocks, rows=rows)


def test_scores_of_embeddings_are_dot_products():
    captions = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]])
    videos = torch.tensor([[1.0, 0.0], [0.0, 1.0]])

    scores = ScoreBlocks.of_embeddings(captions, videos).rows(torch.arange(3))

    expected = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]], dtype=torch.float64)
    torch.testing.assert_close(scores, expected, atol=rounding(1), rtol=0)


def test_a_walk_gives_every_caption_once_in_its_order():
    order = torch.tensor([2, 0, 4, 3, 1])

    walked = list(ScoreBlocks.of_matrix(torch.eye(5)).walk(order, scores_per_block=10))

    assert torch.cat([captions for captions, _ in walked]).tolist() == order.tolist()
    assert [len(rows) for _, rows in walked] == [2, 2, 1]


def test_a_row_longer_than_a_block_comes_alone():
    assert [
        len(rows) for _, rows in ScoreBlocks.of_matrix(torch.eye(3)).walk(scores_per_block=1)
    ] == [1] * 3


def test_cosines_are_as_exact_as_their_embeddings():
    captions, videos = torch.nn.functional.normalize(torch.randn(2, 20, 512), dim=-1)

    scores = all_rows(ScoreBlocks.of_embeddings(captions, videos))

    exact = captions.double() @ videos.double().T
    # Each of 512 components is rounded to a multiple of 2**-26, and a unit vector's sum to 512**0.5.
    torch.testing.assert_close(scores, exact, atol=2 * 512**0.5 * 2**-27, rtol=0)


@given(st.integers(0, 2**16), st.sampled_from([0.01, 5.0, 100.0]))
def test_dual_softmax_of_blocks_is_that_of_the_matrix(seed, temperature):
    # As large as cosines, because a sharper softmax of larger scores is refused.
    scores = torch.randn(9, 6, generator=torch.Generator().manual_seed(seed)).double().tanh()
    blocks = ScoreBlocks.of_matrix(scores)

    over_captions = blocks.reranked(dual_softmax_over_captions(blocks, temperature))
    over_videos = blocks.reranked(dual_softmax_over_videos(temperature))

    torch.testing.assert_close(all_rows(over_captions), dual_softmax(scores, temperature))
    torch.testing.assert_close(all_rows(over_videos), dual_softmax(scores.T, temperature).T)


@given(st.integers(0, 2**16), st.integers(1, 3))
def test_query_bank_norm_of_blocks_is_that_of_the_matrix(seed, k):
    generator = torch.Generator().manual_seed(seed)
    scores, bank = (torch.rand(n, 6, generator=generator).double() for n in (9, 8))

    normed = ScoreBlocks.of_matrix(scores).reranked(
        QueryBank.read(ScoreBlocks.of_matrix(bank), k=k).normalise
    )

    torch.testing.assert_close(all_rows(normed), query_bank_norm(scores, bank, k=k))


def test_what_is_known_of_other_queries_is_gathered_in_blocks():
    scores = torch.randn(10, 3).double()

    weigh = dual_softmax_over_captions(few_at_once(scores), 10.0, scores_per_block=12)
    bank = QueryBank.read(few_at_once(scores), scores_per_block=12)

    torch.testing.assert_close(weigh(scores), dual_softmax(scores, 10.0))
    torch.testing.assert_close(bank.normalise(scores), query_bank_norm(scores, scores))


def test_dual_softmax_of_a_constant_matrix_stays_constant():
    weighed = dual_softmax(torch.full((101, 37), 0.3, dtype=torch.float64), 100.0)

    assert weighed.unique().numel() == 1


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_dual_softmax_answers_in_float64_whatever_its_scores_are_in(dtype):
    assert dual_softmax(torch.zeros(3, 3, dtype=dtype), 1.0).dtype == torch.float64
