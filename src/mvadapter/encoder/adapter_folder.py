"""An adapter folder in, the adapter that it describes out.

It holds ``adapter_config.json``, ``adapter_model.safetensors`` and a model card, ``README.md``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from mvadapter.adapters.base import Adapter
from mvadapter.adapters.build import adapter_config, build_adapter
from mvadapter.backbone.clip import Backbone
from mvadapter.documents.text import DocumentKind
from mvadapter.documents.values import read_json_object
from mvadapter.embedding.inputs import Inputs
from mvadapter.encoder.training_record import TrainingRecord
from mvadapter.errors import AdapterFolderError, ConfigError
from mvadapter.files import hash_file
from mvadapter.settings import settings_from_table

CONFIG_FILE = "adapter_config.json"
WEIGHTS_FILE = "adapter_model.safetensors"
CARD_FILE = "README.md"
FORMAT = 2
"""In format 1, copies of CLIP's weights had the names that transformers gives them."""


_KIND = DocumentKind(
    error=AdapterFolderError,
    expected="the record of an adapter (JSON)",
    advice="copy the folder again",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterRecord:
    """What ``adapter_config.json`` records about an adapter beside its weights."""

    format: int
    """Version of this record's layout."""
    method: str
    settings: dict[str, Any]
    inputs: dict[str, Any]
    base_model_name_or_path: str
    base_model_fingerprint: str
    num_trainable: int
    share_percent: float
    """Trainable weights in percent of the backbone's."""
    weights_sha256: str
    mvadapter_version: str
    training: TrainingRecord | None = None
    """How it was trained; None where that is not known."""


def read_adapter(folder: Path, backbone: Backbone) -> tuple[Adapter, Inputs]:
    """Build the adapter of a folder beside its CLIP, with its inputs.

    Raises:
        AdapterFolderError: The folder is missing, damaged, or made for another CLIP.
    """
    record = read_record(folder)
    where = str(folder / CONFIG_FILE)
    if backbone.fingerprint != record.base_model_fingerprint:
        raise AdapterFolderError(
            f"{folder}: this adapter was made for {record.base_model_name_or_path!r} "
            f"(weights {record.base_model_fingerprint[:12]}), but the backbone is "
            f"{backbone.name!r} (weights {backbone.fingerprint[:12]}); load it with the CLIP it "
            f"was made for"
        )
    try:
        config = adapter_config(record.method, record.settings, where)
        inputs = settings_from_table(Inputs, record.inputs, where)
        adapter = build_adapter(config, backbone)
    except ConfigError as error:
        raise AdapterFolderError(f"{folder}: {error}") from error
    fill(adapter.trainable_parameters(), read_tensors(folder / WEIGHTS_FILE), str(folder))
    return adapter, inputs


def read_record(folder: str | Path) -> AdapterRecord:
    """Read the record of a folder's adapter, and check that it belongs to the weights there.

    Raises:
        AdapterFolderError: It is not an adapter folder, is damaged, or has another version.
    """
    folder = Path(folder)
    weights = folder / WEIGHTS_FILE
    if not weights.is_file():
        raise AdapterFolderError(
            f"{folder}: no adapter here ({WEIGHTS_FILE} is missing); expected a folder that "
            f"'mvadapter train' wrote"
        )
    weights_sha256 = hash_file(weights)
    for name in (CONFIG_FILE, f"{CONFIG_FILE}.next"):
        if (folder / name).is_file():
            record = _parse_record(folder / name)
            if record.weights_sha256 == weights_sha256:
                return record
    raise AdapterFolderError(
        f"{folder}: {WEIGHTS_FILE} is not the file that {CONFIG_FILE} describes; one of them is "
        f"missing, damaged or from another adapter; copy the folder again"
    )


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read a safetensors file.

    Raises:
        AdapterFolderError: It is missing, damaged or no safetensors file.
    """
    if not path.is_file():
        raise AdapterFolderError(f"{path}: no such file; expected a safetensors file")
    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        hint = ""
        if path.suffix in (".pt", ".pth", ".bin", ".ckpt"):
            hint = (
                "; PyTorch pickles can run code and are refused: save the tensors with safetensors"
            )
        reason = str(error).partition("\n")[0]
        raise AdapterFolderError(
            f"{path}: not a complete safetensors file ({reason}){hint}"
        ) from error


def fill(parameters: Mapping[str, nn.Parameter], tensors: Mapping[str, Tensor], where: str) -> None:
    """Copy tensors into the parameters of the same names, all of them or none.

    Raises:
        AdapterFolderError: A tensor is missing, unknown, or has another shape.
    """
    if missing := sorted(parameters.keys() - tensors.keys()):
        raise AdapterFolderError(
            f"{where}: {len(missing)} tensors are missing, {missing[0]!r} among them"
        )
    if unknown := sorted(tensors.keys() - parameters.keys()):
        raise AdapterFolderError(
            f"{where}: {len(unknown)} tensors do not belong to this adapter, {unknown[0]!r} "
            f"among them"
        )
    for name, parameter in parameters.items():
        if parameter.shape != tensors[name].shape:
            raise AdapterFolderError(
                f"{where}: {name!r} has shape {list(tensors[name].shape)}, but this CLIP and these "
                f"settings need {list(parameter.shape)}"
            )
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(tensors[name])


def _parse_record(path: Path) -> AdapterRecord:
    table = read_json_object(path, _KIND)
    if table.get("format") == 1:
        raise AdapterFolderError(
            f"{path}: written by an earlier version of mvadapter (format 1, this one reads "
            f"{FORMAT}); train the adapter again"
        )
    if table.get("format", FORMAT) != FORMAT:
        raise AdapterFolderError(
            f"{path}: written in format {table['format']!r}, this mvadapter reads {FORMAT}; "
            f"update mvadapter"
        )
    try:
        return settings_from_table(AdapterRecord, table, str(path))
    except ConfigError as error:
        raise AdapterFolderError(str(error)) from error
