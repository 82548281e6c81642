"""A CLIP's shape and weights in, a transformers folder out."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor
from transformers import CLIPConfig, CLIPModel, CLIPTokenizer

from mvadapter.backbone.clip import Backbone
from mvadapter.errors import BackboneError


def write_clip(backbone: Backbone, weights: Mapping[str, Tensor], folder: Path) -> None:
    """Write weights beside a CLIP's own configuration and tokenizer.

    The folder appears when all of it is written, or not at all.

    Args:
        backbone: The CLIP whose configuration and tokenizer go with the weights.
        weights: One tensor for each of its weights, by full name.
        folder: Where to; new or empty.

    Raises:
        BackboneError: The CLIP's own files can no longer be read.
        OSError: The folder cannot be written to.
    """
    try:
        model: Any = CLIPModel(CLIPConfig.from_pretrained(backbone.source))
        tokenizer: Any = CLIPTokenizer.from_pretrained(backbone.source)
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise BackboneError(f"{backbone.source}: cannot be read any more: {reason}") from error
    model.load_state_dict(dict(weights))
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as aside:
        whole = Path(aside) / "clip"
        model.save_pretrained(whole)
        tokenizer.save_pretrained(whole)
        whole.replace(folder)
