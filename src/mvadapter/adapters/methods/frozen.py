"""No adapter: CLIP as it is, the zero point of every comparison."""

from dataclasses import dataclass
from typing import ClassVar

from mvadapter.adapters.base import MethodConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class FrozenConfig(MethodConfig):
    """The frozen CLIP has no settings."""

    name: ClassVar[str] = "frozen"
    what: ClassVar[str] = "CLIP as it is"
