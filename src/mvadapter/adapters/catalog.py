"""The name of a method in, its configuration class out: built in, or of an installed package."""

import importlib
import inspect
from importlib.metadata import EntryPoint, entry_points

from mvadapter.adapters.base import MethodConfig
from mvadapter.adapters.methods import METHODS
from mvadapter.adapters.variants import VARIANTS
from mvadapter.errors import ConfigError, UnknownNameError

ENTRY_POINTS = "mvadapter.methods"
"""The group under which a package names its methods, each as ``name = "module:ConfigClass"``."""


def method_names() -> tuple[str, ...]:
    """Every method by name: the built-in ones, then those of installed packages.

    Raises:
        ConfigError: A package uses a name that is taken.
    """
    return (*METHODS, *_methods_of_packages())


def method_class(name: str) -> type[MethodConfig]:
    """The configuration class of a method.

    Raises:
        UnknownNameError: There is no such method.
        ConfigError: A package uses a name that is taken, or its method cannot be used.
    """
    of_packages = _methods_of_packages()
    if name in of_packages:
        return _load(of_packages[name])
    if name not in METHODS:
        raise UnknownNameError("method", name, [*METHODS, *of_packages, *VARIANTS])
    module, _, attribute = METHODS[name].partition(":")
    found: type[MethodConfig] = getattr(importlib.import_module(module), attribute)
    return found


def method_of(name: str) -> str:
    """The method behind a name, which may be a variant's.

    Raises:
        UnknownNameError: There is neither a method nor a variant of that name.
    """
    if name in VARIANTS:
        return VARIANTS[name].method
    if name not in METHODS:
        method_class(name)
    return name


def _methods_of_packages() -> dict[str, EntryPoint]:
    found: dict[str, EntryPoint] = {}
    for entry in entry_points(group=ENTRY_POINTS):
        if entry.name in METHODS or entry.name in VARIANTS:
            raise ConfigError(
                f"package {_package(entry)} adds a method {entry.name!r}, but mvadapter has one of "
                f"that name; rename it in the package, or uninstall the package"
            )
        if entry.name in found:
            raise ConfigError(
                f"packages {_package(found[entry.name])} and {_package(entry)} both add a method "
                f"{entry.name!r}; uninstall one of them"
            )
        found[entry.name] = entry
    return found


def _load(entry: EntryPoint) -> type[MethodConfig]:
    where = f"method {entry.name!r} of package {_package(entry)}"
    try:
        found = entry.load()
    # The code of others may raise anything.
    except Exception as error:
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise ConfigError(f"{where}: {entry.value} cannot be imported: {reason}") from error
    if not (isinstance(found, type) and issubclass(found, MethodConfig)):
        raise ConfigError(f"{where}: {entry.value} is no subclass of MethodConfig")
    if inspect.isabstract(found):
        raise ConfigError(f"{where}: {entry.value} has no method build")
    if getattr(found, "name", None) != entry.name or not hasattr(found, "what"):
        raise ConfigError(
            f"{where}: {entry.value} needs the class variables name = {entry.name!r} and what"
        )
    return found


def _package(entry: EntryPoint) -> str:
    return repr(entry.dist.name) if entry.dist else f"of {entry.value}"
