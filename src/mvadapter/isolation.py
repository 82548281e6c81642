"""Work items in, what they yield out: each runs in a process that has limits and may die."""

import errno
import multiprocessing
import os
import pickle
import signal
import threading
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import connection
from pathlib import Path
from typing import Any, Literal, Protocol, TypeAlias, TypeVar, runtime_checkable

from mvadapter.errors import ConfigError

try:
    import resource
except ImportError:  # Windows has no such limits.
    resource = None  # type: ignore[assignment]

Piece = TypeVar("Piece")
Piece_co = TypeVar("Piece_co", covariant=True)
Summary = TypeVar("Summary")
Summary_co = TypeVar("Summary_co", covariant=True)

Message: TypeAlias = tuple[Literal["ready", "piece", "end", "error", "lost"], Any]
"""What a process sends: that its limits hold, a piece, an item's summary, the error that ended it,
or why the item was given up."""


@runtime_checkable
class WorkItem(Protocol[Piece_co, Summary_co]):
    """One piece of work; picklable."""

    def run(self) -> Generator[Piece_co, None, Summary_co]:
        """Yield results one by one, and return what is known at the end."""
        ...

    def lost(self, reason: str) -> Summary_co:
        """Give the summary of an item that could not be run to its end."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Isolation:
    """What a process may take that decodes files from people who are not trusted.

    The time in which nobody asks for the next piece does not count.
    """

    max_seconds: float = 24 * 3600.0
    """The longest that one file may take."""
    max_silent_seconds: float = 600.0
    """The longest that it may take to the next segment; for the first one, a recording without an
    index is read through."""
    max_bytes: int = 4 * 2**30
    """The memory that may be used beside what the program itself needs. Kept on Linux only."""

    def __post_init__(self) -> None:
        for name in ("max_seconds", "max_silent_seconds", "max_bytes"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"{name} must be above 0, got {getattr(self, name)}")

    @property
    def too_large(self) -> str:
        """The reason to give up an item that asks for too much memory."""
        return f"needed more than {self.max_bytes / 2**30:.3g} GiB of memory"


class Processes:
    """Processes that each run one item at a time, made as they are needed; for many threads.

    Args:
        isolation: What each of them may take.
    """

    def __init__(self, isolation: Isolation) -> None:
        self._isolation = isolation
        self._lock = threading.Lock()
        self._idle: list[_Child] = []
        self._all: set[_Child] = set()
        self._is_closed = False

    def pieces_of(self, item: WorkItem[Piece, Summary]) -> Generator[Piece, None, Summary]:
        """Run an item; what it raises is raised here, and what ends its process ends only it."""
        child = self._take()
        is_finished = False
        try:
            kind, value = child.ask(item)
            while kind == "piece":
                yield value
                kind, value = child.receive()
            is_finished = kind != "lost"
        finally:
            self._give_back(child, is_sound=is_finished)
        if kind == "error":
            raise value
        summary: Summary = item.lost(value) if kind == "lost" else value
        return summary

    def run(self, item: WorkItem[Any, Summary]) -> Summary:
        """Run an item of which only the summary counts."""
        pieces = self.pieces_of(item)
        while True:
            try:
                next(pieces)
            except StopIteration as end:
                summary: Summary = end.value
                return summary

    def close(self) -> None:
        """Kill all of them at once, whatever they are doing; the items that they run are lost."""
        with self._lock:
            self._is_closed = True
            idle, self._idle = self._idle, []
            for child in self._all:
                child.kill()
        for child in idle:
            child.end()

    def _take(self) -> "_Child":
        with self._lock:
            if self._idle:
                return self._idle.pop()
            child = _Child(self._isolation)
            if self._is_closed:
                child.kill()
            self._all.add(child)
            return child

    def _give_back(self, child: "_Child", *, is_sound: bool) -> None:
        with self._lock:
            if is_sound and not self._is_closed:
                self._idle.append(child)
                return
            self._all.discard(child)
        child.end()


class _Child:
    """A process that runs items for one thread at a time."""

    def __init__(self, isolation: Isolation) -> None:
        spawn = multiprocessing.get_context("spawn")
        self._isolation = isolation
        self._left_seconds = 0.0
        self._connection, theirs = spawn.Pipe()
        self._process = spawn.Process(target=_serve, args=(theirs, isolation), daemon=True)
        with _interrupts_held():
            self._process.start()
        # The process has its own copy. With this one open, its death would go unnoticed.
        theirs.close()

    def ask(self, item: WorkItem[Any, Any]) -> Message:
        """Send an item and wait for the first answer."""
        with suppress(OSError):
            self._connection.send(item)
        # Starting and importing what the item needs is nothing that the file can be blamed for.
        if self._connection.poll(None):
            message = self._receive()
            if message[0] != "ready":
                return message
        self._left_seconds = self._isolation.max_seconds
        return self.receive()

    def receive(self) -> Message:
        """Wait for the next answer as long as the item may take."""
        allowed = min(self._left_seconds, self._isolation.max_silent_seconds)
        began = time.monotonic()
        if not self._connection.poll(max(0.0, allowed)):
            if allowed < self._left_seconds:
                return "lost", f"a part of it took more than {allowed:g} s to decode"
            return "lost", f"took more than {self._isolation.max_seconds:g} s to decode"
        message = self._receive()
        self._left_seconds -= time.monotonic() - began
        return message

    def _receive(self) -> Message:
        try:
            message: Message = self._connection.recv()
        except (EOFError, OSError):
            self._process.join()
            code = self._process.exitcode or 0
            # Libraries that are refused memory may end their process.
            hint = f"; perhaps it {self._isolation.too_large}" if code < 0 else ""
            return "lost", f"the process that read it died (exit code {code}{hint})"
        return message

    def kill(self) -> None:
        """End the process; for any thread."""
        self._process.kill()

    def end(self) -> None:
        """End the process and let go of it; for the thread that uses it."""
        self._process.kill()
        self._process.join()
        self._connection.close()


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Let what begins here inherit that it gets no Ctrl-C, which is sent to every process."""
    if hasattr(signal, "pthread_sigmask"):
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            yield
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
    else:
        yield


