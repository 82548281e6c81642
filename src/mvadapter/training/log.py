"""Steps and epochs in, a JSONL file and, with the extra ``train``, TensorBoard events out."""

import json
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from mvadapter.documents.text import TABLE_BYTES, DocumentKind, read_bytes
from mvadapter.documents.values import parse_json
from mvadapter.errors import TrainingError
from mvadapter.files import write_text
from mvadapter.storage import writing

try:
    from torch.utils.tensorboard.writer import SummaryWriter
except ImportError:
    _HAS_TENSORBOARD = False
else:
    _HAS_TENSORBOARD = True

_FILE = "log.jsonl"
_KIND = DocumentKind(
    error=TrainingError,
    expected="the log of a run (JSONL)",
    advice="move it away; the run continues without it",
    max_bytes=TABLE_BYTES,
)

_logger = logging.getLogger(__name__)


class RunLog:
    """The log of one run; a resumed run drops the lines of steps that it takes again.

    Args:
        folder: Folder of ``log.jsonl``, and of ``tensorboard/`` where TensorBoard is installed.
        first_step: The step that comes next.
    """

    def __init__(self, folder: Path, first_step: int) -> None:
        path = folder / _FILE
        kept = [line for line, row in _rows(path) if row["step"] < first_step]
        write_text(path, "".join(f"{line}\n" for line in kept))
        self._path, self._events_path = path, folder / "tensorboard"
        self._events: SummaryWriter | None = None
        with writing(path):
            self._file = path.open("a", encoding="utf-8", buffering=1)
        if _HAS_TENSORBOARD:
            with writing(self._events_path):
                self._events = SummaryWriter(str(self._events_path), purge_step=first_step)
        else:
            _logger.info("no TensorBoard events: pip install 'mvadapter[train]' adds them")

    def __enter__(self) -> "RunLog":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with writing(self._path):
            self._file.close()
        if self._events is not None:
            with writing(self._events_path):
                self._events.close()

    def step(self, step: int, *, epoch: int, loss: float | None, learning_rate: float) -> None:
        """Log a training step; the loss of a step that was left out is None."""
        values = {"loss": loss, "learning_rate": learning_rate}
        self._write({"step": step, "epoch": epoch, **values})
        self._plot("train", values, step)

    def epoch(self, step: int, *, epoch: int, metrics: dict[str, float]) -> None:
        """Log the metrics of an epoch on the selection part."""
        self._write({"step": step, "epoch": epoch, "metrics": metrics})
        self._plot("selection", metrics, step)

    def _write(self, row: dict[str, Any]) -> None:
        with writing(self._path):
            self._file.write(json.dumps(row) + "\n")

    def _plot(self, group: str, values: Mapping[str, float | None], step: int) -> None:
        if self._events is None:
            return
        with writing(self._events_path):
            for name, value in values.items():
                if value is not None:
                    self._events.add_scalar(f"{group}/{name}", value, step)


def read_losses(folder: Path) -> dict[int, float]:
    """The loss of each step in the log of a run, without steps that were left out.

    Raises:
        TrainingError: The log cannot be read.
    """
    rows = [row for _, row in _rows(folder / _FILE)]
    return {row["step"]: row["loss"] for row in rows if isinstance(row.get("loss"), float)}


def _rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the lines of a log with their content, without lines that a crash damaged."""
    if not path.exists():
        return
    for line in read_bytes(path, _KIND).split(b"\n"):
        try:
            row = parse_json(line, path, _KIND)
        except TrainingError:
            continue
        if isinstance(row, dict) and isinstance(row.get("step"), int):
            yield line.decode(), row
