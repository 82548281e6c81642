"""Work items in, what each of them yields out: from threads or processes, few at a time in memory.

A work item knows by itself what to do and can be pickled, so that the same item runs in a thread,
in a process beside this one, or on another machine.
"""

import multiprocessing
import os
import pickle
import signal
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from multiprocessing.connection import Connection
from queue import SimpleQueue
from threading import Event, Lock, Semaphore
from typing import (
    Any,
    Generic,
    Literal,
    Protocol,
    TypeAlias,
    TypeVar,
    assert_never,
    runtime_checkable,
)

Piece = TypeVar("Piece")
Piece_co = TypeVar("Piece_co", covariant=True)
Summary = TypeVar("Summary")
Input = TypeVar("Input")
Output = TypeVar("Output")
Summary_co = TypeVar("Summary_co", covariant=True)

WorkerKind: TypeAlias = Literal["threads", "processes"]
"""Threads share memory and cost nothing. Processes survive a crash of the decoder: the item that
caused it is reported and the others continue."""

Message: TypeAlias = tuple[Literal["piece", "end", "error"], Any]
"""What a worker process sends: a piece, an item's summary, or the error that ended it."""

_MAX_WORKERS = 8


@runtime_checkable
class WorkItem(Protocol[Piece_co, Summary_co]):
    """One piece of work; picklable."""

    def run(self) -> Generator[Piece_co, None, Summary_co]:
        """Yield results one by one, and return what is known at the end."""
        ...

    def lost(self, reason: str) -> Summary_co:
        """Give the summary of an item whose worker process died."""
        ...


@dataclass(frozen=True, slots=True)
class Ended(Generic[Summary_co]):
    """An item has yielded its last piece."""

    summary: Summary_co


def default_num_workers() -> int:
    """One worker per core, and no more than keep one encoder busy."""
    return min(_MAX_WORKERS, os.cpu_count() or 1)


def run_all(
    items: Iterable[WorkItem[Piece, Summary]],
    *,
    num_workers: int,
    max_waiting: int,
    kind: WorkerKind = "threads",
) -> Generator[tuple[int, Piece | Ended[Summary]], None, None]:
    """Run items in workers; pieces come as they are made, and an `Ended` after each item's last.

    At most ``max_waiting`` pieces wait for the caller, and each worker holds one more. Items begin
    in their order. Closing the generator stops the workers at their next piece.

    Args:
        items: What to run.
        num_workers: How many items run at once.
        max_waiting: How many pieces may wait.
        kind: Where the items run.

    Yields:
        The position of an item, and a piece of it or its end.

    Raises:
        Exception: Whatever an item raised; its own problems belong into its pieces.
    """
    run = _Run(items, max_waiting)
    with _threads(num_workers) as threads, run.stopping(num_workers):
        running = {threads.submit(run.work, kind) for _ in range(num_workers)}
        for future in running:
            future.add_done_callback(run.outbox.put)
        while running:
            found = run.outbox.get()
            if isinstance(found, Future):
                running.remove(found)
                found.result()
                continue
            yield found
            if not isinstance(found[1], Ended):
                run.places.release()


def map_in_order(
    function: Callable[[Input], Output],
    inputs: Iterable[Input],
    *,
    num_workers: int,
    max_waiting: int,
) -> Generator[Output, None, None]:
    """Call a function in threads and yield the results in the order of its inputs.

    At most ``max_waiting`` calls are ahead of the caller.

    Raises:
        Exception: Whatever a call raised.
    """
    todo, ahead = iter(inputs), deque[Future[Output]]()
    with _threads(num_workers) as threads:
        while True:
            for value in islice(todo, max_waiting - len(ahead)):
                ahead.append(threads.submit(function, value))
            if not ahead:
                return
            yield ahead.popleft().result()


@contextmanager
def _threads(num_workers: int) -> Iterator[ThreadPoolExecutor]:
    """Threads that finish what they have begun, and begin nothing more, when the block ends."""
    threads = ThreadPoolExecutor(num_workers, thread_name_prefix="work")
    try:
        yield threads
    finally:
        threads.shutdown(wait=True, cancel_futures=True)


