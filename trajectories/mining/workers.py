"""Work spread over processes: each has a pipe of its own, so that one that dies is noticed and none waits for another.

Invariant: results come in the order of the jobs. However it ends, no process is left: they end when they are told to,
when the caller is interrupted, and by themselves when the caller's process is gone (its end of the pipe is closed).
"""

from __future__ import annotations

import multiprocessing
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from queue import SimpleQueue
from typing import Any, Generic, TypeVar

Job = TypeVar("Job")
Found = TypeVar("Found")

_AHEAD = 8
"""Jobs for each process that may be done before the first of them is taken: the caller is slower at times."""


class WorkerDied(RuntimeError):
    """A process has ended before its job was done; the message says how."""


def spread(
    count: int, make: Callable[..., Callable[[Job], Found]], arguments: tuple[Any, ...], jobs: Iterable[Job]
) -> Iterator[Found]:
    """What `make(*arguments)`, made once in each of `count` processes, returns for each job.

    All is pickled. An error in a process is raised here; a process that is killed is a `WorkerDied`.
    """
    crew = _Crew(count, make, arguments)
    threads = ThreadPoolExecutor(count)  # each waits for one process
    waiting: deque[Future[Found]] = deque()
    try:
        for job in jobs:
            waiting.append(threads.submit(crew.do, job))
            if len(waiting) >= _AHEAD * count:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()
        crew.end()
        threads.shutdown()


class _Crew(Generic[Job, Found]):
    """The processes, of which any idle one takes the next job."""

    def __init__(self, count: int, make: Callable[..., Callable[[Job], Found]], arguments: tuple[Any, ...]) -> None:
        context = multiprocessing.get_context("spawn")
        self._processes: list[SpawnProcess] = []
        self._idle: SimpleQueue[tuple[SpawnProcess, Connection]] = SimpleQueue()
        # Ctrl-C goes to all processes of a terminal: these are to hear of it from the caller, from their first moment.
        # The tracker that multiprocessing starts beside them would undo the block.
        resource_tracker.ensure_running()
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            for _ in range(count):
                here, there = context.Pipe()
                process = context.Process(target=_serve, args=(there, make, arguments), daemon=True)
                process.start()
                there.close()
                self._processes.append(process)
                self._idle.put((process, here))
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def do(self, job: Job) -> Found:
        """Have one of them do it."""
        process, pipe = self._idle.get()
        try:
            pipe.send(job)
            found, error = pipe.recv()
        except (EOFError, OSError):
            process.join()
            raise WorkerDied(_how(process.exitcode)) from None
        finally:
            self._idle.put((process, pipe))
        if error is not None:
            raise error
        return found  # type: ignore[no-any-return]

    def end(self) -> None:
        """End all, whatever they do."""
        for process in self._processes:
            process.kill()
        for process in self._processes:
            process.join()


def _how(exit_code: int | None) -> str:
    if exit_code is not None and exit_code < 0:
        return (
            f"A mining process was killed ({signal.Signals(-exit_code).name}; is there too little memory?): "
            "the same command goes on, and --processes 1 needs less."
        )
    return f"A mining process has ended with code {exit_code}: the same command goes on."


def _serve(pipe: Connection, make: Callable[..., Callable[[Job], Found]], arguments: tuple[Any, ...]) -> None:
    """One process: a job, a result, until the other end is closed."""
    work: Callable[[Job], Found] | None = None
    while True:
        try:
            job = pipe.recv()
        except (EOFError, OSError):
            return
        try:
            work = work or make(*arguments)
            reply: tuple[Found | None, Exception | None] = work(job), None
        except Exception as error:  # whatever it is, the caller has to hear of it
            reply = None, error
        try:
            pipe.send(reply)
        except OSError:
            return
