"""A CLIP in, every method and variant with what it trains beside it out."""

import dataclasses
from dataclasses import dataclass
from typing import Any

from mvadapter.adapters.build import adapter_config, count_trainable
from mvadapter.adapters.catalog import method_class, method_names
from mvadapter.adapters.variants import VARIANTS
from mvadapter.backbone.clip import Backbone
from mvadapter.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class MethodSize:
    """A method or variant beside a CLIP."""

    name: str
    what: str
    """What it does, in one line."""
    trainable: int
    """Trained weights."""
    share_percent: float
    """Of CLIP's weights."""

    def to_dict(self) -> dict[str, Any]:
        """As plain values, for JSON."""
        return dataclasses.asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class MethodList:
    """Every method and variant beside a CLIP."""

    methods: tuple[MethodSize, ...]
    left_out: dict[str, str]
    """Those that do not fit this CLIP: name -> reason."""


def list_methods(backbone: Backbone) -> MethodList:
    """Count what each method and variant trains beside a CLIP."""
    descriptions = {name: method_class(name).what for name in method_names()}
    descriptions |= {name: variant.what for name, variant in VARIANTS.items()}
    methods, left_out = [], {}
    for name, what in descriptions.items():
        try:
            trainable = count_trainable(adapter_config(name, {}, name), backbone)
        except ConfigError as error:
            left_out[name] = str(error)
            continue
        share_percent = 100 * trainable / backbone.num_weights
        methods.append(
            MethodSize(name=name, what=what, trainable=trainable, share_percent=share_percent)
        )
    return MethodList(methods=tuple(methods), left_out=left_out)
