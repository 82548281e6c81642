"""What trains in, AdamW with its schedule out."""

import math
from itertools import product

import torch

from mvadapter.encoder.encode import Encoder
from mvadapter.training.recipe import TrainSettings


def build_optimizer(encoder: Encoder, settings: TrainSettings) -> torch.optim.AdamW:
    """AdamW over all that an encoder trains; only matrices decay.

    Its steps have no size until `set_learning_rate` gives them one.
    """
    share = encoder.adapter.backbone_rate_share
    groups = []
    for is_of_clip, is_matrix in product((False, True), repeat=2):
        parameters = [
            parameter
            for name, parameter in encoder.trainable_parameters().items()
            if (name.startswith("backbone."), parameter.ndim >= 2) == (is_of_clip, is_matrix)
        ]
        if parameters:
            groups.append(
                {
                    "params": parameters,
                    "weight_decay": settings.weight_decay if is_matrix else 0.0,
                    "rate_share": share if is_of_clip else 1.0,
                }
            )
    return torch.optim.AdamW(groups, lr=0.0)


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Let the next step be of this size; some weights take a part of it."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group["rate_share"]


def learning_rate(step: int, num_steps: int, settings: TrainSettings) -> float:
    """The step size of step ``step`` of ``num_steps``, counted from 0: warm-up, then a cosine."""
    num_warmup = max(1, round(num_steps * settings.warmup_percent / 100))
    if step < num_warmup:
        return settings.learning_rate * (step + 1) / num_warmup
    done = (step - num_warmup) / max(1, num_steps - num_warmup)
    return settings.learning_rate * (1 + math.cos(math.pi * done)) / 2