class _Run(Generic[Piece, Summary]):
    """What the workers of one run share."""

    def __init__(self, items: Iterable[WorkItem[Piece, Summary]], max_waiting: int) -> None:
        self.outbox: SimpleQueue[tuple[int, Piece | Ended[Summary]] | Future[None]] = SimpleQueue()
        self.places = Semaphore(max_waiting)
        self._todo = enumerate(items)
        self._turn = Lock()
        self._is_over = Event()

    def work(self, kind: WorkerKind) -> None:
        """Run one item after the other until none is left."""
        with ExitStack() as stack:
            match kind:
                case "threads":
                    pieces_of = _pieces_here
                case "processes":
                    pieces_of = stack.enter_context(closing(_Child())).pieces_of
                case _:
                    assert_never(kind)
            while (found := self._next()) is not None:
                position, item = found
                with closing(pieces_of(item)) as pieces:
                    summary = self._forward(position, pieces)
                if summary is None:
                    return
                self.outbox.put((position, summary))

    @contextmanager
    def stopping(self, num_workers: int) -> Iterator[None]:
        """Let the workers stop at their next piece when the block ends."""
        try:
            yield
        finally:
            self._is_over.set()
            self.places.release(num_workers)

    def _next(self) -> tuple[int, WorkItem[Piece, Summary]] | None:
        with self._turn:
            return None if self._is_over.is_set() else next(self._todo, None)

    def _forward(
        self, position: int, pieces: Generator[Piece, None, Summary]
    ) -> Ended[Summary] | None:
        """Put pieces out as there is room for them; None where nobody reads them any more."""
        while not self._is_over.is_set():
            try:
                piece = next(pieces)
            except StopIteration as end:
                return Ended(end.value)
            self.places.acquire()
            self.outbox.put((position, piece))
        return None


def _pieces_here(item: WorkItem[Piece, Summary]) -> Generator[Piece, None, Summary]:
    return item.run()


class _Child:
    """A process that runs items for one thread; a new one after a crash."""

    def __init__(self) -> None:
        self._spawn = multiprocessing.get_context("spawn")
        self._process: multiprocessing.process.BaseProcess | None = None
        self._connection: Connection

    def pieces_of(self, item: WorkItem[Piece, Summary]) -> Generator[Piece, None, Summary]:
        """Run an item there."""
        is_finished = False
        try:
            message = self._ask(item)
            while message is not None and message[0] == "piece":
                yield message[1]
                message = self._receive()
            if message is None:
                return item.lost(f"the process that read it died ({self._exit_code()})")
            is_finished = True
            kind, value = message
            if kind == "error":
                raise value
            summary: Summary = value
            return summary
        finally:
            if not is_finished:
                self.close()

    def _ask(self, item: WorkItem[Piece, Summary]) -> Message | None:
        """Send an item and wait for the first answer; None if the process has died."""
        if self._process is None:
            self._start()
        with suppress(ConnectionError):
            self._connection.send(item)
        return self._receive()

    def _receive(self) -> Message | None:
        try:
            message: Message = self._connection.recv()
        except (EOFError, ConnectionError):
            return None
        return message

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._connection.close()
            self._process.terminate()
            self._process.join()
            self._process = None

    def _start(self) -> None:
        self._connection, theirs = self._spawn.Pipe()
        self._process = self._spawn.Process(target=_serve, args=(theirs,), daemon=True)
        self._process.start()
        # The child has its own copy. With this one open, its death would go unnoticed.
        theirs.close()

    def _exit_code(self) -> str:
        if self._process is None:
            return "exit code unknown"
        self._process.join()
        return f"exit code {self._process.exitcode}"


def _serve(connection: Connection) -> None:
    """Run what comes, until the other end closes."""
    # A terminal sends Ctrl-C to every process; the parent decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with suppress(EOFError, ConnectionError):
        while True:
            item: WorkItem[object, object] = connection.recv()
            for message in _messages(item):
                connection.send_bytes(_packed(message))


def _messages(item: WorkItem[object, object]) -> Iterator[Message]:
    pieces = item.run()
    while True:
        try:
            piece = next(pieces)
        except StopIteration as end:
            yield "end", end.value
            return
        except Exception as error:  # noqa: BLE001 - the parent raises it again
            yield "error", error
            return
        yield "piece", piece


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
