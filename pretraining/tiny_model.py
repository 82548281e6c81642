"""The model that is pretrained, and what it is asked besides matching captions."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from captions import Example
from facts import THINGS, Thing
from pictures import SIZE_PX
from tokenizer import CONTEXT
from torch import nn
from torch.nn import functional
from transformers import CLIPConfig, CLIPModel, CLIPTokenizer

from mvadapter.synthetic.scenes import COLORS, KINDS, Shape, draw_batch

PATCH_PX = 8
SIDE = SIZE_PX // PATCH_PX
GRID = 5
"""Rows and columns of the cells that the pretext asks for."""


class Pupil(nn.Module):
    """A CLIP, with two linear layers that read off its tokens what lies where.

    Contrastive learning alone knew every colour and place after 90,000 pictures, but told only 3 in
    10 kinds: an edge says nothing before its neighbours are known. Asking each patch which thing it
    shows, and the class token what lies where, made that 19 in 20 after 115,000 pictures. Both
    layers are thrown away.
    """

    def __init__(self, config: CLIPConfig) -> None:
        super().__init__()
        self.clip = CLIPModel(config)
        start_vision(self.clip)
        width = config.vision_config.hidden_size
        self._sizes = (len(THINGS), len(COLORS) * GRID**2, len(KINDS) * GRID**2)
        self.ask_class = nn.Linear(width, sum(self._sizes))
        self.ask_patch = nn.Linear(width, len(THINGS) + 1)

    def forward(
        self, pixels: torch.Tensor, tokens: dict[str, torch.Tensor], num_patches: int
    ) -> "Guesses":
        """Score captions against pictures and guess what lies where, by the fullest patches."""
        clip, tower = self.clip, self.clip.vision_model
        hidden = tower.embeddings(pixels)
        seen = fullest_patches(pixels, tower.config.patch_size, num_patches)
        patches = hidden[:, 1:].gather(1, seen[:, :, None].expand(-1, -1, hidden.shape[2]))
        hidden = torch.cat((hidden[:, :1], patches), dim=1)
        hidden = tower.encoder(inputs_embeds=tower.pre_layrnorm(hidden)).last_hidden_state
        hidden = tower.post_layernorm(hidden)
        pictures = functional.normalize(clip.visual_projection(hidden[:, 0]), dim=1)
        captions = clip.text_projection(clip.text_model(**tokens).pooler_output)
        scores = functional.normalize(captions, dim=1) @ pictures.T * clip.logit_scale.exp()
        return Guesses(
            scores=scores,
            of_class=self.ask_class(hidden[:, 0]).split(self._sizes, dim=1),
            of_patches=self.ask_patch(hidden[:, 1:]),
            seen=seen,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Guesses:
    """What a pupil makes of a batch."""

    scores: torch.Tensor
    """[caption picture], times the temperature."""
    of_class: tuple[torch.Tensor, ...]
    """[picture choice] each: which things, which colours in which cells, which kinds in which."""
    of_patches: torch.Tensor
    """[picture patch thing], the last thing being nothing."""
    seen: torch.Tensor
    """[picture patch]: the patches that were looked at."""


def pretext_loss(guesses: Guesses, examples: Sequence[Example]) -> torch.Tensor:
    """Cross entropy of the patches' things, plus the mean of the class token's three."""
    losses = []
    for guess, answers in zip(guesses.of_class, _class_answers(examples), strict=True):
        logs = guess.log_softmax(dim=1)
        losses.append(-torch.stack([row[i].mean() for row, i in zip(logs, answers, strict=True)]))
    things = torch.from_numpy(_patch_answers(examples)).gather(1, guesses.seen)
    weight = torch.ones(len(THINGS) + 1)
    weight[-1] = 0.1
    patches = functional.cross_entropy(guesses.of_patches.flatten(0, 1), things.flatten(), weight)
    return torch.stack(losses).mean() + patches


def _class_answers(examples: Sequence[Example]) -> tuple[list[list[int]], ...]:
    """List for each picture its things, its colours in cells and its kinds in cells."""
    things, colors, kinds = [], [], []
    for example in examples:
        shapes = example.shapes
        cells = [_cell(shape) for shape in shapes]
        things.append([_thing(shape) for shape in shapes])
        colors.append(
            [list(COLORS).index(s.color) * GRID**2 + c for s, c in zip(shapes, cells, strict=True)]
        )
        kinds.append(
            [KINDS.index(s.kind) * GRID**2 + c for s, c in zip(shapes, cells, strict=True)]
        )
    return things, colors, kinds


def _patch_answers(examples: Sequence[Example]) -> np.ndarray:
    """Name for each patch [picture patch] the thing that covers most of it, or nothing."""
    owners = [index for index, example in enumerate(examples) for _ in example.shapes]
    shapes = [shape for example in examples for shape in example.shapes]
    size_px = 4 * SIDE
    alone = draw_batch(
        [(replace(shape, color="white"),) for shape in shapes], size_px, [(0, 0, 0)] * len(shapes)
    )
    shares = alone[..., 0].reshape(len(shapes), SIDE, 4, SIDE, 4).mean(axis=(2, 4)) / 255.0
    answers = np.full((len(examples), SIDE**2), len(THINGS))
    most = np.full((len(examples), SIDE**2), 0.08)
    for owner, shape, share in zip(owners, shapes, shares.reshape(len(shapes), -1), strict=True):
        more = share > most[owner]
        answers[owner][more] = _thing(shape)
        most[owner][more] = share[more]
    return answers


def _thing(shape: Shape) -> int:
    return THINGS.index(Thing(shape.color, shape.kind))


def _cell(shape: Shape) -> int:
    column, row = (min(GRID - 1, max(0, int(GRID * at))) for at in (shape.x, shape.y))
    return row * GRID + column


def fullest_patches(pixels: torch.Tensor, patch_size: int, count: int) -> torch.Tensor:
    """Find the patches that differ most from the picture's background."""
    background = pixels.flatten(2).median(dim=2).values[:, :, None, None]
    difference = (pixels - background).abs().mean(dim=1, keepdim=True)
    fullness = functional.avg_pool2d(difference, patch_size).flatten(1)
    return fullness.topk(count, dim=1).indices


