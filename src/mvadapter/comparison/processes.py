"""Jobs in, each done in a fresh process: its memory is its own, and it crashes alone."""

import multiprocessing
import os
import signal
from collections.abc import Callable, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnContext
from multiprocessing.synchronize import Event
from typing import TypeAlias

import torch

from mvadapter.comparison.work import Job, do
from mvadapter.errors import MvAdapterError, TrainingError

OnProgress: TypeAlias = Callable[[float, int], object]
"""Called with how many jobs are done, parts of them included, and how many there are."""


def run_jobs(jobs: Sequence[Job], at_once: int, on_progress: OnProgress) -> None:
    """Do the jobs that have no result yet.

    Ctrl-C lets those that run save where they are before it is passed on; and when this process is
    killed, they notice and do the same.

    Args:
        jobs: What is to be done, in this order.
        at_once: How many processes work at a time; they share the machine's cores.
        on_progress: Whom to tell.

    Raises:
        TrainingError: A job cannot be done, or its process died.
        KeyboardInterrupt: Ctrl-C.
    """
    waiting = [job for job in jobs if not job.result.is_file()]
    num_done = len(jobs) - len(waiting)
    spawn = multiprocessing.get_context("spawn")
    asked = spawn.Event()
    num_threads = max(1, torch.get_num_threads() // at_once)
    running: list[_Worker] = []
    try:
        while waiting or running:
            while waiting and len(running) < at_once:
                running.append(_Worker(spawn, waiting.pop(0), asked, num_threads))
            wait([worker.hears for worker in running])
            for worker in running:
                worker.listen()
            num_done += sum(worker.is_done for worker in running)
            running = [worker for worker in running if not worker.is_done]
            on_progress(num_done + sum(worker.share for worker in running), len(jobs))
    finally:
        asked.set()
        for worker in running:
            worker.join()


class _Worker:
    """A process with its one job."""

    def __init__(self, spawn: SpawnContext, job: Job, asked: Event, num_threads: int) -> None:
        self.hears, tells = spawn.Pipe(duplex=False)
        self.share = 0.0
        self.is_done = False
        self._job = job
        self._process = spawn.Process(target=_work, args=(job, asked, tells, num_threads))
        self._process.start()
        # The process has its own; with this one open its end would not be heard.
        tells.close()

    def listen(self) -> None:
        """Take in what the process has said.

        Raises:
            TrainingError: The job cannot be done, or the process died.
        """
        try:
            while self.hears.poll():
                said = self.hears.recv()
                if isinstance(said, str):
                    raise TrainingError(f"{self._job.folder}: {said}")
                self.share = said
        except EOFError:
            self.join()
            self.is_done = True
            if not self._job.result.is_file():
                raise TrainingError(
                    f"{self._job.folder}: the process died (exit code {self._process.exitcode}; -9 "
                    f"is often a lack of memory: lower --jobs); the same command goes on"
                ) from None

    def join(self) -> None:
        """Wait for the process to end."""
        self._process.join()


def _work(job: Job, asked: Event, tells: "Connection[float | str, None]", num_threads: int) -> None:
    # A terminal sends Ctrl-C to every process; the parent passes it on as a wish.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(num_threads)
    parent = os.getppid()

    def tell(said: float | str) -> None:
        # A parent that was killed hears nothing any more; then it is time to save.
        with suppress(BrokenPipeError):
            tells.send(said)

    try:
        do(job, lambda: asked.is_set() or os.getppid() != parent, tell)
    except (MvAdapterError, OSError) as error:
        tell(str(error))
