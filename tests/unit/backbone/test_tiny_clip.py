import importlib
import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from transformers import AutoTokenizer, CLIPModel, CLIPTokenizer

from mvadapter import Backbone

ROOT = Path(__file__).parents[3]
TINY = ROOT / "src" / "mvadapter" / "backbone" / "tiny"


@pytest.fixture(scope="module")
def evaluate_tiny():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "pretraining"))
        before = set(sys.modules)
        yield importlib.import_module("evaluate_tiny")
        for name in set(sys.modules) - before:
            if str(ROOT / "pretraining") in str(getattr(sys.modules[name], "__file__", "")):
                del sys.modules[name]


@pytest.fixture(scope="module")
def tokenizer():
    return CLIPTokenizer.from_pretrained(TINY, local_files_only=True)


def test_the_folder_is_under_8_megabytes():
    assert sum(file.stat().st_size for file in TINY.rglob("*")) < 8e6


def test_every_weight_is_float16():
    with safe_open(TINY / "model.safetensors", "numpy") as file:
        kinds = {file.get_tensor(name).dtype for name in file.keys()}  # noqa: SIM118

    assert kinds == {np.dtype(np.float16)}


def test_transformers_loads_every_weight_offline():
    _, info = CLIPModel.from_pretrained(TINY, local_files_only=True, output_loading_info=True)

    assert not info["missing_keys"]
    assert not info["unexpected_keys"]


def test_the_config_names_the_tokens_of_the_tokenizer(tokenizer):
    config = json.loads((TINY / "config.json").read_text("utf-8"))["text_config"]

    assert config["vocab_size"] == len(tokenizer)
    assert config["bos_token_id"] == tokenizer.bos_token_id
    assert config["eos_token_id"] == tokenizer.eos_token_id
    assert config["pad_token_id"] == tokenizer.pad_token_id
    assert config["max_position_embeddings"] >= 34


def test_a_caption_of_motion_is_one_token_a_word_between_start_and_end(tokenizer):
    caption = "an orange star moves slowly from left to right while two blue rings blink twice"

    ids = tokenizer(caption)["input_ids"]

    assert ids[0] == tokenizer.bos_token_id
    assert ids[-1] == tokenizer.eos_token_id
    assert len(ids) == len(caption.split()) + 2


def test_padding_differs_from_the_end(tokenizer):
    ids = tokenizer(["a star", "a big red star"], padding=True)["input_ids"]

    assert tokenizer.pad_token_id != tokenizer.eos_token_id
    assert ids[0][-3:] == [tokenizer.eos_token_id, tokenizer.pad_token_id, tokenizer.pad_token_id]


@pytest.mark.parametrize("text", ["a red circle moves", "zürich 東京 ☃", "never-seen? words!"])
def test_any_text_comes_back_from_its_tokens(text, tokenizer):
    back = tokenizer.decode(tokenizer(text)["input_ids"], skip_special_tokens=True)

    assert back.replace(" ", "") == text.replace(" ", "")


def test_auto_tokenizer_reads_the_folder_the_same_way(tokenizer):
    caption = "A Red circle, above a blue ring"

    automatic = AutoTokenizer.from_pretrained(TINY, local_files_only=True)

    assert automatic(caption)["input_ids"] == tokenizer(caption)["input_ids"]


def test_the_model_card_states_recall_of_at_least_88_percent_both_ways_over_500_captions():
    card = (TINY / "README.md").read_text("utf-8")

    recalls = [float(number) for number in re.findall(r"R@1 ([0-9.]+) %", card)]
    (captions,) = re.findall(r"(\d+) distinct held-out captions", card)
    assert len(recalls) == 2
    assert min(recalls) >= 88.0
    assert int(captions) >= 500


def test_the_tiny_clip_finds_held_out_captions_and_pictures(evaluate_tiny):
    examples = evaluate_tiny.held_out_examples(100, seed=1)
    pictures = evaluate_tiny.photograph([e.shapes for e in examples], np.random.default_rng(1))
    clip = evaluate_tiny.TinyClip(TINY)

    scores = clip.embed_captions([e.caption for e in examples]) @ clip.embed_pictures(pictures).T

    assert evaluate_tiny.recall_at_1(scores).mean() >= 0.8
    assert evaluate_tiny.recall_at_1(scores.T).mean() >= 0.8


def test_no_held_out_fact_is_trained_on(evaluate_tiny):
    captions = importlib.import_module("captions")
    held_out = {example.fact for example in captions.held_out_examples(512, seed=0)}

    trained = {
        example.fact
        for seed in range(5)
        for example in captions.training_batch(256, captions.random.Random(seed))
    }

    assert not held_out & trained


def test_constant_scores_earn_exactly_chance(evaluate_tiny):
    scores = evaluate_tiny.torch.zeros(4, 4)

    assert evaluate_tiny.recall_at_1(scores).tolist() == [0.25] * 4


def test_the_fingerprint_stays_what_saved_adapters_and_indexes_hold():
    # Printed by this version. Another one would refuse every adapter and index made before.
    assert Backbone.load("tiny").fingerprint == (
        "62359d9e67bc241b1443a31844387ef53e922391bfe5576be5a7d9e0cf3e9ffb"
    )
