"""What a tokenizer makes of captions that are too long, or no text."""

from unittest import mock

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mvadapter.backbone import tokens
from mvadapter.backbone.clip import Backbone
from mvadapter.errors import DataError

WORDS = st.text("abcdef '!1\u00e9\u00a0", min_size=1, max_size=12)


@pytest.fixture(scope="module")
def tokenizer():
    return Backbone.load("tiny").tokenizer


@given(st.lists(WORDS, min_size=20, max_size=60), st.sampled_from([" ", "  \n", "\t"]))
def test_a_bounded_caption_keeps_its_first_tokens(tokenizer, words, space):
    caption, longest = space.join(words), 8
    # So few that captions of this length are bounded.
    with mock.patch.object(tokens, "_CHARACTERS_PER_TOKEN", 15):
        bounded = tokens._bounded(caption, longest)

    complete = tokenizer._tokenizer.encode(caption).ids
    kept = tokenizer._tokenizer.encode(bounded).ids

    assert kept[: longest - 1] == complete[: longest - 1]
    assert (len(kept) > longest) == (len(complete) > longest)


@pytest.mark.parametrize(
    ("beginning", "rest"),
    [("a red circle ", "and then "), ("x", "yz"), ("12", "34"), ("a ", "\u00a0b"), ("e", "\u0301")],
)
def test_a_very_long_caption_has_the_tokens_of_its_beginning(tokenizer, beginning, rest):
    shorter = beginning + rest * (30_000 // len(rest))
    longer = beginning + rest * (2_000_000 // len(rest))

    ids, mask = tokenizer.encode([shorter, longer], 32)

    assert len(tokens._bounded(shorter, 32)) == len(shorter)
    assert len(tokens._bounded(longer, 32)) <= 32_000
    assert torch.equal(ids[0], ids[1])
    assert mask.all()
    assert tokenizer.count_cut([shorter, longer], 32) == 2
    assert tokenizer.left_out(longer, 32)


def test_words_after_a_long_gap_are_not_lost(tokenizer):
    ids, _ = tokenizer.encode(["a" + " " * 100_000 + "b", "a b"], 8)

    assert torch.equal(ids[0], ids[1])


def test_what_is_left_out_is_the_end_of_the_text(tokenizer):
    caption = "one two three four five six seven eight nine ten"

    left_out = tokenizer.left_out(caption, 8)

    assert left_out
    assert caption.endswith(left_out)
    kept = caption.removesuffix(left_out)
    assert torch.equal(tokenizer.encode([caption], 8)[0], tokenizer.encode([kept], 8)[0])
    assert tokenizer.left_out(kept, 8) == ""


@pytest.mark.parametrize("caption", ["\ud83d", "a dog \udcff"])
def test_half_a_character_is_refused(tokenizer, caption):
    with pytest.raises(DataError, match="contains half a character"):
        tokenizer.encode([caption], 8)
