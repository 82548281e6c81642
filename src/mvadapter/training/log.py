"""Steps and epochs in, a JSONL file and TensorBoard events out."""

import json
from pathlib import Path
from types import TracebackType
from typing import Any

from torch.utils.tensorboard.writer import SummaryWriter

from mvadapter.files import write_text


class RunLog:
    """The log of one run; a resumed run drops the lines of steps that it takes again.

    Args:
        folder: Where ``log.jsonl`` and ``tensorboard/`` go.
        first_step: The step that comes next.
    """

    def __init__(self, folder: Path, first_step: int) -> None:
        path = folder / "log.jsonl"
        lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
        kept = [line for line in lines if _step_of(line) < first_step]
        write_text(path, "".join(f"{line}\n" for line in kept))
        self._file = path.open("a", encoding="utf-8", buffering=1)
        self._events = SummaryWriter(str(folder / "tensorboard"), purge_step=first_step)

    def __enter__(self) -> "RunLog":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._file.close()
        self._events.close()

    def step(self, step: int, *, epoch: int, loss: float | None, learning_rate: float) -> None:
        """Note a training step; without a loss it was left out."""
        values = {"loss": loss, "learning_rate": learning_rate}
        self._write({"step": step, "epoch": epoch, **values})
        for name, value in values.items():
            if value is not None:
                self._events.add_scalar(f"train/{name}", value, step)

    def epoch(self, step: int, *, epoch: int, metrics: dict[str, float]) -> None:
        """Note what an epoch came to on the selection part."""
        self._write({"step": step, "epoch": epoch, "metrics": metrics})
        for name, value in metrics.items():
            self._events.add_scalar(f"selection/{name}", value, step)

    def _write(self, row: dict[str, Any]) -> None:
        self._file.write(json.dumps(row) + "\n")


def _step_of(line: str) -> float:
    """The step of a line; a line that a crash cut short belongs to no step that is kept."""
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return float("inf")
