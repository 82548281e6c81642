"""A run's state in one file, written completely or not at all, for an exact resume."""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from mvadapter.backbone.precision import Precision
from mvadapter.documents.text import DocumentKind
from mvadapter.documents.values import check_object, parse_json
from mvadapter.errors import ConfigError, TrainingError
from mvadapter.files import atomic_write
from mvadapter.settings import settings_from_table, table_from_settings

_RANDOM_STATE = "random_state"
_PROGRESS = "progress"
_DIGEST = "sha256"
_KIND = DocumentKind(error=ConfigError, expected="the state of a run", advice="the file is damaged")


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
            if getattr(self, name) < 0:
                raise ConfigError(f"{name} must be at least 0, got {getattr(self, name)}")
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


def has_state(path: Path) -> bool:
    """Whether there is a state.

    Raises:
        TrainingError: That cannot be seen.
    """
    try:
        path.stat()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise TrainingError(_unreadable(path, error)) from error
    return True


def read_progress(path: Path) -> Progress:
    """Read where a saved run is.

    Raises:
        TrainingError: The file is damaged, cannot be read, or is from another version.
    """
    text = _read(path)[1]
    try:
        table = check_object(parse_json(text, path, _KIND), path, _KIND)
        return settings_from_table(Progress, table, str(path))
    except ConfigError as error:
        raise TrainingError(
            f"{error}; no run writes this, or another version of mvadapter did: delete "
            f"{path.parent} to start over"
        ) from error


def restore_state(
    path: Path, parameters: Mapping[str, nn.Parameter], optimizer: torch.optim.Optimizer
) -> None:
    """Put back what `save_state` wrote.

    Raises:
        TrainingError: The file is damaged, cannot be read, or holds other weights.
    """
    tensors = _read(path)[0]
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


def _read(path: Path) -> tuple[dict[str, Tensor], str]:
    """Read the tensors and the progress, and compare them with their digest.

    Raises:
        TrainingError: The file is damaged, or cannot be read.
    """
    try:
        # safetensors reports every file that it cannot open as one that is not there.
        with path.open("rb"):
            pass
    except OSError as error:
        raise TrainingError(_unreadable(path, error)) from error
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError, RuntimeError) as error:
        raise TrainingError(
            f"{path}: the run's state is damaged ({error}); delete {path.parent} to start over"
        ) from error
    if _DIGEST not in metadata or _PROGRESS not in metadata:
        raise TrainingError(
            f"{path}: another version of mvadapter wrote it; delete {path.parent} to start over"
        )
    if metadata[_DIGEST] != _digest(tensors, metadata[_PROGRESS]):
        raise TrainingError(
            f"{path}: the run's state is damaged (its sha256 is another); restore it from a copy, "
            f"or delete {path.parent} to start over"
        )
    return tensors, metadata[_PROGRESS]


def _digest(tensors: Mapping[str, Tensor], progress: str) -> str:
    digest = hashlib.sha256(progress.encode())
    for name in sorted(tensors):
        tensor = tensors[name].contiguous()
        digest.update(f"\n{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _unreadable(path: Path, error: OSError) -> str:
    reason = (error.strerror or str(error)).lower()
    return (
        f"{path}: the run's state cannot be read ({reason}); it may be sound: make it readable and "
        f"run the same command again"
    )
