"""Parameters in, AdamW with its schedule out."""

import math
from collections.abc import Mapping

import torch
from torch import nn

from mvadapter.training.recipe import TrainSettings


def build_optimizer(
    parameters: Mapping[str, nn.Parameter], settings: TrainSettings
) -> torch.optim.AdamW:
    """AdamW over all parameters; only matrices decay."""
    matrices = [parameter for parameter in parameters.values() if parameter.ndim >= 2]
    vectors = [parameter for parameter in parameters.values() if parameter.ndim < 2]
    groups = [
        {"params": matrices, "weight_decay": settings.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW([group for group in groups if group["params"]], lr=0.0)


def learning_rate(step: int, num_steps: int, settings: TrainSettings) -> float:
    """The step size of step ``step`` of ``num_steps``, counted from 0: warm-up, then a cosine."""
    num_warmup = max(1, round(num_steps * settings.warmup_percent / 100))
    if step < num_warmup:
        return settings.learning_rate * (step + 1) / num_warmup
    done = (step - num_warmup) / max(1, num_steps - num_warmup)
    return settings.learning_rate * (1 + math.cos(math.pi * done)) / 2
