"""A comparison's folder: its lock, and the plan that all its runs share."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, get_args

from mvadapter.backbone.precision import Precision
from mvadapter.comparison.plan import ComparisonPlan
from mvadapter.documents.text import DocumentKind
from mvadapter.errors import ConfigError
from mvadapter.files import locked, write_text
from mvadapter.seals import read_sealed_table, sealed_text
from mvadapter.storage import make_folder
from mvadapter.training.recipe import FREE_SETTINGS
from mvadapter.unfinished import finished_names

_PLAN = "plan.json"
_LOCK = "compare.lock"
_DATA = "data_fingerprint"
_KIND = DocumentKind(
    error=ConfigError,
    expected="the plan of a comparison (JSON)",
    advice="choose a new folder, or restore it from a copy",
)


def lock_folder(folder: Path) -> AbstractContextManager[None]:
    """Make a comparison's folder where it is missing, and keep other comparisons out of it.

    Raises:
        ConfigError: It is a file, it holds other things, or a comparison is running in it.
    """
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder}: is a file; choose a folder")
    make_folder(folder)
    others = sorted(finished_names(folder))
    if others and not (folder / _LOCK).is_file():
        raise ConfigError(
            f"{folder}: contains other files ({others[0]}) and is not a comparison; "
            f"choose a new folder"
        )
    refusal = ConfigError(f"{folder}: another comparison is running here; wait until it ends")
    return locked(folder / _LOCK, refusal)


class SavedPlan:
    """The plan in a comparison's folder; a new folder has none.

    Args:
        folder: The comparison's folder.

    Raises:
        ConfigError: The plan is damaged.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path = folder / _PLAN
        self._saved = _read(self._path)

    @property
    def precision(self) -> Precision | None:
        """The precision that the runs were trained in; None in a new folder."""
        return self._saved["train"]["precision"] if self._saved else None

    def check(self, plan: ComparisonPlan, data_fingerprint: str | None = None) -> None:
        """Refuse a plan that is not the saved one; methods that only one of them has may differ.

        Args:
            plan: The plan.
            data_fingerprint: Of the records; None where they are not read yet.

        Raises:
            ConfigError: The folder holds a comparison with other settings or other data.
        """
        table = plan.as_table()
        if data_fingerprint is not None:
            table[_DATA] = data_fingerprint
        if self._saved and (other := difference(self._saved, table)):
            raise ConfigError(
                f"{self._folder}: contains a comparison with {other}; choose a new folder"
            )

    def write(self, plan: ComparisonPlan, data_fingerprint: str) -> None:
        """Write the plan, with the methods of earlier ones.

        Raises:
            StorageError: The folder cannot be written to.
        """
        table = {**plan.as_table(), _DATA: data_fingerprint}
        table["methods"] = {**self._saved.get("methods", {}), **table["methods"]}
        write_text(self._path, sealed_text(table))


def _read(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    table = read_sealed_table(path, _KIND)
    train = table.get("train")
    if not isinstance(train, dict) or train.get("precision") not in get_args(Precision):
        raise _KIND.fault(path, "is not the plan of a comparison")
    return table


def difference(saved: Any, now: Any, name: str = "") -> str | None:  # noqa: ANN401 - parsed JSON
    """Describe the first setting in which two plans differ, methods of only one aside."""
    if name in FREE_SETTINGS:
        return None
    if not (isinstance(saved, Mapping) and isinstance(now, Mapping)):
        if saved == now:
            return None
        if name == _DATA:
            return "other videos or captions"
        return f"another {name} ({saved!r}, now {now!r})"
    for key in now:
        if key in saved or name != "methods":
            inner = f"{name}.{key}" if name else key
            if found := difference(saved.get(key), now[key], inner):
                return found
    return None
