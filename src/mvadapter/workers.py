"""Work items in, what each of them yields out: from threads or processes, few at a time in memory.

A work item knows by itself what to do and can be pickled, so that the same item runs in a thread,
in a process beside this one, or on another machine.
"""

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from itertools import islice
from queue import SimpleQueue
from threading import Event, Lock, Semaphore
from typing import Generic, TypeVar

from mvadapter.isolation import Isolation, Piece, Processes, Summary, Summary_co, WorkItem

Input = TypeVar("Input")
Output = TypeVar("Output")

_MAX_WORKERS = 8


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
    isolation: Isolation | None = None,
) -> Generator[tuple[int, Piece | Ended[Summary]], None, None]:
    """Run items in workers; pieces come as they are made, and an `Ended` after each item's last.

    At most ``max_waiting`` pieces wait for the caller, and each worker holds one more. Items begin
    in their order. Closing the generator stops threads at their next piece, and processes at once.

    Args:
        items: What to run.
        num_workers: How many items run at once.
        max_waiting: How many pieces may wait.
        isolation: What a process may take that runs an item; None runs them in threads.

    Yields:
        The position of an item, and a piece of it or its end.

    Raises:
        Exception: Whatever an item raised; its own problems belong into its pieces.
    """
    run = _Run(items, max_waiting, isolation)
    with _threads(num_workers) as threads, run.stopping(num_workers):
        running = {threads.submit(run.work) for _ in range(num_workers)}
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
    stop: Callable[[], object] = lambda: None,
) -> Generator[Output, None, None]:
    """Call a function in threads and yield the results in the order of its inputs.

    At most ``max_waiting`` calls are ahead of the caller. ``stop`` is called at the end, before the
    calls are awaited whose results nobody wants any more.

    Raises:
        Exception: Whatever a call raised.
    """
    todo, ahead = iter(inputs), deque[Future[Output]]()
    with _threads(num_workers) as threads, ExitStack() as stack:
        stack.callback(stop)
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

    def __init__(
        self,
        items: Iterable[WorkItem[Piece, Summary]],
        max_waiting: int,
        isolation: Isolation | None,
    ) -> None:
        self._processes = None if isolation is None else Processes(isolation)
        self.outbox: SimpleQueue[tuple[int, Piece | Ended[Summary]] | Future[None]] = SimpleQueue()
        self.places = Semaphore(max_waiting)
        self._todo = enumerate(items)
        self._turn = Lock()
        self._is_over = Event()

    def work(self) -> None:
        """Run one item after the other until none is left."""
        while (found := self._next()) is not None:
            position, item = found
            processes = self._processes
            pieces = _pieces_here(item) if processes is None else processes.pieces_of(item)
            with closing(pieces):
                summary = self._forward(position, pieces)
            if summary is None:
                return
            self.outbox.put((position, summary))

    @contextmanager
    def stopping(self, num_workers: int) -> Iterator[None]:
        """Let the workers stop when the block ends."""
        try:
            yield
        finally:
            self._is_over.set()
            if self._processes is not None:
                self._processes.close()
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
    try:
        return (yield from item.run())
    except MemoryError:
        return item.lost("there is too little memory to read it")
