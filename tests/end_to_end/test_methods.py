"""The list of methods, as the command prints it."""

import json

from rich.console import Console

from commands import run_command, run_process
from mvadapter.adapters.methods import METHODS
from mvadapter.adapters.methods.full import FullConfig
from mvadapter.adapters.variants import VARIANTS
from mvadapter.cli import console

# The tiny CLIP has too few layers for the last two.
NAMES = {*METHODS, *VARIANTS} - {"mv-adapter-tied-6", "mv-adapter-tied-12"}


def test_every_method_that_fits_is_listed_with_what_it_trains():
    done = run_process("methods", "--json")

    found = {row.pop("name"): row for row in json.loads(done.stdout)}
    assert found.keys() == NAMES
    assert found["full"]["what"] == FullConfig.what
    assert (found["full"]["trainable"], found["full"]["share_percent"]) == (2_614_785, 100.0)
    assert (found["frozen"]["trainable"], found["frozen"]["share_percent"]) == (0, 0.0)
    assert found["projection"]["trainable"] == 40_960


def test_a_narrow_terminal_breaks_no_name_and_no_number(monkeypatch):
    monkeypatch.setattr(console, "_stdout", Console(width=80))

    shown = run_command("methods", "--backbone", "tiny").stdout

    assert [name for name in NAMES if f" {name} " not in shown] == []
    assert " 100.000 % " in shown
