import os
import time

import pytest

from mvadapter.files import atomic_write, write_text


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def test_two_writers_of_one_file_do_not_meet(tmp_path):
    path = tmp_path / "a.txt"

    with atomic_write(path) as first, atomic_write(path) as second:
        first.write_text("first")
        second.write_text("second")

    assert path.read_text() == "first"
    assert names_in(tmp_path) == ["a.txt"]


def test_a_file_has_the_rights_of_any_other_however_it_was_made(tmp_path):
    (tmp_path / "other").touch()

    with atomic_write(tmp_path / "a.txt") as aside:
        aside.unlink(missing_ok=True)
        aside.touch(mode=0o600)

    assert (tmp_path / "a.txt").stat().st_mode == (tmp_path / "other").stat().st_mode


def test_an_error_leaves_what_was_there(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")

    with pytest.raises(ValueError, match="half"), atomic_write(path) as aside:
        aside.write_text("ne")
        raise ValueError("half")

    assert path.read_text() == "old"
    assert names_in(tmp_path) == ["a.txt"]


def test_what_a_killed_process_left_goes_after_a_day(tmp_path):
    yesterday = time.time() - 25 * 60 * 60
    left = [".a.txt.0123abcd.part", ".a.txt.4711.part"]
    others = [".a.txt.notes.part", ".b.txt.0123abcd.part"]
    for name in (*left, *others):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (yesterday, yesterday))
    (tmp_path / ".a.txt.89abcdef.part").touch()

    write_text(tmp_path / "a.txt", "new")

    assert names_in(tmp_path) == sorted([*others, ".a.txt.89abcdef.part", "a.txt"])
