"""What every adapter is: blocks for both towers, and copies of the CLIP weights it trains.

The promises, tested for every method in tests/contract:

1. untrained, it changes no feature by a single bit (the docstring of a method that cannot has the
   reason);
2. exactly `Adapter.trainable_parameters` train, and exactly they are saved;
3. padded frames and words never reach a feature;
4. the backbone stays as it is.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, TypeAlias

from torch import Tensor, nn

from mvadapter.backbone.clip import Backbone
from mvadapter.backbone.sites import BlockAdapter, FrameLayout
from mvadapter.errors import ConfigError
from mvadapter.shapes import FrameEmbeddings, FrameMask

Layers: TypeAlias = Literal["all"] | tuple[int, ...]
"""Layers of a tower, counted from 0; negative numbers count from the last one back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MethodConfig(ABC):
    """The settings of a method: a frozen dataclass with a field for each, and `build`."""

    name: ClassVar[str]
    """The method's name on the command line and in files."""
    what: ClassVar[str]
    """What it is, in a few words for people."""
    default_learning_rate: ClassVar[float] = 2e-3
    """The learning rate where none is given (docs/study.md)."""

    @abstractmethod
    def build(self, backbone: Backbone) -> "Adapter":
        """Make the untrained adapter, its weights float32; `build_adapter` moves it to the device.

        Raises:
            ConfigError: A setting does not fit this CLIP.
        """


class Adapter(nn.Module):
    """One method's weights for one CLIP.

    Args:
        config: The settings it was built from.
        video: Blocks of the vision tower by layer.
        text: Blocks of the text tower by layer.
        trained: Weights of CLIP itself that this method trains, by their full names.
        shared: Weights that blocks of both towers use; named once, as ``shared.0`` and so on.
    """

    longest_video: int | None = None
    """The most frames it can take; None when it does not care."""
    longest_caption: int | None = None
    """The most tokens it can take; None when it does not care."""

    def __init__(
        self,
        config: MethodConfig,
        video: Mapping[int, BlockAdapter[FrameLayout]],
        text: Mapping[int, BlockAdapter[Tensor]],
        trained: Mapping[str, nn.Parameter],
        shared: Sequence[nn.Parameter] = (),
    ) -> None:
        super().__init__()
        self.config = config
        # Registered first, so that what blocks share carries this name and not a block's.
        self.shared = nn.ParameterList(shared)
        self.video_blocks = dict(video)
        self.text_blocks = dict(text)
        self.video = nn.ModuleDict({str(layer): block for layer, block in video.items()})
        self.text = nn.ModuleDict({str(layer): block for layer, block in text.items()})
        self._trained_names = tuple(trained)
        self._trained = nn.ParameterList(trained.values())

    def after_projection(self, frames: FrameEmbeddings, mask: FrameMask) -> FrameEmbeddings:  # noqa: ARG002
        """Replace the projected features of the frames, the last site before they are pooled."""
        return frames

    def weight_changes(self) -> dict[str, Tensor]:
        """What to add to weights of CLIP, by their full names, to have this adapter merged.

        Empty for a method that stands beside CLIP's weights, which cannot be merged.
        """
        return {}

    @property
    def backbone_weights(self) -> dict[str, nn.Parameter]:
        """This adapter's own float32 copies of CLIP weights, by their full names."""
        return dict(zip(self._trained_names, self._trained, strict=True))

    @property
    def backbone_rate_share(self) -> float:
        """What part of the learning rate the copies of CLIP weights take.

        Beside weights of its own a fiftieth, as CLIP's biases in MV-Adapter's recipes (1e-7 beside
        5e-6; the released configurations), and all of it where there are no others.
        """
        has_own = len(self.trainable_parameters()) > len(self._trained_names)
        return 1 / 50 if has_own else 1.0

    def trainable_parameters(self) -> dict[str, nn.Parameter]:
        """Full name -> parameter: all that training moves and a save writes, each once."""
        own = {
            name: parameter
            for name, parameter in self.named_parameters()
            if not name.startswith("_trained.")
        }
        copies = {f"backbone.{name}": copy for name, copy in self.backbone_weights.items()}
        return own | copies


def copies_of(names: Iterable[str], backbone: Backbone) -> dict[str, nn.Parameter]:
    """Float32 copies of weights of CLIP, ready to train."""
    return {name: nn.Parameter(backbone.weights[name].float().clone()) for name in names}


def bias_copies(backbone: Backbone, *, are_trained: bool) -> dict[str, nn.Parameter]:
    """Copies of every bias of CLIP, for a method whose settings let them train too."""
    return copies_of(backbone.bias_names if are_trained else (), backbone)


def resolve_layers(layers: Layers, num_layers: int, setting: str) -> tuple[int, ...]:
    """Turn a setting such as ``"all"`` or ``(-2, -1)`` into layer numbers from 0, in order.

    Raises:
        ConfigError: A layer does not exist, or is named twice.
    """
    if layers == "all":
        return tuple(range(num_layers))
    resolved = []
    for layer in layers:
        if not -num_layers <= layer < num_layers:
            raise ConfigError(
                f"{setting} names layer {layer}, but the tower has layers 0 to {num_layers - 1} "
                f"(or from the end, -1 to -{num_layers})"
            )
        resolved.append(layer % num_layers)
    if len(set(resolved)) < len(resolved):
        raise ConfigError(f"{setting} names a layer twice: {layers}")
    return tuple(sorted(resolved))
