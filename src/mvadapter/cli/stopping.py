"""Ctrl-C and SIGTERM in, one line and the exit code 130 or 143 out.

Imports nothing that takes time, so that a signal is handled while the rest is still loading.
"""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_NAMES = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM"}
_SHOW_CURSOR = "\x1b[?25h"


class StopSignal(BaseException):
    """A signal asked this process to stop; no Exception, so that only the entry point ends it."""

    def __init__(self, number: int) -> None:
        self.number = number
        super().__init__(describe(number))

    @property
    def exit_code(self) -> int:
        """What a shell reports for a process that this signal ended."""
        return 128 + self.number


def describe(number: int) -> str:
    """What stopped the command, such as ``"stopped by Ctrl-C"``."""
    return f"stopped by {_NAMES[signal.Signals(number)]}"


def catch_signals() -> None:
    """Turn signals into `StopSignal` from now on; the second one ends the process at once."""
    for number in _NAMES:
        # nohup and some schedulers start a process with signals ignored; that stays.
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _raise)


def ignore_signals() -> None:
    """Let nothing end the process any more: its work is done, and only its exit is left."""
    for number in _NAMES:
        signal.signal(number, signal.SIG_IGN)


class StopRequest:
    """Whether a run that can save its state should do so and end.

    Pass `is_made` as ``should_stop``. Until it is first called there is nothing to save, and a
    signal raises `StopSignal` as it does elsewhere.
    """

    def __init__(self) -> None:
        self.number = 0
        self._is_watched = False

    def is_made(self) -> bool:
        """Whether a signal has come."""
        self._is_watched = True
        return bool(self.number)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if not self._is_watched or self.number:
            _raise(number, frame)
        self.number = number
        if sys.stderr.isatty():
            sys.stderr.write("\nstopping after this step; Ctrl-C again stops at once\n")


@contextmanager
def stop_after_step() -> Iterator[StopRequest]:
    """Let the first signal stop a run after its present step, and the second one at once."""
    request = StopRequest()
    before = {number: signal.getsignal(number) for number in _NAMES}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, request._receive)
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _raise(number: int, frame: FrameType | None) -> None:
    if _is_importing(frame):
        # Raised here, it would be lost in a callback of the import system, or leave half a module.
        _leave(number, frame)
    for each in _NAMES:
        signal.signal(each, _leave)
    raise StopSignal(number)


def _leave(number: int, _frame: FrameType | None) -> None:
    """End at once, as kill -9 does, which every writer survives."""
    begin = f"{_SHOW_CURSOR}\n" if sys.stderr.isatty() else ""
    sys.stderr.write(f"{begin}mvadapter: {describe(number)}\n")
    sys.stderr.flush()
    os._exit(128 + number)


def _is_importing(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False
