import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest

from mvadapter import files
from mvadapter.errors import ConfigError
from mvadapter.files import atomic_write, locked, write_text

TAKEN = ConfigError("taken")


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def test_two_writers_of_one_file_do_not_disturb_each_other(tmp_path):
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


def test_a_name_may_be_as_long_as_the_file_system_allows(tmp_path):
    path = tmp_path / ("映" * 83 + ".txt")

    write_text(path, "new")

    assert path.read_text() == "new"


def test_a_lock_excludes_other_threads_of_the_process(tmp_path):
    def hold():
        with locked(tmp_path / "lock", TAKEN):
            return True

    with ThreadPoolExecutor() as threads:
        with locked(tmp_path / "lock", None), pytest.raises(ConfigError, match="taken"):
            threads.submit(hold).result()

        assert threads.submit(hold).result()


def test_who_waits_for_a_lock_gets_it_when_it_is_released(tmp_path):
    order, begins = [], Event()

    def wait():
        begins.set()
        with locked(tmp_path / "lock", None):
            order.append("second")

    with ThreadPoolExecutor() as threads:
        with locked(tmp_path / "lock", None):
            waiting = threads.submit(wait)
            begins.wait()
            order.append("first")
        waiting.result()

    assert order == ["first", "second"]


@pytest.mark.skipif(os.name == "nt", reason="Windows removes no open file")
def test_a_lock_whose_file_was_removed_meanwhile_is_taken_again(tmp_path, monkeypatch):
    path, take = tmp_path / "lock", files.lock_descriptor

    def take_after_removal(descriptor, *, blocking):
        monkeypatch.undo()
        path.unlink()
        return take(descriptor, blocking=blocking)

    monkeypatch.setattr(files, "lock_descriptor", take_after_removal)

    with (
        locked(path, None),
        pytest.raises(ConfigError, match="taken"),
        locked(path, TAKEN),
    ):
        pass


def test_an_error_inside_releases_the_lock(tmp_path):
    with pytest.raises(ValueError, match="inside"), locked(tmp_path / "lock", None):
        raise ValueError("inside")

    with locked(tmp_path / "lock", TAKEN):
        pass


def test_the_lock_of_a_killed_process_is_released_and_its_file_stays(tmp_path):
    code = (
        "import sys; from pathlib import Path; from mvadapter.files import locked\n"
        "with locked(Path(sys.argv[1]), None): print('held', flush=True); input()"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "lock")]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, **pipes, text=True) as holder:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(ConfigError, match="taken"), locked(tmp_path / "lock", TAKEN):
            pass
        holder.kill()

    assert names_in(tmp_path) == ["lock"]
    with locked(tmp_path / "lock", TAKEN):
        pass
    assert names_in(tmp_path) == ["lock"]
