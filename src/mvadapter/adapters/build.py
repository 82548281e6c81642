"""The closed list of methods: a configuration in, an adapter out."""

import dataclasses
from collections.abc import Mapping
from typing import Any, TypeAlias, assert_never, get_args

import torch

from mvadapter.adapters.base import Adapter
from mvadapter.adapters.methods.adaptformer import AdaptFormer, AdaptFormerConfig
from mvadapter.adapters.methods.bitfit import BitFit, BitFitConfig
from mvadapter.adapters.methods.convpass import Convpass, ConvpassConfig
from mvadapter.adapters.methods.cross_modal import CrossModalAdapter, CrossModalAdapterConfig
from mvadapter.adapters.methods.frozen import FrozenConfig
from mvadapter.adapters.methods.full import Full, FullConfig
from mvadapter.adapters.methods.lora import Lora, LoraConfig
from mvadapter.adapters.methods.mv_adapter import MvAdapter, MvAdapterConfig
from mvadapter.adapters.methods.projection import Projection, ProjectionConfig
from mvadapter.adapters.methods.prompts import Prompts, PromptsConfig
from mvadapter.adapters.methods.sequence_transformer import (
    SequenceTransformer,
    SequenceTransformerConfig,
)
from mvadapter.adapters.methods.st_adapter import StAdapter, StAdapterConfig
from mvadapter.adapters.variants import VARIANTS
from mvadapter.backbone.clip import Backbone
from mvadapter.errors import UnknownNameError
from mvadapter.settings import settings_from_table

AdapterConfig: TypeAlias = (
    FrozenConfig
    | FullConfig
    | ProjectionConfig
    | BitFitConfig
    | LoraConfig
    | AdaptFormerConfig
    | ConvpassConfig
    | StAdapterConfig
    | CrossModalAdapterConfig
    | SequenceTransformerConfig
    | PromptsConfig
    | MvAdapterConfig
)

_CONFIGS: dict[str, type[AdapterConfig]] = {
    config.name: config for config in get_args(AdapterConfig)
}
METHODS: dict[str, str] = {config.name: config.what for config in _CONFIGS.values()}
"""Every method and what it is; `VARIANTS` has more names, each a method with settings."""


def build_adapter(config: AdapterConfig, backbone: Backbone) -> Adapter:  # noqa: C901, PLR0912 - a line a method
    """Make the untrained adapter that a configuration describes, on the backbone's device.

    Its weights are float32 whatever the backbone runs in, and drawn from torch's global generator.

    Raises:
        ConfigError: A setting does not fit this CLIP.
    """
    match config:
        case FrozenConfig():
            adapter = Adapter(config, video={}, text={}, trained={})
        case FullConfig():
            adapter = Full(config, backbone)
        case ProjectionConfig():
            adapter = Projection(config, backbone)
        case BitFitConfig():
            adapter = BitFit(config, backbone)
        case LoraConfig():
            adapter = Lora(config, backbone)
        case AdaptFormerConfig():
            adapter = AdaptFormer(config, backbone)
        case ConvpassConfig():
            adapter = Convpass(config, backbone)
        case StAdapterConfig():
            adapter = StAdapter(config, backbone)
        case CrossModalAdapterConfig():
            adapter = CrossModalAdapter(config, backbone)
        case SequenceTransformerConfig():
            adapter = SequenceTransformer(config, backbone)
        case PromptsConfig():
            adapter = Prompts(config, backbone)
        case MvAdapterConfig():
            adapter = MvAdapter(config, backbone)
        case _:
            assert_never(config)
    return adapter.to(backbone.device)


def adapter_config(name: str, settings: Mapping[str, Any], where: str) -> AdapterConfig:
    """Read the configuration of a method from a table of settings.

    Args:
        name: A method, such as ``"mv-adapter"``, or a variant of one, such as
            ``"mv-adapter-untied"``.
        settings: Its settings as TOML or JSON gives them; they win over the variant's own.
        where: What the table is called in an error.

    Raises:
        UnknownNameError: There is no such method, or no such setting.
        ConfigError: A setting has a value it cannot have.
    """
    method = method_of(name)
    if name in VARIANTS:
        settings = {**VARIANTS[name].settings, **settings}
    return settings_from_table(_CONFIGS[method], settings, where)


def method_of(name: str) -> str:
    """The method behind a name, which may be a variant's.

    Raises:
        UnknownNameError: There is neither a method nor a variant of that name.
    """
    method = VARIANTS[name].method if name in VARIANTS else name
    if method not in _CONFIGS:
        raise UnknownNameError("method", name, [*METHODS, *VARIANTS])
    return method


def build_on_meta(config: AdapterConfig, backbone: Backbone) -> Adapter:
    """Make an adapter without its numbers: names and shapes alone, at no cost.

    Raises:
        ConfigError: A setting does not fit this CLIP.
    """
    shapes = {name: weight.to("meta") for name, weight in backbone.weights.items()}
    with torch.device("meta"):
        return build_adapter(config, dataclasses.replace(backbone, weights=shapes))


def count_trainable(config: AdapterConfig, backbone: Backbone) -> int:
    """How many weights a method trains beside this CLIP.

    Raises:
        ConfigError: A setting does not fit this CLIP.
    """
    parameters = build_on_meta(config, backbone).trainable_parameters()
    return sum(parameter.numel() for parameter in parameters.values())
