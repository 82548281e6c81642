"""A configuration in, an adapter out."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import torch

from mvadapter.adapters.base import Adapter, MethodConfig
from mvadapter.adapters.catalog import method_class, method_of
from mvadapter.adapters.variants import VARIANTS
from mvadapter.backbone.clip import Backbone
from mvadapter.settings import settings_from_table


def build_adapter(config: MethodConfig, backbone: Backbone) -> Adapter:
    """Make the untrained adapter that a configuration describes, on the backbone's device.

    Its weights are float32 whatever the backbone runs in, and drawn from torch's global generator.

    Raises:
        ConfigError: A setting does not fit this CLIP.
    """
    return config.build(backbone).to(backbone.device)


def adapter_config(name: str, settings: Mapping[str, Any], where: str) -> MethodConfig:
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
    if name in VARIANTS:
        settings = {**VARIANTS[name].settings, **settings}
    return settings_from_table(method_class(method_of(name)), settings, where)


def build_on_meta(config: MethodConfig, backbone: Backbone) -> Adapter:
    """Make an adapter without its numbers: names and shapes alone, at no cost.

    Raises:
        ConfigError: A setting does not fit this CLIP.
    """
    shapes = {name: weight.to("meta") for name, weight in backbone.weights.items()}
    with torch.device("meta"):
        return build_adapter(config, dataclasses.replace(backbone, weights=shapes))


def count_trainable(config: MethodConfig, backbone: Backbone) -> int:
    """How many weights a method trains beside this CLIP.

    Raises:
        ConfigError: A setting does not fit this CLIP.
    """
    parameters = build_on_meta(config, backbone).trainable_parameters()
    return sum(parameter.numel() for parameter in parameters.values())
