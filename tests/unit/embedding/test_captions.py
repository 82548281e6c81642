"""Captions that a model cannot tell apart are counted."""

from pathlib import Path

import pytest

from mvadapter.backbone.clip import Backbone
from mvadapter.data.records import Record
from mvadapter.embedding.captions import look_at_captions


@pytest.fixture(scope="module")
def tokenizer():
    return Backbone.load("tiny").tokenizer


def records(*captions):
    return [
        Record(id=str(number), video=Path(f"{number}.mp4"), captions=texts)
        for number, texts in enumerate(captions)
    ]


def test_captions_that_are_cut_are_counted(tokenizer):
    long = "a red circle and a blue square " * 5

    found = look_at_captions(tokenizer, records((long, "short"), (long + "x",)), 16)

    assert (found.num_captions, found.num_cut) == (3, 2)
    assert found.cut_note() == (
        f"2 of 3 captions are longer than max_tokens=16, and their ends are left out; this CLIP "
        f"takes up to {tokenizer.max_tokens} (inputs.max_tokens of the training)"
    )


def test_captions_that_differ_where_they_are_cut_are_the_same(tokenizer):
    long = "a red circle and a blue square " * 5

    found = look_at_captions(tokenizer, records((f"{long} one",), (f"{long} two",)), 16)

    assert found.num_equal == 2


def test_equal_captions_of_several_records_are_counted_and_those_of_one_are_not(tokenizer):
    found = look_at_captions(
        tokenizer, records(("a dog", "a cat", "a cat"), ("A  Dog", "a bird"), ("a dog",)), 16
    )

    assert found.num_equal == 3
    assert "3 of 6 captions are the same as one of another video" in found.equal_note()


def test_there_is_nothing_to_say_of_sound_captions(tokenizer):
    found = look_at_captions(tokenizer, records(("a dog",), ("a cat",)), 16)

    assert (found.cut_note(), found.equal_note()) == (None, None)
