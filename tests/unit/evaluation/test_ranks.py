import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from made_scores import scores_with_ties
from mvadapter import retrieval_metrics
from mvadapter.errors import DataError
from mvadapter.evaluation.metrics import RetrievalReport
from mvadapter.evaluation.ranks import retrieval_ranks
from mvadapter.scoring.blocks import ScoreBlocks

DIRECTIONS = ("text_to_video", "video_to_text", "video_to_text_all_captions")
FIELDS = ("query", "correct", "first", "num_better", "num_equal", "num_items", "correct_score")


def assert_identical(ours, theirs):
    """Bit by bit, in every field of every direction."""
    for direction in DIRECTIONS:
        for field in FIELDS:
            ranks = [getattr(getattr(side, direction), field) for side in (ours, theirs)]
            np.testing.assert_array_equal(*ranks, err_msg=f"{direction} {field}")


def ranked_by_hand(scores, owners):
    """The same ranks from whole matrices: [(better, equal, right, first score)] a direction."""
    scores, owners = scores.double().numpy(), owners.numpy()
    found = {direction: [] for direction in DIRECTIONS}
    for row, own in zip(scores, owners, strict=True):
        found["text_to_video"].append(((row > row[own]).sum(), (row == row[own]).sum() - 1))
    videos = np.unique(owners)
    groups = np.stack([scores[owners == video].max(axis=0) for video in videos])
    for place, video in enumerate(videos):
        column, right = groups[:, video], groups[place, video]
        found["video_to_text"].append(((column > right).sum(), (column == right).sum() - 1))
        others = scores[owners != video, video]
        found["video_to_text_all_captions"].append(
            ((others > right).sum(), (others == right).sum())
        )
    return found


@given(scores_with_ties(), st.integers(1, 30))
def test_blocks_of_any_size_give_the_ranks_of_the_whole_matrix(case, scores_per_block):
    scores, owners = case

    ranks = retrieval_ranks(
        ScoreBlocks.of_matrix(scores), owners, scores_per_block=scores_per_block
    )

    assert_identical(ranks, retrieval_ranks(ScoreBlocks.of_matrix(scores), owners))
    for direction, expected in ranked_by_hand(scores, owners).items():
        ours = getattr(ranks, direction)
        assert list(zip(ours.num_better, ours.num_equal, strict=True)) == expected


@st.composite
def embeddings_with_ties(draw):
    """Unit vectors of which some are equal, so that scores tie only if products are exact."""
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**16)))
    num_captions, num_videos = draw(st.integers(1, 60)), draw(st.integers(1, 40))
    dim = draw(st.sampled_from([3, 64, 512]))
    distinct = torch.nn.functional.normalize(torch.randn(7, dim, generator=generator), dim=-1)
    captions, videos, owners = (
        torch.randint(high, (size,), generator=generator)
        for high, size in ((7, num_captions), (7, num_videos), (num_videos, num_captions))
    )
    return distinct[captions], distinct[videos], owners


@given(embeddings_with_ties(), st.integers(1, 500))
def test_embeddings_in_blocks_give_the_ranks_of_their_whole_product(case, scores_per_block):
    captions, videos, owners = case

    blocks = ScoreBlocks.of_embeddings(captions, videos)
    ranks = retrieval_ranks(blocks, owners, scores_per_block=scores_per_block)

    product = blocks.rows(torch.arange(len(captions)))
    assert_identical(ranks, retrieval_ranks(ScoreBlocks.of_matrix(product), owners))


def test_equal_videos_tie_wherever_they_stand():
    generator = torch.Generator().manual_seed(0)
    captions, videos = (
        torch.nn.functional.normalize(torch.randn(size, 512, generator=generator), dim=-1)
        for size in (37, 1)
    )

    scores = ScoreBlocks.of_embeddings(captions, videos.repeat(1001, 1)).rows(torch.arange(37))

    assert bool((scores == scores[:, :1]).all())


def test_a_thousand_by_a_thousand_with_exact_ties():
    # Each group of ten videos ties, and the right one is among the best: rank 1 + 9/2.
    group = torch.arange(1000) // 10
    scores = (group[:, None] == group).float()

    report = retrieval_metrics(scores, range(1000))

    for metrics in (report.text_to_video, report.video_to_text, report.video_to_text_all_captions):
        assert metrics.recall_at_1 == pytest.approx(10)
        assert metrics.recall_at_5 == pytest.approx(50)
        assert metrics.recall_at_10 == 100
        assert metrics.mean_rank == metrics.median_rank == 5.5


