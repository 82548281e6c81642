"""Numbers in, the tiny CLIP's model card out."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"

_CARD = """\
---
license: apache-2.0
library_name: transformers
pipeline_tag: zero-shot-image-classification
---

# Tiny CLIP

A real CLIP of {weights} weights, for demonstrations and tests that must run anywhere in seconds.
It knows one small world: coloured shapes on a dark background, where they are, how big, how many,
and how two of them lie to each other.
It knows nothing of photographs, and nothing of motion: that is what an adapter adds.

It was pretrained from nothing on two CPU cores by `pretraining/pretrain_tiny.py`, with random seed
{seed}: {steps} steps, {pictures} pictures drawn on the way, {minutes:.0f} minutes.
Its loss is CLIP's own (symmetric InfoNCE with a learned temperature).
In the first {few_share:.0f} % of the steps two linear layers, thrown away since, also asked the
vision tower which thing each patch shows and what lies where, with a share that falls to zero.
A run without them knew every colour and place after 90,000 pictures, but told only 3 in 10 kinds.
In those steps it saw the 28 fullest of the 64 patches of each picture.

| | vision | text |
|---|---|---|
| layers | {vision[num_hidden_layers]} | {text[num_hidden_layers]} |
| width | {vision[hidden_size]} | {text[hidden_size]} |
| heads | {vision[num_attention_heads]} | {text[num_attention_heads]} |
| input | {vision[image_size]} x {vision[image_size]} px in patches of {vision[patch_size]} px \
| at most {text[max_position_embeddings]} of {text[vocab_size]} tokens |

Both towers end in a shared space of {dim} dimensions. The weights are float16.

## What it was shown

Captions of nine families, each in several wordings: one thing ("a single red circle"), its place
("a red circle on the left"; nine places), its size ("a big blue star"), size and place, a count
("three green squares"; two to four), two things ("a red circle and a blue square"), their relation
("a yellow ring above a purple cross"), their sizes, and two opposite corners.
Things are 8 colours times 8 kinds. Centres, radii, background, brightness, blur, colour resolution
and noise vary; shapes are partly outside now and then.

One fact in ten is held out by a hash of its canonical caption, and every wording of a held-out fact
with it. Batches hold no caption that is true of another one's picture; most facts bring hard
negatives along: something else of the same things, or the same of another kind or colour.

The tokenizer is byte-level BPE in CLIP's format. The words of the captions above and some 250 words
that captions of videos use are single tokens; the latter were never trained.

## What was measured

{measured}

## Limits

Eight kinds and eight colours, at most four shapes, radii of 8 to 27 % of the side, upright, on dark
backgrounds. No two things of one picture overlap by much.
Relations are those of the drawn centres; "between", "inside" and "behind" mean nothing to it.
Words of motion and time are in the vocabulary, with the weights of their random start;
so have the text positions beyond the longest caption of a picture (19 tokens).
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What a pretraining run was."""

    seed: int
    steps: int
    pictures: int
    seconds: float
    full_from: float


def write_card(folder: Path, run: Run, num_weights: int) -> None:
    """Write the card of a fresh model, which nobody has measured yet."""
    config = json.loads((folder / "config.json").read_text("utf-8"))
    card = _CARD.format(
        weights=f"{num_weights / 1e6:.1f} million",
        minutes=run.seconds / 60.0,
        few_share=100.0 * run.full_from,
        vision=config["vision_config"],
        text=config["text_config"],
        dim=config["projection_dim"],
        measured=f"{BEGIN}\nNot measured yet: run `python pretraining/evaluate_tiny.py`.\n{END}",
        **{name: value for name, value in asdict(run).items() if name in {"seed", "steps"}},
        pictures=f"{run.pictures:,}",
    )
    (folder / "README.md").write_text(card, "utf-8")


def write_measured(folder: Path, measured: str) -> None:
    """Replace the measured part of the card, as one move."""
    card = (folder / "README.md").read_text("utf-8")
    before, _, rest = card.partition(BEGIN)
    _, _, after = rest.partition(END)
    writing = folder / "README.md.writing"
    writing.write_text(f"{before}{BEGIN}\n{measured}\n{END}{after}", "utf-8")
    writing.replace(folder / "README.md")
