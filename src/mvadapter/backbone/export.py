"""A CLIP's shape and weights in, a transformers folder out."""

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor
from transformers import CLIPConfig, CLIPModel
from transformers.utils.hub import cached_file

from mvadapter.backbone.clip import Backbone
from mvadapter.errors import BackboneError

# What a CLIP folder has beside its weights and configuration.
_COMPANIONS = (
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.json",
    "merges.txt", "preprocessor_config.json",
)  # fmt: skip


def write_clip(backbone: Backbone, weights: Mapping[str, Tensor], folder: Path) -> None:
    """Write weights beside a CLIP's own configuration, and its tokenizer and preprocessor if any.

    The folder appears when all of it is written, or not at all.

    Args:
        backbone: The CLIP whose other files go with the weights.
        weights: One tensor for each of its weights, by full name.
        folder: Where to; new or empty.

    Raises:
        BackboneError: The CLIP's own files can no longer be read.
        OSError: The folder cannot be written to.
    """
    try:
        model: Any = CLIPModel(CLIPConfig.from_pretrained(backbone.source))
        found = [_find(backbone.source, name) for name in _COMPANIONS]
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise BackboneError(f"{backbone.source}: cannot be read any more: {reason}") from error
    model.load_state_dict(dict(weights))
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as aside:
        whole = Path(aside) / "clip"
        model.save_pretrained(whole)
        for companion in found:
            if companion is not None:
                shutil.copyfile(companion, whole / companion.name)
        whole.replace(folder)


def _find(source: str, name: str) -> Path | None:
    path: str | None = cached_file(source, name, _raise_exceptions_for_missing_entries=False)
    return None if path is None else Path(path)
