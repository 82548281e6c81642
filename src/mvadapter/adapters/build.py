"""The closed list of methods: a configuration in, an adapter out."""

from collections.abc import Mapping
from typing import Any, TypeAlias, assert_never

from mvadapter.adapters.base import Adapter
from mvadapter.adapters.frozen import FrozenConfig
from mvadapter.adapters.mv_adapter import MvAdapter, MvAdapterConfig
from mvadapter.backbone.clip import Backbone
from mvadapter.errors import UnknownNameError
from mvadapter.settings import settings_from_table

AdapterConfig: TypeAlias = FrozenConfig | MvAdapterConfig

_CONFIGS: tuple[type[AdapterConfig], ...] = (FrozenConfig, MvAdapterConfig)


def build_adapter(config: AdapterConfig, backbone: Backbone) -> Adapter:
    """Make the untrained adapter that a configuration describes, on the backbone's device.

    Its weights are float32 whatever the backbone runs in, and drawn from torch's global generator.

    Raises:
        ConfigError: A setting does not fit this CLIP.
    """
    match config:
        case FrozenConfig():
            adapter = Adapter(config, video={}, text={}, trained={})
        case MvAdapterConfig():
            adapter = MvAdapter(config, backbone)
        case _:
            assert_never(config)
    return adapter.to(backbone.device)


def adapter_config(method: str, settings: Mapping[str, Any], where: str) -> AdapterConfig:
    """Read the configuration of a method from a table of settings.

    Args:
        method: The method's name, such as ``"mv-adapter"``.
        settings: Its settings as TOML or JSON gives them.
        where: What the table is called in an error.

    Raises:
        UnknownNameError: There is no such method, or no such setting.
        ConfigError: A setting has a value it cannot have.
    """
    configs = {config.name: config for config in _CONFIGS}
    if method not in configs:
        raise UnknownNameError("method", method, configs)
    return settings_from_table(configs[method], settings, where)
