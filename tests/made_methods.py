"""Installs the example of a method of one's own, as pip would, for as long as a test needs it."""

import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

EXAMPLE = Path(__file__).parents[1] / "examples" / "method_of_your_own"


@contextmanager
def example_installed(site: Path) -> Iterator[None]:
    """Put the example on the path, with the entry points that its pyproject.toml names."""
    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())["project"]
    write_package(site, project["name"], project["entry-points"]["mvadapter.methods"])
    sys.path[:0] = [str(site), str(EXAMPLE)]
    try:
        yield
    finally:
        sys.path.remove(str(site))
        sys.path.remove(str(EXAMPLE))
        sys.modules.pop("mvadapter_ssf", None)


def write_package(site: Path, name: str, methods: dict[str, str]) -> None:
    """Write what pip writes about a package that adds methods."""
    record = site / f"{name.replace('-', '_')}-0.1.0.dist-info"
    record.mkdir()
    (record / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 0.1.0\n")
    lines = [f"{method} = {path}" for method, path in methods.items()]
    (record / "entry_points.txt").write_text("\n".join(["[mvadapter.methods]", *lines]))
