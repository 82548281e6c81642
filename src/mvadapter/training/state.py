"""A run's state in one file, written completely or not at all, for an exact resume."""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from mvadapter.backbone.precision import Precision
from mvadapter.documents.tensors import read_tensors
from mvadapter.documents.text import DocumentKind
from mvadapter.documents.values import check_object, parse_json
from mvadapter.errors import ConfigError, TrainingError
from mvadapter.files import atomic_write
from mvadapter.seals import settings_of
from mvadapter.settings import check_range, table_from_settings

_RANDOM_STATE = "random_state"
_PROGRESS = "progress"
_DIGEST = "sha256"


@dataclass(slots=True, kw_only=True)
class Progress:
    """Where a run is."""

    recipe: dict[str, dict[str, Any]]
    """The recipe it follows, table by table; another one cannot continue it."""
    data_fingerprint: str
    precision: Precision
    """What "auto" was settled to, so that a resumed run does not measure again."""
    step: int = 0
    """Steps done in all epochs."""
    best_epoch: int = 0
    best_metrics: dict[str, float] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    """Videos that gave no frames: record id -> reason."""

    def __post_init__(self) -> None:
        for name in ("step", "best_epoch"):
            check_range(name, getattr(self, name), 0)
        for name, value in self.best_metrics.items():
            if not math.isfinite(value):
                raise ConfigError(f"best_metrics.{name} must be a number, got {value}")


def save_state(
    path: Path,
    progress: Progress,
    parameters: Mapping[str, nn.Parameter],
    optimizer: torch.optim.Optimizer,
) -> None:
    """Write weights, the optimiser's moments, torch's random state and the progress.

    Raises:
        StorageError: The folder cannot be written to.
    """
    tensors = {_RANDOM_STATE: torch.get_rng_state()}
    for name, parameter in parameters.items():
        tensors[f"weight/{name}"] = parameter.detach().cpu().contiguous()
        for moment, value in optimizer.state.get(parameter, {}).items():
            tensors[f"{moment}/{name}"] = value.detach().cpu().contiguous()
    text = json.dumps(table_from_settings(progress))
    metadata = {_PROGRESS: text, _DIGEST: _digest(tensors, text)}
    with atomic_write(path, sum(tensor.nbytes for tensor in tensors.values())) as aside:
        save_file(tensors, aside, metadata=metadata)


def state_bytes(parameters: Mapping[str, nn.Parameter]) -> int:
    """The size of a run's state: its weights and, of each, two moments."""
    return 3 * sum(parameter.numel() * 4 for parameter in parameters.values())


def load_state(path: Path) -> tuple[Progress, dict[str, Tensor]]:
    """Read where a saved run is, and the tensors that `restore_state` puts back.

    Raises:
        TrainingError: The file is damaged, cannot be read, or is from another version.
    """
    kind = DocumentKind(
        error=TrainingError,
        expected="the state of a run (safetensors)",
        advice=f"restore it from a copy, or delete {path.parent} to start over",
    )
    tensors, texts = read_tensors(path, kind)
    if _DIGEST not in texts or _PROGRESS not in texts:
        raise kind.fault(path, "another version of mvadapter wrote it")
    if texts[_DIGEST] != _digest(tensors, texts[_PROGRESS]):
        raise kind.fault(path, "is damaged (its sha256 is another)")
    table = check_object(parse_json(texts[_PROGRESS], path, kind), path, kind)
    return settings_of(Progress, table, path, kind), tensors


def restore_state(
    path: Path,
    tensors: Mapping[str, Tensor],
    parameters: Mapping[str, nn.Parameter],
    optimizer: torch.optim.Optimizer,
) -> None:
    """Put back the tensors of a state.

    Raises:
        TrainingError: They belong to other weights.
    """
    try:
        with torch.no_grad():
            for name, parameter in parameters.items():
                parameter.copy_(tensors[f"weight/{name}"])
        for name, parameter in parameters.items():
            moments = {
                moment: tensors[f"{moment}/{name}"].to(
                    "cpu" if moment == "step" else parameter.device
                )
                for moment in ("step", "exp_avg", "exp_avg_sq")
                if f"{moment}/{name}" in tensors
            }
            if moments:
                optimizer.state[parameter] = moments
        torch.set_rng_state(tensors[_RANDOM_STATE])
    except (KeyError, RuntimeError, TypeError) as error:
        raise TrainingError(
            f"{path}: the run's state does not fit this recipe ({error}); delete {path.parent} to "
            f"start over"
        ) from error


def _digest(tensors: Mapping[str, Tensor], progress: str) -> str:
    digest = hashlib.sha256(progress.encode())
    for name in sorted(tensors):
        tensor = tensors[name].contiguous()
        digest.update(f"\n{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
