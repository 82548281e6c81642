import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from mvadapter.files import write_text
from mvadapter.unfinished import finished_names, unfinished

# Writes half a file, as a library may do it, and waits.
WRITER = """
import sys
from pathlib import Path
from mvadapter.files import atomic_write
with atomic_write(Path(sys.argv[1])) as aside:
    aside.write_text("half")
    (aside.parent / ".tmp123").touch()
    print("writing", flush=True)
    input()
"""


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def writer(tmp_path):
    command = [sys.executable, "-c", WRITER, str(tmp_path / "a.txt")]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, **pipes, text=True) as process:
        assert process.stdout.readline() == "writing\n"
        yield process
        process.kill()


def test_what_a_killed_process_left_is_removed_by_the_next_who_writes_there(writer, tmp_path):
    writer.kill()
    writer.wait()
    assert len(names_in(tmp_path)) == 1

    write_text(tmp_path / "b.txt", "new")

    assert names_in(tmp_path) == ["b.txt"]


def test_what_another_process_is_writing_is_left_alone(writer, tmp_path):
    write_text(tmp_path / "a.txt", "first")
    assert finished_names(tmp_path) == {"a.txt"}
    writer.communicate("\n")

    assert writer.returncode == 0
    assert (tmp_path / "a.txt").read_text() == "half"
    assert names_in(tmp_path) == ["a.txt"]


def test_files_of_others_with_like_names_stay(tmp_path):
    (tmp_path / ".mvadapter-notes.part").mkdir()
    (tmp_path / ".mvadapter-0123abcd.part").touch()

    with unfinished(tmp_path) as place:
        (place / "a").touch()

    assert names_in(tmp_path) == [".mvadapter-0123abcd.part", ".mvadapter-notes.part"]


def test_many_writers_at_once_remove_nothing_of_one_another(tmp_path):
    def write(number):
        for _ in range(20):
            write_text(tmp_path / f"{number}.txt", str(number))

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(write, range(8)))

    assert names_in(tmp_path) == [f"{number}.txt" for number in range(8)]
