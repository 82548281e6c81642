"""The loss, with and without captions that are the same."""

import math

import pytest
import torch
import torch.nn.functional as F

from mvadapter.training.loss import symmetric_info_nce


@pytest.fixture
def embeddings():
    generator = torch.Generator().manual_seed(0)
    captions, videos = (F.normalize(torch.randn(4, 8, generator=generator)) for _ in range(2))
    captions[2] = captions[0]
    return captions, videos


def same(pairs, size=4):
    is_same = torch.eye(size, dtype=torch.bool)
    for i, j in pairs:
        is_same[i, j] = is_same[j, i] = True
    return is_same


def test_without_equal_captions_masking_changes_nothing(embeddings):
    assert symmetric_info_nce(*embeddings, 10.0, same([])) == symmetric_info_nce(*embeddings, 10.0)


def test_equal_captions_are_no_wrong_answers_of_each_other(embeddings):
    captions, videos = embeddings

    loss = symmetric_info_nce(captions, videos, 10.0, same([(0, 2)]))

    # By hand: each sum leaves out the other one of the two.
    scores = 10.0 * captions @ videos.T
    total = 0.0
    for matrix in (scores, scores.T):
        for i in range(4):
            rivals = [j for j in range(4) if {i, j} != {0, 2}]
            total += torch.logsumexp(matrix[i, rivals], dim=0) - matrix[i, i]
    torch.testing.assert_close(loss, total / 8)


def test_with_all_captions_equal_there_is_nothing_to_learn(embeddings):
    captions, videos = (part.clone().requires_grad_() for part in embeddings)

    loss = symmetric_info_nce(captions, videos, 10.0, torch.ones(4, 4, dtype=torch.bool))
    loss.backward()

    assert loss.item() == 0
    assert captions.grad.isfinite().all()
    assert (captions.grad == 0).all()


def test_the_loss_of_guessing_is_the_logarithm_of_the_batch():
    equal = F.normalize(torch.ones(6, 8))

    assert symmetric_info_nce(equal, equal, 100.0).item() == pytest.approx(math.log(6))
