"""Nothing that a file name or a caption holds can drive the terminal or forge a line."""

import json
import logging
import os
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import mvadapter
from mvadapter.cli import console

_FORGED = "a\x1b[2Jb\rc\nmvadapter: error: forged\x9b31m\u202etxt.exe\u2028\udce9"


@given(st.text())
def test_printable_text_is_one_line_without_controls(text):
    shown = console.printable(text)

    assert len(shown.splitlines()) <= 1
    assert all(character.isprintable() or not character.isascii() for character in shown)
    shown.encode("utf-8")


@pytest.mark.parametrize("text", ["дом", "猫 [a].mp4", "ﻢﻗﻻ", "नमस्ते", "👩\u200d👧", "a:smile:b"])
def test_text_of_every_script_is_printed_as_it_is(text, capfd):
    assert console.printable(text) == text

    console.inform(text)

    assert capfd.readouterr().err == f"{text}\n"


@pytest.mark.parametrize("show", [console.inform, console.print_error])
def test_a_message_with_controls_is_one_line(show, capfd):
    show(_FORGED)

    printed = capfd.readouterr().err
    assert printed.count("\n") == 1
    assert "a\\x1b[2Jb\\rc\\nmvadapter" in printed
    assert "\\x9b31m\\u202etxt.exe\\u2028\\udce9" in printed


def test_a_table_of_foreign_names_keeps_its_lines(capfd):
    console.print_table("of \x1b[1mx\ny", ["video", "score"], [["a\nb\x1b[0m", "1\n2"]])

    printed = capfd.readouterr().out
    assert "\x1b[1mx" not in printed
    assert "a\\nb\\x1b[0m" in printed
    # The title, three lines of the frame, the header, and the two lines of the number.
    assert printed.count("\n") == 7


def test_json_holds_the_same_text_without_controls(capsys):
    console.print_json({"name": _FORGED})

    printed = capsys.readouterr().out
    assert json.loads(printed) == {"name": _FORGED}
    assert not {"\x1b", "\r", "\x9b", "\u202e", "\u2028", "\udce9"} & set(printed)


def test_what_the_library_logs_is_printed_in_one_line(capfd):
    log = logging.getLogger("mvadapter.some.room")
    with console.shown_log():
        log.info("read %s", "a\nb")
        log.warning("odd")
    log.info("not shown")

    assert capfd.readouterr().err == "note: read a\\nb\nnote: odd\n"


def test_no_other_place_of_the_package_prints():
    room = Path(mvadapter.__file__).parent
    prints = re.compile(r"(?<!\w)print\(|std(err|out)\.write|typer\.echo|print_exc")
    places = {
        path.relative_to(room).as_posix()
        for path in room.rglob("*.py")
        if prints.search(path.read_text())
    }

    # The last prints the version, and nothing that is foreign.
    assert places == {"cli/console.py", "cli/stopping.py", "cli/main.py"}


def test_a_path_on_another_drive_is_shown_complete(monkeypatch):
    def refuse(_path):
        # As on Windows, where one drive has no path to another.
        raise ValueError("path is on mount 'D:', start on mount 'C:'")

    monkeypatch.setattr(os.path, "relpath", refuse)

    assert console.show_path(Path("/videos/a.mp4")) == str(Path("/videos/a.mp4"))
