import os
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from mvadapter.errors import ConfigError
from mvadapter.isolation import Isolation, Processes
from mvadapter.workers import Ended, map_in_order, run_all

GIB = 2**30


@dataclass(frozen=True)
class Takes:
    """Yields its process's number, and takes time or memory before each."""

    seconds: float = 0.0
    num_bytes: int = 0
    num_pieces: int = 1
    aborts: bool = False
    hangs: bool = False

    def run(self):
        for _ in range(self.num_pieces):
            time.sleep(self.seconds)
            np.ones(self.num_bytes, np.uint8)
            if self.aborts:
                os.abort()
            yield os.getpid()
            if self.hangs:
                time.sleep(1000)
        return "done"

    def lost(self, reason):
        return reason


def summaries(items, isolation):
    found = run_all(items, num_workers=1, max_waiting=2, isolation=isolation)
    return [piece.summary for _, piece in found if isinstance(piece, Ended)]


def is_alive(process):
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    # What nobody has waited for yet still has a number.
    status = Path(f"/proc/{process}/stat")
    return not (status.exists() and status.read_text().rsplit(")", 1)[1].split()[0] == "Z")


def test_an_item_that_hangs_is_given_up_and_the_next_one_runs():
    isolation = Isolation(max_seconds=2.0)

    found = summaries([Takes(seconds=1000), Takes()], isolation)

    assert found == ["took more than 2 s to decode", "done"]


def test_an_item_that_hangs_between_pieces_is_given_up_as_well():
    isolation = Isolation(max_silent_seconds=2.0)

    found = summaries([Takes(seconds=1000), Takes()], isolation)

    assert found == ["a part of it took more than 2 s to decode", "done"]


def test_many_short_pieces_are_too_long_together():
    isolation = Isolation(max_seconds=1.0)

    assert summaries([Takes(seconds=0.2, num_pieces=1000)], isolation) == [
        "took more than 1 s to decode"
    ]


def test_the_time_of_who_asks_does_not_count():
    with closing(Processes(Isolation(max_seconds=3.0))) as processes:
        pieces = processes.pieces_of(Takes(num_pieces=3))
        for _ in pieces:
            time.sleep(1.1)
        assert list(pieces) == []

        assert processes.run(Takes()) == "done"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux keeps the limit")
def test_an_item_that_needs_too_much_memory_is_given_up_and_the_next_one_runs():
    found = summaries([Takes(num_bytes=GIB), Takes(num_bytes=2**20)], Isolation(max_bytes=GIB // 2))

    assert found == ["needed more than 0.5 GiB of memory", "done"]


def test_a_library_that_ends_its_process_may_have_lacked_memory():
    (found,) = summaries([Takes(aborts=True)], Isolation())

    assert found == (
        "the process that read it died (exit code -6; perhaps it needed more than 4 GiB of memory)"
    )


def test_closing_kills_a_process_that_hangs():
    pieces = run_all([Takes(hangs=True)], num_workers=1, max_waiting=1, isolation=Isolation())
    _, process = next(pieces)

    pieces.close()

    assert not is_alive(process)


def test_calls_that_hang_in_processes_end_when_nobody_wants_their_results():
    processes = Processes(Isolation())
    results = map_in_order(
        processes.run,
        [Takes(), Takes(seconds=1000)],
        num_workers=1,
        max_waiting=2,
        stop=processes.close,
    )

    assert next(results) == "done"
    results.close()


def test_processes_end_with_a_parent_that_is_killed_even_while_they_hang():
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from test_isolation import Takes\n"
        "from mvadapter.isolation import Isolation, Processes\n"
        "if __name__ == '__main__':\n"
        "    pieces = Processes(Isolation()).pieces_of(Takes(hangs=True))\n"
        "    print(next(pieces), flush=True)\n"
        "    next(pieces)\n"
    )
    command = [sys.executable, "-c", code, Path(__file__).parent]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        process = int(parent.stdout.readline())
        assert is_alive(process)
        parent.kill()

    for _ in range(600):
        if not is_alive(process):
            break
        time.sleep(0.1)
    assert not is_alive(process)


@pytest.mark.parametrize("name", ["max_seconds", "max_silent_seconds", "max_bytes"])
def test_a_limit_must_allow_something(name):
    with pytest.raises(ConfigError, match=f"{name} must be above 0, got 0"):
        Isolation(**{name: 0 if name == "max_bytes" else 0.0})
