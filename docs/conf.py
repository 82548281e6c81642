"""How Sphinx builds the documentation."""

import os
from pathlib import Path

project = "mvadapter"
author = "The mvadapter authors"
copyright = "2026, the mvadapter authors"  # noqa: A001 - the name that Sphinx reads
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build", "study/tables.md", "study/*/tables.md"]
html_theme = "furo"
html_title = "mvadapter"
myst_heading_anchors = 3
autodoc_member_order = "bysource"
default_role = "code"
add_module_names = False


def write_commands(_app: object) -> None:
    """Write the page of commands from their own --help, so that the two cannot differ."""
    os.environ |= {"COLUMNS": "88", "NO_COLOR": "1", "TERMINAL_WIDTH": "88"}
    from typer.testing import CliRunner  # noqa: PLC0415 - after the width is set

    from mvadapter.cli.main import app  # noqa: PLC0415

    names = {command.name: [command.name] for command in app.registered_commands}
    for group in app.registered_groups:
        for command in group.typer_instance.registered_commands:
            names[f"{group.name} {command.name}"] = [group.name, command.name]
    page = ["# Commands", ""]
    page += ["Exit codes: 0 done, 1 ran but something was skipped, 2 bad usage or bad input,"]
    page += ["130 stopped with Ctrl-C; the same command continues.", ""]
    for name, words in sorted(names.items()):
        result = CliRunner().invoke(app, [*words, "--help"], prog_name="mvadapter")
        lines = (line.rstrip() for line in result.output.strip().splitlines())
        page += [f"## {name}", "", "```text", *lines, "```", ""]
    _write("commands.md", page)


def write_methods(_app: object) -> None:
    """Write the page of methods' settings from the one list of methods."""
    from mvadapter.adapters.methods import METHODS  # noqa: PLC0415

    page = ["# Settings of the methods", "", "`mvadapter methods` lists what each trains.", ""]
    for name, path in METHODS.items():
        config = path.partition(":")[2]
        page += [f"## {name}", "", "```{eval-rst}", f".. autoclass:: mvadapter.{config}"]
        page += ["   :members:", "   :inherited-members:", "```", ""]
    _write("methods.md", page)


def _write(name: str, page: list[str]) -> None:
    path = Path(__file__).parent / "reference" / name
    text = "\n".join(page)
    if not path.exists() or path.read_text() != text:
        path.write_text(text)


def setup(app: object) -> None:
    """Hook the written pages into the build."""
    app.connect("builder-inited", write_commands)  # type: ignore[attr-defined]
    app.connect("builder-inited", write_methods)  # type: ignore[attr-defined]
