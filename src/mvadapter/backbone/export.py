"""A CLIP's shape and weights in, a transformers folder out."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from mvadapter.backbone.clip import Backbone, read_config
from mvadapter.backbone.source import find_companions
from mvadapter.storage import make_folder, writing
from mvadapter.unfinished import unfinished


def write_clip(backbone: Backbone, weights: Mapping[str, Tensor], folder: Path) -> None:
    """Write weights beside a CLIP's own configuration, and its tokenizer and preprocessor if any.

    The folder appears when all of it is written, or not at all.

    Args:
        backbone: The CLIP whose other files go with the weights.
        weights: One tensor for each of its weights, by full name.
        folder: The folder; must be new or empty.

    Raises:
        BackboneError: The CLIP's own files can no longer be read.
        StorageError: The folder cannot be written to.
    """
    family, config = read_config(backbone.source)
    model: Any = family.model_class(config)
    companions = find_companions(backbone.source)
    names = family.weight_names(backbone.vision, backbone.text)
    model.load_state_dict({theirs: weights[ours] for ours, theirs in names.items()})
    make_folder(folder.parent)
    num_bytes = sum(tensor.nbytes for tensor in weights.values())
    with writing(folder, num_bytes), unfinished(folder.parent) as aside:
        written = aside / folder.name
        model.save_pretrained(written)
        for name, path in companions.items():
            shutil.copyfile(path, written / name)
        written.replace(folder)
