"""What differs between kinds of dual encoders; each is one value, in a file of its own."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from transformers import PreTrainedConfig, PreTrainedModel

from mvadapter.backbone.recipes import PixelRecipe
from mvadapter.backbone.towers import TextShape, VisionShape


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """A kind of dual encoder that transformers knows and our towers can run."""

    config_class: type[PreTrainedConfig]
    model_class: type[PreTrainedModel]
    default_pixels: Callable[[int], PixelRecipe]
    """The recipe for pictures of that side, where the folder describes none."""
    shapes: Callable[[Any], tuple[VisionShape, TextShape]]
    """Read both towers' shapes from transformers' config.

    Raises:
        ConfigError: Our towers cannot run that shape.
    """
    weight_names: Callable[[VisionShape, TextShape], dict[str, str]]
    """Our name of every weight -> transformers' name of it."""

    def renamed(
        self, tensors: Mapping[str, Tensor], vision: VisionShape, text: TextShape
    ) -> Iterator[tuple[str, Tensor]]:
        """Give transformers' tensors our names, in their order; what is no weight is left out."""
        ours = {theirs: name for name, theirs in self.weight_names(vision, text).items()}
        return ((ours[name], tensor) for name, tensor in tensors.items() if name in ours)
