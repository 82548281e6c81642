"""An encoder in, an adapter folder out, and back."""

import importlib.metadata
from pathlib import Path

from safetensors.torch import save_file

from mvadapter.backbone.clip import Backbone
from mvadapter.backbone.source import lasting_name
from mvadapter.encoder.adapter_folder import (
    CARD_FILE,
    CONFIG_FILE,
    FORMAT,
    FREE_KEYS,
    WEIGHTS_FILE,
    AdapterRecord,
    read_record,
)
from mvadapter.encoder.card import model_card
from mvadapter.encoder.encode import Encoder, read_encoder
from mvadapter.encoder.training_record import TrainingRecord
from mvadapter.files import atomic_write, hash_file, write_text
from mvadapter.seals import sealed_text
from mvadapter.settings import table_from_settings
from mvadapter.storage import writing


def save_adapter(
    encoder: Encoder, folder: str | Path, training: TrainingRecord | None = None
) -> AdapterRecord:
    """Write an adapter into a folder; other files there stay, as do notes in its README.md.

    A crash at any moment leaves either the earlier adapter or the new one.

    Args:
        encoder: The adapter with its backbone and inputs.
        folder: The folder; created if it does not exist.
        training: How the adapter was trained, where that is known.

    Raises:
        StorageError: The folder cannot be written to.
    """
    folder = Path(folder)
    config, tensors = encoder.adapter.config, encoder.trainable_parameters()
    num_trainable = sum(tensor.numel() for tensor in tensors.values())
    saved = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    num_bytes = sum(tensor.nbytes for tensor in saved.values())
    with atomic_write(folder / WEIGHTS_FILE, num_bytes) as aside:
        save_file(saved, aside, metadata={"format": "pt"})
        record = AdapterRecord(
            format=FORMAT,
            method=config.name,
            settings=table_from_settings(config),
            inputs=table_from_settings(encoder.inputs),
            base_model_name_or_path=lasting_name(encoder.backbone.name),
            base_model_fingerprint=encoder.backbone.fingerprint,
            base_model_parts=encoder.backbone.fingerprint_parts,
            num_trainable=num_trainable,
            share_percent=round(100 * num_trainable / encoder.backbone.num_weights, 4),
            weights_sha256=hash_file(aside),
            mvadapter_version=importlib.metadata.version("mvadapter"),
            training=training,
        )
        text = sealed_text(table_from_settings(record), free=FREE_KEYS)
        # The weights' rename decides: until then the old record is the one that fits, afterwards
        # this one, and a reader takes whichever fits the weights it finds.
        write_text(folder / f"{CONFIG_FILE}.next", text)
    with writing(folder / CONFIG_FILE):
        (folder / f"{CONFIG_FILE}.next").replace(folder / CONFIG_FILE)
    card = folder / CARD_FILE
    earlier = card.read_bytes() if card.is_file() else b""
    with atomic_write(card) as aside:
        aside.write_bytes(model_card(table_from_settings(record), earlier))
    return record


def load_adapter(folder: str | Path, backbone: Backbone | None = None) -> Encoder:
    """Load an adapter folder beside its CLIP.

    Args:
        folder: What `save_adapter` wrote.
        backbone: The CLIP it was made for; without it, the one that the folder names is loaded.

    Raises:
        AdapterFolderError: The folder is missing, damaged, or made for another CLIP.
        BackboneError: The CLIP that the folder names cannot be loaded.
    """
    folder = Path(folder)
    if backbone is None:
        backbone = Backbone.load(read_record(folder).base_model_name_or_path)
    return read_encoder(folder, backbone)
