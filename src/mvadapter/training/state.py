"""A run's state in one file, written completely or not at all, for an exact resume."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from mvadapter.backbone.precision import Precision
from mvadapter.documents.text import DocumentKind
from mvadapter.documents.values import parse_json
from mvadapter.errors import TrainingError
from mvadapter.files import atomic_write


@dataclass(slots=True, kw_only=True)
class Progress:
    """Where a run is."""

    recipe: dict[str, Any]
    """The recipe it follows; another one cannot continue it."""
    data_fingerprint: str
    precision: Precision
    """What "auto" was settled to, so that a resumed run does not measure again."""
    step: int = 0
    """Steps done in all epochs."""
    best_epoch: int = 0
    best_metrics: dict[str, float] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    """Videos that gave no frames: record id -> reason."""


def _kind(path: Path) -> DocumentKind:
    return DocumentKind(
        error=TrainingError,
        expected="the state of a run",
        advice=f"delete {path.parent} to start over",
    )


def save_state(
    path: Path,
    progress: Progress,
    parameters: Mapping[str, nn.Parameter],
    optimizer: torch.optim.Optimizer,
) -> None:
    """Write weights, the optimiser's moments, torch's random state and the progress.

    Raises:
        OSError: The folder cannot be written to.
    """
    tensors = {"random_state": torch.get_rng_state()}
    for name, parameter in parameters.items():
        tensors[f"weight/{name}"] = parameter.detach().cpu().contiguous()
        for moment, value in optimizer.state.get(parameter, {}).items():
            tensors[f"{moment}/{name}"] = value.detach().cpu().contiguous()
    with atomic_write(path) as aside:
        save_file(tensors, aside, metadata={"progress": json.dumps(asdict(progress))})


def read_progress(path: Path) -> Progress:
    """Read where a saved run is.

    Raises:
        TrainingError: The file is damaged or from another version.
    """
    try:
        with safe_open(path, "pt") as file:
            text = file.metadata()["progress"]
        return Progress(**parse_json(text, path, _kind(path)))
    except TypeError as error:
        raise TrainingError(
            f"{path}: another version of mvadapter wrote it; delete {path.parent} to start over"
        ) from error
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise TrainingError(
            f"{path}: the run's state cannot be read ({error}); delete {path.parent} to start over"
        ) from error


def restore_state(
    path: Path, parameters: Mapping[str, nn.Parameter], optimizer: torch.optim.Optimizer
) -> None:
    """Put back what `save_state` wrote.

    Raises:
        TrainingError: The file is damaged or holds other weights.
    """
    try:
        with safe_open(path, "pt") as file:
            tensors: dict[str, Tensor] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        with torch.no_grad():
            for name, parameter in parameters.items():
                parameter.copy_(tensors[f"weight/{name}"])
    except (SafetensorError, OSError, KeyError, RuntimeError) as error:
        raise TrainingError(
            f"{path}: the run's state does not match ({error}); delete {path.parent} to start over"
        ) from error
    for name, parameter in parameters.items():
        moments = {
            moment: tensors[f"{moment}/{name}"].to("cpu" if moment == "step" else parameter.device)
            for moment in ("step", "exp_avg", "exp_avg_sq")
            if f"{moment}/{name}" in tensors
        }
        if moments:
            optimizer.state[parameter] = moments
    torch.set_rng_state(tensors["random_state"])