def _serve(parent: "connection.Connection[Message, Any]", isolation: Isolation) -> None:
    """Run what comes, until the other end closes."""
    # The parent decides what Ctrl-C means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    is_limited = False
    with suppress(EOFError, ConnectionError):
        while True:
            item = parent.recv()
            # Only now is imported what the item needs.
            if not is_limited:
                _limit_memory(isolation.max_bytes)
                is_limited = True
            parent.send(("ready", None))
            for message in _messages(item, isolation):
                parent.send_bytes(_packed(message))


def _end_with_parent() -> None:
    """End when the parent is gone, even while a file hangs."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)


def _limit_memory(max_bytes: int) -> None:
    with suppress(OSError, ValueError):
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[5])
        allowed = pages * resource.getpagesize() + max_bytes
        resource.setrlimit(resource.RLIMIT_DATA, (allowed, allowed))


def _messages(item: WorkItem[object, object], isolation: Isolation) -> Iterator[Message]:
    pieces = item.run()
    while True:
        try:
            piece = next(pieces)
        except StopIteration as end:
            yield "end", end.value
            return
        except Exception as error:  # noqa: BLE001 - the parent raises it again
            yield ("lost", isolation.too_large) if _is_lack_of_memory(error) else ("error", error)
            return
        yield "piece", piece


def _is_lack_of_memory(error: Exception) -> bool:
    # PyTorch has no class of its own for it.
    return (
        isinstance(error, MemoryError)
        or getattr(error, "errno", None) == errno.ENOMEM
        or "can't allocate memory" in str(error)
    )


def _packed(message: Message) -> bytes:
    """Pickle a message; one that no pickle can hold becomes an error that names it."""
    try:
        packed = pickle.dumps(message)
        if message[0] == "error":
            # The class of an error may not accept what its pickle holds.
            pickle.loads(packed)  # noqa: S301 - our own bytes
    except Exception:  # noqa: BLE001 - the classes of others may raise anything
        kind, value = message
        described = f"{type(value).__name__}: {value}" if kind == "error" else repr(type(value))
        return pickle.dumps(("error", RuntimeError(described)))
    return packed
