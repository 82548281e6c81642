"""Jobs in, each run in a fresh process: it has memory of its own, and it crashes alone."""

import logging
import multiprocessing
import signal
from collections.abc import Callable, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnContext
from multiprocessing.synchronize import Event

import torch

from mvadapter.comparison.work import Job, run_job
from mvadapter.errors import MvAdapterError, TrainingError


def run_jobs(
    jobs: Sequence[Job], at_once: int, on_progress: Callable[[float, int], object]
) -> None:
    """Run the jobs that have no result yet.

    On Ctrl-C running jobs save their state before it is passed on. They do the same when this
    process is killed.

    Args:
        jobs: The jobs, in order.
        at_once: How many processes run at the same time; they share the machine's cores.
        on_progress: Called with the number of jobs done, parts of jobs included, and their total.

    Raises:
        TrainingError: A job failed, or its process died.
        KeyboardInterrupt: Ctrl-C.
    """
    waiting = [job for job in jobs if not job.result.is_file()]
    num_done = len(jobs) - len(waiting)
    spawn = multiprocessing.get_context("spawn")
    stop = spawn.Event()
    num_threads = max(1, torch.get_num_threads() // at_once)
    running: list[_Worker] = []
    try:
        while waiting or running:
            while waiting and len(running) < at_once:
                running.append(_Worker(spawn, waiting.pop(0), stop, num_threads))
            wait([worker.receiver for worker in running])
            for worker in running:
                worker.receive()
            num_done += sum(worker.is_done for worker in running)
            running = [worker for worker in running if not worker.is_done]
            on_progress(num_done + sum(worker.share for worker in running), len(jobs))
    finally:
        stop.set()
        for worker in running:
            worker.join()


class _Worker:
    """A process with its one job."""

    def __init__(self, spawn: SpawnContext, job: Job, stop: Event, num_threads: int) -> None:
        self.receiver, sender = spawn.Pipe(duplex=False)
        self.share = 0.0
        self.is_done = False
        self._job = job
        self._process = spawn.Process(target=_work, args=(job, stop, sender, num_threads))
        self._process.start()
        # The process has its own copy; while this one is open, the end of the other is not noticed.
        sender.close()

    def receive(self) -> None:
        """Receive the process's progress, or how it ended.

        Raises:
            TrainingError: The job failed, or the process died.
        """
        try:
            while self.receiver.poll():
                message = self.receiver.recv()
                if isinstance(message, str):
                    where = str(self._job.folder)
                    raise TrainingError(message if where in message else f"{where}: {message}")
                self.share = message
        except (EOFError, ConnectionResetError):
            self.join()
            self.is_done = True
            if not self._job.result.is_file():
                raise TrainingError(
                    f"{self._job.folder}: the process died (exit code {self._process.exitcode}; -9 "
                    f"is often a lack of memory: lower jobs); run the same comparison to continue"
                ) from None

    def join(self) -> None:
        """Wait for the process to end."""
        self._process.join()
        self.receiver.close()


def _work(job: Job, stop: Event, sender: "Connection[float | str, None]", num_threads: int) -> None:
    # A terminal sends Ctrl-C to every process; the parent passes it on as a stop event.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # What is to be said of the data was said once, before the first job.
    logging.getLogger("mvadapter").setLevel(logging.ERROR)
    torch.set_num_threads(num_threads)
    parent = multiprocessing.parent_process()

    def should_stop() -> bool:
        return stop.is_set() or parent is None or not parent.is_alive()

    def send(message: float | str) -> None:
        # A parent that was killed receives nothing; should_stop sees that.
        with suppress(OSError):
            sender.send(message)

    try:
        run_job(job, should_stop, send)
    except (MvAdapterError, OSError) as error:
        send(str(error))
