"""An adapter that only changes CLIP's own weights in, an ordinary CLIP folder out."""

from pathlib import Path

from torch import Tensor

from mvadapter.backbone.export import write_clip
from mvadapter.encoder.encode import Encoder
from mvadapter.errors import ConfigError
from mvadapter.unfinished import finished_names


def export_merged(encoder: Encoder, folder: str | Path) -> None:
    """Write CLIP with the adapter merged into its weights, as transformers writes a CLIP.

    The folder needs neither the adapter nor mvadapter. LoRA can be merged, and the methods that
    train weights of CLIP itself: full, projection and bitfit.

    Args:
        encoder: The CLIP with its adapter.
        folder: The folder; must be new or empty.

    Raises:
        ConfigError: The method adds modules beside CLIP's weights, or the folder is not empty.
        OSError: The folder cannot be written to.
    """
    folder = Path(folder)
    if folder.exists() and (not folder.is_dir() or finished_names(folder)):
        raise ConfigError(f"{folder}: is not empty; name a new folder for the merged CLIP")
    write_clip(encoder.backbone, _merged_weights(encoder), folder)


def _merged_weights(encoder: Encoder) -> dict[str, Tensor]:
    adapter = encoder.adapter
    weights: dict[str, Tensor] = {
        name: weight.float() for name, weight in encoder.backbone.weights.items()
    }
    changes = adapter.weight_changes()
    for name, change in changes.items():
        weights[name] = weights[name] + change
    if not changes and adapter.trainable_parameters().keys() != {
        f"backbone.{name}" for name in adapter.backbone_weights
    }:
        raise ConfigError(
            f"{adapter.config.name} adds modules beside CLIP's weights and cannot be merged; "
            f"lora, full, projection and bitfit can"
        )
    return {name: weight.detach() for name, weight in (weights | adapter.backbone_weights).items()}
