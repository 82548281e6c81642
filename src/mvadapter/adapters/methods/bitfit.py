"""BitFit: only the biases train (Ben Zaken et al. 2022, "BitFit", section 3)."""

from dataclasses import dataclass
from typing import ClassVar

from mvadapter.adapters.base import Adapter, MethodConfig, copies_of
from mvadapter.backbone.clip import Backbone


@dataclass(frozen=True, slots=True, kw_only=True)
class BitFitConfig(MethodConfig):
    """BitFit has no settings."""

    name: ClassVar[str] = "bitfit"
    what: ClassVar[str] = "every bias of CLIP trains"

    def build(self, backbone: Backbone) -> "BitFit":
        """Make the untrained adapter."""
        return BitFit(self, backbone)


class BitFit(Adapter):
    """Copies of every bias of both towers: attention, MLPs and layer norms.

    Args:
        config: The settings.
        backbone: The CLIP it is for.
    """

    def __init__(self, config: BitFitConfig, backbone: Backbone) -> None:
        super().__init__(
            config, video={}, text={}, trained=copies_of(backbone.bias_names, backbone)
        )
