"""Names, commands and files in the documentation exist."""

import re
import tomllib
from pathlib import Path

import pytest
import typer

import mvadapter
from mvadapter.adapters.methods import METHODS
from mvadapter.cli.main import app

_ROOT = Path(__file__).parents[2]
_PAGES = sorted([_ROOT / "README.md", *(_ROOT / "docs").rglob("*.md")])


def commands(group, prefix=""):
    """Every command by its full name, such as "data check"."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, f"{prefix}{name} ")
        else:
            yield f"{prefix}{name}", command


_COMMANDS = dict(commands(typer.main.get_command(app)))


def blocks(language):
    """Every code block of a language, with its page as the id."""
    for page in _PAGES:
        if page.name == "commands.md":
            continue
        for block in re.findall(rf"```{language}\n(.*?)```", page.read_text(), re.DOTALL):
            yield pytest.param(block, id=f"{page.relative_to(_ROOT)}: {block.splitlines()[0]}")


@pytest.mark.parametrize("block", list(blocks("sh")))
def test_every_command_and_option_in_a_guide_exists(block):
    for line in block.splitlines():
        words = line.split("#")[0].replace('"', " ").split()
        if words[:1] == ["make"]:
            assert f"\n{words[1]}:" in (_ROOT / "Makefile").read_text()
        elif words[:1] == ["mvadapter"]:
            name = next((n for n in (words[1], " ".join(words[1:3])) if n in _COMMANDS), None)
            assert name, line
            known = {option for parameter in _COMMANDS[name].params for option in parameter.opts}
            assert {word for word in words if word.startswith("--")} <= known, line


@pytest.mark.parametrize("block", list(blocks("python")))
def test_every_name_imported_in_a_guide_is_public(block):
    compile(block, "a guide", "exec")
    for names in re.findall(r"from mvadapter import (.+)", block):
        assert {name.strip() for name in names.split(",")} <= set(mvadapter.__all__)


def test_every_public_name_is_in_the_reference():
    reference = (_ROOT / "docs" / "reference" / "python.md").read_text()
    # The build writes the page of the methods from this list.
    written = {path.partition(":")[2] for path in METHODS.values()}

    missing = [name for name in mvadapter.__all__ if f"mvadapter.{name}" not in reference]
    missing = [name for name in missing if name not in written]

    assert missing == []


def test_every_command_is_in_a_guide_or_the_readme():
    text = "\n".join(page.read_text() for page in _PAGES if page.name != "commands.md")

    missing = [name for name in _COMMANDS if f"mvadapter {name}" not in re.sub(r" +", " ", text)]

    assert missing == []


def test_every_command_has_help_and_so_has_each_option():
    for name, command in _COMMANDS.items():
        assert command.help, name
        for parameter in command.params:
            assert getattr(parameter, "help", None), f"{name} {parameter.name}"


@pytest.mark.parametrize("page", _PAGES, ids=lambda page: str(page.relative_to(_ROOT)))
def test_links_between_pages_lead_somewhere(page):
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text()):
        assert (page.parent / target).exists(), target


def test_the_changelog_speaks_of_this_version():
    version = tomllib.loads((_ROOT / "pyproject.toml").read_text())["project"]["version"]

    assert f"## {version}" in (_ROOT / "CHANGELOG.md").read_text()
