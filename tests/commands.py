"""Runs the `mvadapter` command: in this process, or in a process of its own."""

import contextlib
import io
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

from mvadapter.cli.main import main

# A process that hangs is ended at last; far more than any command here needs.
_LIMIT_SECONDS = 1200


@dataclass(frozen=True, slots=True)
class Ended:
    """What a command left behind."""

    returncode: int
    stdout: str
    stderr: str


def run_command(*arguments: object, cwd: Path | None = None) -> Ended:
    """Run a command in this process, which saves the seconds that imports take.

    It passes through the real entry point, so that errors and exit codes are those of a terminal.
    """
    stdout, stderr = _file(), _file()
    with (
        mock.patch.object(sys, "argv", ["mvadapter", *map(str, arguments)]),
        contextlib.chdir(cwd or Path.cwd()),
        contextlib.redirect_stdout(stdout),
        contextlib.redirect_stderr(stderr),
    ):
        try:
            main()
        except SystemExit as end:
            code = end.code or 0
        else:
            code = 0
    return Ended(code, _text(stdout), _text(stderr))


def run_process(
    *arguments: object, cwd: Path | None = None, launcher: Sequence[object] = ()
) -> Ended:
    """Run a command in a process of its own, as `python -m mvadapter` or behind a launcher."""
    done = subprocess.run(
        [sys.executable, "-m", *map(str, launcher), "mvadapter", *map(str, arguments)],
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        timeout=_LIMIT_SECONDS,
        check=False,
        cwd=cwd,
    )
    return Ended(done.returncode, done.stdout, done.stderr)


def _file() -> io.TextIOWrapper:
    # As a real stream is: bytes in UTF-8, so that text which cannot be encoded fails here too.
    return io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)


def _text(file: io.TextIOWrapper) -> str:
    return file.buffer.getvalue().decode()
