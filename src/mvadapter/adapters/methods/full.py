"""Full fine-tuning: every weight of CLIP trains, as in CLIP4Clip (Luo et al. 2021)."""

from dataclasses import dataclass
from typing import ClassVar

from mvadapter.adapters.base import Adapter, MethodConfig, copies_of
from mvadapter.backbone.clip import Backbone


@dataclass(frozen=True, slots=True, kw_only=True)
class FullConfig(MethodConfig):
    """Full fine-tuning has no settings."""

    name: ClassVar[str] = "full"
    what: ClassVar[str] = "every weight of CLIP trains"
    default_learning_rate: ClassVar[float] = 5e-5

    def build(self, backbone: Backbone) -> "Full":
        """Make the untrained adapter."""
        return Full(self, backbone)


class Full(Adapter):
    """Copies of all weights of CLIP, its temperature among them.

    DEPARTS: the copies are float32. CLIP4Clip and the authors of MV-Adapter hold float16 weights,
    in which rounding decides which weights move, and how far, more than the learning rate does.

    Args:
        config: The settings.
        backbone: The CLIP it is for.
    """

    def __init__(self, config: FullConfig, backbone: Backbone) -> None:
        super().__init__(config, video={}, text={}, trained=copies_of(backbone.weights, backbone))
