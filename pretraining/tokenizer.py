"""Words in, a byte-level BPE in CLIP's format out, with each of those words as one token."""

import itertools
import json
import random
from collections import Counter
from pathlib import Path

from captions import say
from facts import DETAILS, all_facts
from transformers import CLIPTokenizer

PAD, START, END = "<|pad|>", "<|startoftext|>", "<|endoftext|>"
CONTEXT = 40
"""Most tokens of a caption, start and end included."""

# What captions of videos say. The tiny CLIP never sees these words in pretraining: they are here so
# that an adapter finds each as one token.
_MOTION = """
a after again all along alone an and another anticlockwise appear appearing appears are around as at
away back background backwards before behind between blink blinking blinks both bounces bouncing
bright by change changes circles clockwise closer color colour comes corner counterclockwise
cross crosses crossing dark diagonally disappear disappearing disappears do does down downward
downwards drops during each edge enter entering enters every exits expands fades fall falling falls
far fast faster finally first five fly flies follow followed follows forward four from front fully
gets go goes going gone grow growing grows half hides high hits horizontally hovers in inside into
is it its itself jump jumping jumps keeps larger last later leave leaves leaving left line little
low lower meets middle moment move moved movement moves moving near never no not nothing now of off
on once one only onto opposite other out outside over past path picture quick quickly remains
returns reverse right rise rises rising rolls rotate rotates rotating round same scene second see
seen shape shapes shortly show shown shows shrink shrinking shrinks side sides sink sinks sits six
size slide slides sliding slow slower slowly small smaller spin spinning spins stands start starts
starting stay staying stays still stop stops straight swap swaps switch that the their them then
there they third three through time times to together top touch touches toward towards travel
travels turn turning turns twice two under until up upper upward upwards vanishes vertically very
video wait waits where which while white with without zigzag
"""
MOTION_WORDS = tuple(_MOTION.split())


def write_tokenizer(folder: Path) -> None:
    """Write the tokenizer's files into a folder."""
    vocabulary, merges = train(word_counts())
    tokenizer = CLIPTokenizer(
        vocab=vocabulary, merges=merges, pad_token=PAD, model_max_length=CONTEXT
    )
    tokenizer.save_pretrained(folder)
    # tokenizer.json suffices for transformers; these two are CLIP's original format.
    (folder / "vocab.json").write_text(json.dumps(vocabulary, ensure_ascii=False), "utf-8")
    lines = ["#version: 0.2", *(" ".join(pair) for pair in merges)]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n", "utf-8")


def word_counts() -> Counter[str]:
    """Count the words of one caption of every fact, and each word of motion once."""
    rng = random.Random("tokenizer")
    counts = Counter(MOTION_WORDS)
    for family in DETAILS:
        for fact in all_facts(family):
            counts.update(say(fact, rng).replace(",", "").split())
    return counts


def train(counts: Counter[str]) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Merge the commonest neighbours until every word is one token; ties go by the alphabet."""
    words = {word: (*word[:-1], f"{word[-1]}</w>") for word in counts}
    merges: list[tuple[str, str]] = []
    while pairs := _count_pairs(words, counts):
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges.append(best)
        words = {word: _merge(parts, best) for word, parts in words.items()}
    symbols = _byte_symbols()
    tokens = [*symbols, *(f"{symbol}</w>" for symbol in symbols), *map("".join, merges)]
    # The end has the highest id, because OpenAI's own code finds it by argmax.
    tokens = [*dict.fromkeys(tokens), PAD, START, END]
    return {token: index for index, token in enumerate(tokens)}, merges


def _count_pairs(
    words: dict[str, tuple[str, ...]], counts: Counter[str]
) -> Counter[tuple[str, str]]:
    pairs: Counter[tuple[str, str]] = Counter()
    for word, parts in words.items():
        for pair in itertools.pairwise(parts):
            pairs[pair] += counts[word]
    return pairs


def _merge(parts: tuple[str, ...], pair: tuple[str, str]) -> tuple[str, ...]:
    merged: list[str] = []
    for part in parts:
        if merged and (merged[-1], part) == pair:
            merged[-1] += part
        else:
            merged.append(part)
    return tuple(merged)


def _byte_symbols() -> list[str]:
    """The 256 bytes as GPT-2 prints them: those without a visible sign move above 255."""
    visible = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = [byte for byte in range(256) if byte not in visible]
    return [chr(byte) for byte in visible] + [chr(256 + index) for index in range(len(hidden))]
