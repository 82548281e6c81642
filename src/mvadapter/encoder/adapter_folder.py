"""An adapter folder in, the adapter that it describes out.

It holds ``adapter_config.json``, ``adapter_model.safetensors`` and a model card, ``README.md``.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mvadapter.adapters.base import Adapter
from mvadapter.adapters.build import adapter_config, build_adapter, build_on_meta
from mvadapter.backbone.clip import Backbone
from mvadapter.backbone.fingerprint import differing_parts
from mvadapter.backbone.source import lasting_name
from mvadapter.documents import tensors as documents
from mvadapter.documents.text import DocumentKind, hash_document, is_missing
from mvadapter.documents.values import read_json_object
from mvadapter.embedding.inputs import Inputs
from mvadapter.encoder.training_record import TrainingRecord
from mvadapter.errors import AdapterFolderError, ConfigError
from mvadapter.seals import settings_of, unsealed
from mvadapter.settings import settings_from_table

CONFIG_FILE = "adapter_config.json"
WEIGHTS_FILE = "adapter_model.safetensors"
CARD_FILE = "README.md"
FORMAT = 3
"""In format 1, copies of CLIP's weights had the names that transformers gives them; in format 2,
the record had no digest."""
_LAST_UNSEALED = 2
_READABLE = (_LAST_UNSEALED, FORMAT)
FREE_KEYS = ("base_model_name_or_path",)
"""What a person may change in the record: where the CLIP is, which its fingerprint identifies."""


_KIND = DocumentKind(
    error=AdapterFolderError,
    expected="the record of an adapter (JSON)",
    advice="copy the folder again",
)
_WEIGHTS = DocumentKind(
    error=AdapterFolderError,
    expected="the weights of an adapter (safetensors)",
    advice="copy the file again",
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
    base_model_parts: dict[str, str] = field(default_factory=dict)
    """A hash of each part of the fingerprint; empty for an adapter of an earlier version."""
    num_trainable: int
    share_percent: float
    """Trainable weights in percent of the backbone's."""
    weights_sha256: str
    mvadapter_version: str
    training: TrainingRecord | None = None
    """How it was trained; None where that is not known."""

    def __post_init__(self) -> None:
        if self.num_trainable < 0 or not 0 <= self.share_percent < math.inf:
            raise ConfigError(
                f"an adapter cannot have {self.num_trainable} trained weights, "
                f"{self.share_percent} % of its CLIP's"
            )


def read_adapter(folder: Path, backbone: Backbone) -> tuple[Adapter, Inputs]:
    """Build the adapter of a folder beside its CLIP, with its inputs.

    Raises:
        AdapterFolderError: The folder is missing, damaged, or made for another CLIP.
    """
    record = read_record(folder)
    where = str(folder / CONFIG_FILE)
    others = differing_parts(record.base_model_parts, backbone.fingerprint_parts)
    if backbone.fingerprint != record.base_model_fingerprint or others:
        differs = f"; what differs: {', '.join(others)}" if others else ""
        raise AdapterFolderError(
            f"{folder}: this adapter was made for {record.base_model_name_or_path!r} "
            f"(weights {record.base_model_fingerprint[:12]}), but the backbone is "
            f"{backbone.name!r} (weights {backbone.fingerprint[:12]}{differs}); load it with the "
            f"CLIP it was made for"
        )
    weights = folder / WEIGHTS_FILE
    tensors = read_tensors(weights)
    try:
        config = adapter_config(record.method, record.settings, where)
        inputs = settings_from_table(Inputs, record.inputs, where)
        # Without memory first: damaged settings may ask for more than there is.
        check_fit(build_on_meta(config, backbone).trainable_parameters(), tensors, str(weights))
        adapter = build_adapter(config, backbone)
    except ConfigError as error:
        raise AdapterFolderError(f"{folder}: {error}") from error
    fill(adapter.trainable_parameters(), tensors, str(weights))
    return adapter, inputs


def read_record(folder: str | Path) -> AdapterRecord:
    """Read the record of a folder's adapter, and check that it belongs to the weights there.

    Raises:
        AdapterFolderError: It is not an adapter folder, is damaged, or has another version.
    """
    folder = Path(folder)
    weights = folder / WEIGHTS_FILE
    if is_missing(weights):
        raise AdapterFolderError(
            f"{folder}: no adapter here ({WEIGHTS_FILE} is missing); expected a folder that "
            f"'mvadapter train' wrote"
        )
    weights_sha256 = hash_document(weights, _WEIGHTS)
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
    return documents.read_tensors(path, _WEIGHTS)[0]


def fill(parameters: Mapping[str, nn.Parameter], tensors: Mapping[str, Tensor], where: str) -> None:
    """Copy tensors into the parameters of the same names, all of them or none.

    Raises:
        AdapterFolderError: A tensor is missing, unknown, has another shape, or is not of finite
            numbers.
    """
    check_fit(parameters, tensors, where)
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(tensors[name])


def check_fit(
    parameters: Mapping[str, nn.Parameter], tensors: Mapping[str, Tensor], where: str
) -> None:
    """Refuse tensors that cannot be the values of these parameters.

    Raises:
        AdapterFolderError: One is missing, unknown, has another shape, or is not of finite numbers.
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
        if not tensors[name].is_floating_point() or not tensors[name].isfinite().all():
            kind = str(tensors[name].dtype).removeprefix("torch.")
            problem = "NaN or infinite numbers" if tensors[name].is_floating_point() else kind
            raise AdapterFolderError(
                f"{where}: {name!r} holds {problem}, expected finite numbers of a float type; "
                f"the file is damaged or was made wrongly"
            )


def _parse_record(path: Path) -> AdapterRecord:
    table = read_json_object(path, _KIND)
    if table.get("format") == 1:
        raise AdapterFolderError(
            f"{path}: written by an earlier version of mvadapter (format 1, this one reads "
            f"{FORMAT}); train the adapter again"
        )
    if table.get("format", FORMAT) not in _READABLE:
        raise AdapterFolderError(
            f"{path}: written in format {table['format']!r}, this mvadapter reads {FORMAT}; "
            f"update mvadapter"
        )
    has_seal = table.get("format") != _LAST_UNSEALED
    plain = unsealed(table, path, _KIND, free=FREE_KEYS, has_seal=has_seal)
    record = settings_of(AdapterRecord, plain, path, _KIND)
    # A CLIP beside the adapter is found wherever both are moved; else names mean what they always
    # do: a folder seen from the working folder, or a hub id.
    beside = path.parent / record.base_model_name_or_path
    if record.base_model_name_or_path != "tiny" and beside.is_dir():
        return replace(record, base_model_name_or_path=lasting_name(str(beside)))
    return record
