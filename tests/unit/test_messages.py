"""Messages of the library name settings and Python arguments, which every caller has."""

import ast
import re
from pathlib import Path

import pytest

import mvadapter

_PACKAGE = Path(mvadapter.__file__).parent
# The checkout calls git, with git's own options.
_MODULES = sorted(
    path
    for path in _PACKAGE.rglob("*.py")
    if "cli" not in path.relative_to(_PACKAGE).parts and path.name != "checkout.py"
)
# A complete command with its options is fine: "mvadapter data prepare --frames".
_OPTION_OUTSIDE_A_COMMAND = re.compile(r"(?<![-\w])--[a-z]")
_COMMAND = re.compile(r"mvadapter [a-z][^;')\n]*")


def messages(tree):
    """The texts in raise statements, log calls and constants, one for each statement."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Raise | ast.Assign | ast.Return | ast.Expr):
            if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
                continue
            yield "{}".join(
                part.value
                for part in ast.walk(node)
                if isinstance(part, ast.Constant) and isinstance(part.value, str)
            )


def options_named(source):
    texts = (_COMMAND.sub("", text) for text in messages(ast.parse(source)))
    return [text for text in texts if _OPTION_OUTSIDE_A_COMMAND.search(text)]


@pytest.mark.parametrize("path", _MODULES, ids=lambda path: str(path.relative_to(_PACKAGE)))
def test_no_message_of_the_library_names_an_option_of_the_command_line(path):
    assert options_named(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("source", "num_found"),
    [
        ('raise DataError(f"{path}: no such file; give --videos")', 1),
        ('log.warning("%s: slow; use --jobs", table)', 1),
        ('_HINT = "or leave it out with --missing skip"', 1),
        ('raise DataError("run: mvadapter data prepare --frames")', 0),
        ('"""What --frames stores."""', 0),
    ],
)
def test_an_option_in_a_message_is_found(source, num_found):
    assert len(options_named(source)) == num_found
