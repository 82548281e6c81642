"""Measure the tiny CLIP on held-out captions and write the numbers into its model card.

python pretraining/evaluate_tiny.py [--captions 512] [--seed 0]
"""

import argparse
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch
from captions import Example, canonical, held_out_examples
from facts import alternatives
from model_card import write_measured
from pictures import photograph, pixels_of
from torch.nn import functional
from transformers import CLIPModel, CLIPTokenizer

TINY = Path(__file__).parents[1] / "src" / "mvadapter" / "backbone" / "tiny"


class TinyClip:
    """The shipped model in float32, as a function from pictures and captions to unit vectors."""

    def __init__(self, folder: Path) -> None:
        self._model = CLIPModel.from_pretrained(
            folder, local_files_only=True, dtype=torch.float32
        ).eval()
        self._tokenizer = CLIPTokenizer.from_pretrained(folder, local_files_only=True)

    @torch.inference_mode()
    def embed_pictures(self, pictures: np.ndarray) -> torch.Tensor:
        """Embed pictures [picture row column color]."""
        chunks = [pixels_of(pictures[i : i + 64]) for i in range(0, len(pictures), 64)]
        features = [self._model.get_image_features(chunk).pooler_output for chunk in chunks]
        return functional.normalize(torch.cat(features), dim=1)

    @torch.inference_mode()
    def embed_captions(self, captions: list[str]) -> torch.Tensor:
        """Embed captions."""
        tokens = self._tokenizer(captions, padding=True, return_tensors="pt")
        return functional.normalize(self._model.get_text_features(**tokens).pooler_output, dim=1)


def main() -> None:
    """Measure, print, and write the card."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=TINY)
    parser.add_argument("--captions", type=int, default=512)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    examples = held_out_examples(options.captions, options.seed)
    scenes = [example.shapes for example in examples]
    pictures = photograph(scenes, np.random.default_rng([options.seed, 1]))
    clip = TinyClip(options.folder)
    embeddings = clip.embed_pictures(pictures)
    scores = clip.embed_captions([example.caption for example in examples]) @ embeddings.T
    closed = closed_choice(clip, examples, embeddings)
    text = measured_text(examples, scores, closed, options.seed)
    write_measured(options.folder, text)
    print(text)


def recall_at_1(scores: torch.Tensor) -> torch.Tensor:
    """Credit each row whose diagonal entry is best; ties count as their expectation."""
    right = scores.diagonal()[:, None]
    better = (scores > right).sum(dim=1)
    ties = (scores == right).sum(dim=1) - 1
    return ((1.0 - better) / (ties + 1.0)).clamp(0.0, 1.0)


def closed_choice(
    clip: TinyClip, examples: list[Example], embeddings: torch.Tensor
) -> dict[str, list[bool]]:
    """Ask, for each picture, for the right caption among all those about the same things."""
    outcomes: defaultdict[str, list[bool]] = defaultdict(list)
    for example, embedding in zip(examples, embeddings, strict=True):
        facts = [example.fact, *(f for f in alternatives(example.fact) if f != example.fact)]
        if len(facts) > 1:
            scores = clip.embed_captions([canonical(fact) for fact in facts]) @ embedding
            outcomes[example.fact.family].append(bool(scores[0] > scores[1:].max()))
    return outcomes


def measured_text(
    examples: list[Example],
    scores: torch.Tensor,
    closed: dict[str, list[bool]],
    seed: int,
) -> str:
    """Word the numbers for the card."""
    by_caption, by_picture = recall_at_1(scores), recall_at_1(scores.T)
    distinct = len({example.caption for example in examples})
    lines = [
        f"`python pretraining/evaluate_tiny.py --captions {len(examples)} --seed {seed}`: "
        f"{distinct} distinct held-out captions,",
        "each with one freshly drawn picture. By the drawing rules no caption is true of another",
        "one's picture (candidates that were, with generous margins, were left out).",
        "",
        f"- caption to picture: R@1 {_percent(by_caption)} %",
        f"- picture to caption: R@1 {_percent(by_picture)} %",
        "",
        "Most other captions in that list are about other things, so the last column asks more:",
        "the right caption among all those of its family about the *same* things, in one wording.",
        "",
        "| family | captions | caption to picture | picture to caption | same things (choices) |",
        "|---|---|---|---|---|",
    ]
    for family in dict.fromkeys(example.fact.family for example in examples):
        rows = torch.tensor([example.fact.family == family for example in examples])
        same = closed.get(family, [])
        facts = [example.fact for example in examples if example.fact.family == family]
        most = max(len(alternatives(fact)) for fact in facts)
        choices = f"{_percent(same)} % ({most})" if same else "-"
        lines.append(
            f"| {family} | {int(rows.sum())} | {_percent(by_caption[rows])} % "
            f"| {_percent(by_picture[rows])} % | {choices} |"
        )
    return "\n".join(lines)


def _percent(shares: torch.Tensor | list[bool]) -> str:
    return f"{100.0 * torch.as_tensor(shares, dtype=torch.float64).mean().item():.1f}"


if __name__ == "__main__":
    main()
