"""Only the two output projections of CLIP train: the smallest change of the shared space."""

from dataclasses import dataclass
from typing import ClassVar

from mvadapter.adapters.base import Adapter, MethodConfig, copies_of
from mvadapter.backbone.clip import Backbone

_PROJECTIONS = ("vision.projection.weight", "text.projection.weight")


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectionConfig(MethodConfig):
    """Training the projections has no settings."""

    name: ClassVar[str] = "projection"
    what: ClassVar[str] = "the two output projections train"

    def build(self, backbone: Backbone) -> "Projection":
        """Make the untrained adapter."""
        return Projection(self, backbone)


class Projection(Adapter):
    """Copies of both towers' output projections.

    Args:
        config: The settings.
        backbone: The CLIP it is for.
    """

    def __init__(self, config: ProjectionConfig, backbone: Backbone) -> None:
        super().__init__(config, video={}, text={}, trained=copies_of(_PROJECTIONS, backbone))
