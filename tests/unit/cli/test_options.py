"""The options of the commands, as `--help` lists them."""

from collections import defaultdict

import typer

from mvadapter.cli.main import app

# These name a different thing in each command.
_OWN_MEANING = {
    "--adapter", "--backbone of data check", "--backbone of data prepare", "--output", "--split",
    "--top", "--videos",
}  # fmt: skip


def options(group, prefix=""):
    """The command, the name and the help of every option."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from options(command, f"{prefix}{name} ")
            continue
        for parameter in command.params:
            if parameter.opts[0].startswith("--"):
                yield f"{prefix}{name}", parameter.opts[0], parameter.help


def test_an_option_has_one_help_text_in_all_commands():
    texts = defaultdict(set)
    for command, option, text in options(typer.main.get_command(app)):
        if not {option, f"{option} of {command}"} & _OWN_MEANING:
            texts[option].add(text)

    assert len(texts) > 20
    assert {option: found for option, found in texts.items() if len(found) > 1} == {}
