"""No adapter: CLIP as it is, the zero point of every comparison."""

from dataclasses import dataclass
from typing import ClassVar

from mvadapter.adapters.base import Adapter, MethodConfig
from mvadapter.backbone.clip import Backbone


@dataclass(frozen=True, slots=True, kw_only=True)
class FrozenConfig(MethodConfig):
    """The frozen CLIP has no settings."""

    name: ClassVar[str] = "frozen"
    what: ClassVar[str] = "CLIP as it is"

    def build(self, backbone: Backbone) -> Adapter:  # noqa: ARG002
        """Make an adapter that does nothing."""
        return Adapter(self, video={}, text={}, trained={})