def test_a_constant_thousand_by_a_thousand_is_exactly_chance():
    report = retrieval_metrics(np.full((1000, 1000), 0.25, np.float16), range(1000))

    for metrics in (report.text_to_video, report.video_to_text, report.video_to_text_all_captions):
        assert metrics.recall_at_1 == pytest.approx(0.1, rel=1e-12)
        assert metrics.recall_at_10 == pytest.approx(1.0, rel=1e-12)
        assert metrics.mean_rank == metrics.median_rank == 500.5


def test_the_item_that_came_first_is_named():
    scores = torch.tensor([[0.9, 0.1, 0.0], [0.8, 0.2, 0.0], [0.1, 0.3, 0.7]])

    ranks = retrieval_ranks(ScoreBlocks.of_matrix(scores), [0, 1, 1])

    assert ranks.text_to_video.first.tolist() == [0, 0, 2]
    assert ranks.text_to_video.correct.tolist() == [0, 1, 1]
    assert ranks.video_to_text.query.tolist() == ranks.video_to_text.correct.tolist() == [0, 1]
    assert ranks.video_to_text.first.tolist() == [0, 1]
    assert ranks.video_to_text_all_captions.correct.tolist() == [0, 2]
    assert ranks.video_to_text_all_captions.first.tolist() == [0, 2]
    assert ranks.video_to_text_all_captions.num_items.tolist() == [3, 2]


def test_in_a_tie_for_the_first_place_the_right_item_is_named():
    ranks = retrieval_ranks(ScoreBlocks.of_matrix(torch.zeros(3, 3)), range(3))

    for direction in DIRECTIONS:
        assert getattr(ranks, direction).first.tolist() == [0, 1, 2]


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int8, ">f4", np.bool_])
def test_numbers_of_any_kind_rank_alike(dtype):
    scores = np.array([[3, 1, 2], [0, 3, 3], [1, 2, 2]]) > 1
    expected = retrieval_ranks(ScoreBlocks.of_matrix(torch.tensor(scores).double()), range(3))

    assert_identical(
        retrieval_ranks(ScoreBlocks.of_matrix(scores.astype(dtype)), range(3)), expected
    )


def test_a_matrix_in_a_file_is_ranked_where_it_lies(tmp_path):
    scores = np.random.default_rng(0).integers(0, 9, (40, 30)).astype(np.float32)
    np.save(tmp_path / "scores.npy", scores)
    mapped = np.load(tmp_path / "scores.npy", mmap_mode="r")
    owners = np.arange(40) % 30

    ranks = retrieval_ranks(ScoreBlocks.of_matrix(mapped), owners, scores_per_block=100)

    assert_identical(ranks, retrieval_ranks(ScoreBlocks.of_matrix(scores), owners))


@given(st.integers(1, 20), st.sampled_from([torch.nan, torch.inf, -torch.inf]))
def test_what_is_not_finite_is_refused_with_its_first_row_whatever_the_blocks(
    scores_per_block, bad
):
    scores = torch.zeros(4, 3)
    scores[1, 2] = scores[3, 0] = bad

    with pytest.raises(DataError, match=r"NaN or infinity in 2 rows, row 1 \(caption\) first"):
        retrieval_ranks(
            ScoreBlocks.of_matrix(scores), [2, 1, 0, 0], scores_per_block=scores_per_block
        )


@given(scores_with_ties(), st.integers(1, 30))
def test_no_more_scores_are_held_than_a_block_of_them(case, scores_per_block):
    scores, owners = case
    blocks, held = ScoreBlocks.of_matrix(scores), []

    def rows(positions):
        held.append(len(positions))
        return blocks.rows(positions)

    watched = dataclasses.replace(blocks, rows=rows)
    retrieval_ranks(watched, owners, scores_per_block=scores_per_block)

    assert sum(held) == 2 * len(scores)
    assert max(held) <= max(1, scores_per_block // scores.shape[1])


def test_a_report_sums_up_the_ranks():
    ranks = retrieval_ranks(ScoreBlocks.of_matrix(torch.eye(4)), range(4))

    assert RetrievalReport.from_ranks(ranks) == retrieval_metrics(torch.eye(4), range(4))
