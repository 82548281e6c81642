"""Runs a command and holds it at one call, so that a test can interrupt it exactly there.

A test that waits for a file or sleeps depends on how fast the machine is: the command may already
have ended. Here the command itself stops, reports that it is there, and waits for the test.
"""

import functools
import itertools
import os
import pkgutil
import runpy
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from commands import Ended


@dataclass(frozen=True, slots=True)
class Held:
    """A command that waits inside a call."""

    _process: subprocess.Popen
    _connection: socket.socket
    _stdout: IO[str]
    _stderr: IO[str]

    def interrupt(self, number: signal.Signals) -> Ended:
        """Send a signal while the command is held, let it continue, and wait for its end."""
        self._process.send_signal(number)
        self._connection.close()
        returncode = self._process.wait()
        return Ended(returncode, _read(self._stdout), _read(self._stderr))


@contextmanager
def held_at(
    function: str,
    *arguments: object,
    call: int = 1,
    cwd: Path | None = None,
) -> Iterator[Held]:
    """Start an `mvadapter` command in a process of its own, and wait until it is held.

    Args:
        function: What is patched, as ``module:function`` or ``module:Class.method``; the name must
            be the one by which the caller looks it up. Python handles signals in the main thread,
            so a call that is to be interrupted must be made there.
        arguments: Of the command.
        call: Which call of the function is held, before it does anything; counted from 1.
        cwd: Its working folder.

    Raises:
        AssertionError: The command ended without this call.
    """
    ours, theirs = socket.socketpair()
    with (
        ours,
        tempfile.TemporaryFile("w+") as stdout,
        tempfile.TemporaryFile("w+") as stderr,
    ):
        with theirs:
            process = subprocess.Popen(
                [
                    sys.executable,
                    __file__,
                    *map(str, [function, call, theirs.fileno(), *arguments]),
                ],
                stdout=stdout,
                stderr=stderr,
                env=os.environ | {"OMP_NUM_THREADS": "1"},
                pass_fds=[theirs.fileno()],
                cwd=cwd,
            )
        try:
            # Nothing comes from a process that ended: its end of the connection is closed then.
            is_held = ours.recv(1) != b""
            assert is_held, f"ended before call {call} of {function}: {_read(stderr)}"
            yield Held(process, ours, stdout, stderr)
        finally:
            process.kill()
            process.wait()


def _read(file: IO[str]) -> str:
    file.seek(0)
    return file.read()


def _hold(function: str, call: int, connection: socket.socket) -> None:
    """Patch a function so that one of its calls reports, and waits until the test lets go."""
    module, _, path = function.partition(":")
    owner_path, _, name = path.rpartition(".")
    owner = pkgutil.resolve_name(f"{module}:{owner_path}")
    original: Callable[..., object] = getattr(owner, name)
    calls = itertools.count(1)

    @functools.wraps(original)
    def held(*arguments: object, **settings: object) -> object:
        if next(calls) == call:
            connection.send(b"!")
            connection.recv(1)
        return original(*arguments, **settings)

    setattr(owner, name, held)


def _main() -> None:
    function, call, descriptor, *arguments = sys.argv[1:]
    # A shell lets its background jobs ignore Ctrl-C, and they pass that on to what they start.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    connection = socket.socket(fileno=int(descriptor))
    connection.set_inheritable(False)
    _hold(function, int(call), connection)
    sys.argv = ["mvadapter", *arguments]
    runpy.run_module("mvadapter", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    _main()