def tiny_config(tokenizer: CLIPTokenizer) -> CLIPConfig:
    """Describe the tiny CLIP: 64-px pictures in 8-px patches, 2.6 million weights."""
    tower = {"attention_dropout": 0.0, "hidden_act": "quick_gelu"}
    ids = {
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
    }
    text = {
        "hidden_size": 128,
        "intermediate_size": 512,
        "num_hidden_layers": 3,
        "num_attention_heads": 2,
        "vocab_size": len(tokenizer),
        "max_position_embeddings": CONTEXT,
        "projection_dim": 128,
    }
    vision = {
        "hidden_size": 192,
        "intermediate_size": 768,
        "num_hidden_layers": 4,
        "num_attention_heads": 3,
        "image_size": SIZE_PX,
        "patch_size": PATCH_PX,
        "projection_dim": 128,
    }
    return CLIPConfig(
        text_config={**tower, **ids, **text}, vision_config={**tower, **vision}, projection_dim=128
    )


@torch.no_grad()
def start_vision(model: CLIPModel) -> None:
    """Start positions as waves along both axes, and patches three times larger than usual.

    Transformers starts positions twenty times smaller than what the patches show; a run of 100,000
    pictures then knew every colour and not one place. Larger patches bring the kinds sooner.
    """
    embeddings = model.vision_model.embeddings
    side, width = embeddings.num_patches**0.5, embeddings.embed_dim
    steps = torch.arange(int(side), dtype=torch.float32)
    waves = steps[:, None] * 20.0 ** -torch.linspace(0.0, 1.0, width // 4)
    axis = torch.cat((waves.sin(), waves.cos()), dim=1)
    rows = axis[:, None, :].expand(-1, len(steps), -1)
    columns = axis[None, :, :].expand(len(steps), -1, -1)
    grid = torch.cat((rows, columns), dim=2).reshape(-1, width)
    embeddings.position_embedding.weight[1:] = grid
    embeddings.patch_embedding.weight *= 3.0
