"""Adapters in, the views of an index out: one copy of an adapter and one table for each view."""

import hashlib
import os
import re
import shutil
import unicodedata
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from mvadapter.backbone.clip import Backbone
from mvadapter.backbone.fingerprint import differing_parts
from mvadapter.encoder.adapter_folder import read_record
from mvadapter.encoder.checkpoint import load_adapter, save_adapter
from mvadapter.encoder.encode import Encoder
from mvadapter.encoder.training_record import TrainingRecord
from mvadapter.errors import AdapterFolderError, ConfigError, IndexFolderError
from mvadapter.index.find import AnyPath, absolute
from mvadapter.index.record import ADAPTERS_FOLDER, VECTORS_FOLDER, IndexRecord, ViewRecord
from mvadapter.index.rows import table_schema
from mvadapter.index.segment_table import SegmentTable
from mvadapter.storage import make_folder, writing
from mvadapter.unfinished import unfinished

# The name of a view is also that of a folder and of a table, whose folder has a suffix besides; no
# name in a folder may have more than 255 bytes.
_MAX_NAME_LETTERS = 200
_NAME = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_-])?")
# Windows keeps these for devices, with any suffix.
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)


def store_view(
    folder: Path,
    record: IndexRecord,
    name: str,
    encoder: Encoder,
    training: TrainingRecord | None = None,
) -> IndexRecord:
    """Copy an adapter into an index and make its empty table, unless it has them already.

    To be called under the index's lock.

    Returns:
        The record, which is also written, with the new view.

    Raises:
        ConfigError: A view cannot have this name, or another view has it in another case.
        IndexFolderError: The adapter is for another CLIP, or the name belongs to another adapter.
        StorageError: The folder cannot be written to.
    """
    refuse_bad_name(name)
    for other in record.adapters:
        # On many disks both would be one folder.
        if other != name and other.casefold() == name.casefold():
            raise ConfigError(
                f"{folder}: there is a view {other!r}, and {name!r} differs from it only in case; "
                f"choose another name"
            )
    backbone = encoder.backbone
    refuse_other_clip(
        folder, record, backbone.name, backbone.fingerprint, backbone.fingerprint_parts
    )
    place = folder / ADAPTERS_FOLDER / name
    make_folder(place.parent)
    with writing(place), unfinished(place.parent) as aside:
        saved = save_adapter(encoder, aside / name, training)
        view = ViewRecord.of(saved)
        if name in record.adapters:
            known = record.views.get(name) or ViewRecord.of(read_record(place))
            if differs := known.difference(view):
                raise IndexFolderError(
                    f"{folder}: the view {name!r} belongs to another adapter ({differs}); "
                    f"rename this adapter or its folder"
                )
            return record
        # An interrupted call may have left a folder here.
        shutil.rmtree(place, ignore_errors=True)
        (aside / name).rename(place)
    SegmentTable.create(folder / VECTORS_FOLDER, name, table_schema(backbone.dim).empty_table())
    record = replace(
        record,
        adapters={**record.adapters, name: saved.weights_sha256},
        views={**record.views, name: view},
    )
    record.write(folder)
    return record


def load_view_encoder(folder: Path, record: IndexRecord, name: str, backbone: Backbone) -> Encoder:
    """Load the encoder of a view from the index's own copy of the adapter.

    Raises:
        AdapterFolderError: The copy is damaged.
        IndexFolderError: It is not the adapter that the videos were embedded with.
    """
    place = folder / ADAPTERS_FOLDER / name
    try:
        saved = read_record(place)
    except AdapterFolderError as error:
        raise AdapterFolderError(f"{error}; or copy the index again, or build a new one") from error
    other = None
    if name in record.views:
        other = record.views[name].difference(ViewRecord.of(saved))
    elif saved.weights_sha256 != record.adapters[name]:
        other = f"weights {record.adapters[name][:12]}, not {saved.weights_sha256[:12]}"
    if other:
        raise IndexFolderError(
            f"{place}: is not the adapter that the videos were embedded with ({other}); "
            f"copy the index again, or build a new one"
        )
    return load_adapter(place, backbone)


def name_of_folder(adapter: AnyPath) -> str:
    """Name a view after an adapter folder: the folder's own name, where a view may have it.

    Otherwise, its readable characters and a hash, so that no two folder names give the same.
    """
    name = absolute(adapter).name
    if _NAME.fullmatch(name) and not _RESERVED.fullmatch(name) and len(name) <= _MAX_NAME_LETTERS:
        return name
    ascii_name = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    readable = re.sub(r"[^A-Za-z0-9_.-]+", "_", ascii_name).strip(".-") or "adapter"
    return (
        f"{readable[: _MAX_NAME_LETTERS - 7]}-{hashlib.sha256(os.fsencode(name)).hexdigest()[:6]}"
    )


def refuse_bad_name(name: str) -> None:
    """Refuse names that a folder and a table cannot have.

    Raises:
        ConfigError: The name has other characters, begins or ends with a dot, begins with a dash,
            is one that Windows reserves, or is too long.
    """
    if len(name) > _MAX_NAME_LETTERS:
        raise ConfigError(
            f"the name of a view must have at most {_MAX_NAME_LETTERS} letters, got {len(name)}; "
            f"choose a shorter one"
        )
    if not _NAME.fullmatch(name) or _RESERVED.fullmatch(name):
        raise ConfigError(
            f"the name of a view must consist of letters, digits, '_', '-' and '.', not begin or "
            f"end with '.', and not be a device of Windows, got {name!r}; choose another name"
        )


def refuse_other_clip(
    folder: Path, record: IndexRecord, name: str, fingerprint: str, parts: Mapping[str, str]
) -> None:
    """Refuse a CLIP whose vectors cannot be compared with those of the index.

    Args:
        folder: The index.
        record: Its record.
        name: The CLIP's name.
        fingerprint: The CLIP's fingerprint.
        parts: The hashes of its parts, where they are known.

    Raises:
        IndexFolderError: The index was made with another CLIP.
    """
    others = differing_parts(record.backbone_parts, parts) if record.backbone_parts else []
    if fingerprint != record.backbone_fingerprint or others:
        differs = f"; what differs: {', '.join(others)}" if others else ""
        raise IndexFolderError(
            f"{folder}: made with CLIP {record.backbone_name!r} (weights "
            f"{record.backbone_fingerprint[:12]}), not {name!r} (weights {fingerprint[:12]}"
            f"{differs}); use that CLIP, or build a new index for this one"
        )
