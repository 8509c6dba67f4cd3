"""Run tasks in threads of this process.

Own threads and not a ThreadPoolExecutor: an interrupted run must not wait for
tasks that are half way through a slow read, and the interpreter would join an
executor's threads at exit.
"""

from __future__ import annotations

import os
import queue
import threading
import time
from typing import TYPE_CHECKING, Any

import dask

from sxdask.deliver.attempt import attempt

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sxdask.deliver.attempt import Completion, Job

JOIN_SECONDS = 5.0
"""How long `close` waits for tasks that are running; what is left dies with the process."""


class ThreadRunner:
    """`num_threads` threads; by default ``dask.config``'s ``num_workers``, or one a core."""

    def __init__(self, num_threads: int | None = None) -> None:
        configured = num_threads or dask.config.get("num_workers", None)
        self.num_threads = int(configured or os.cpu_count() or 1)

    def open(self, function: Callable[[Any], Any]) -> ThreadSession:
        """Return a session for `function`."""
        return ThreadSession(function, self.num_threads)


class ThreadSession:
    """Threads that take jobs from one queue and put completions into another."""

    batch = 1

    def __init__(self, function: Callable[[Any], Any], num_threads: int) -> None:
        self.window = 2 * num_threads
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._done: queue.SimpleQueue[Completion] = queue.SimpleQueue()
        self._stopped = threading.Event()
        self._threads = [
            threading.Thread(
                target=_work,
                args=(function, self._jobs, self._done, self._stopped),
                name=f"sxdask-{number}",
                daemon=True,
            )
            for number in range(num_threads)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, jobs: Sequence[Job]) -> None:
        """Queue `jobs`."""
        for job in jobs:
            self._jobs.put(job)

    def wait(self, timeout_s: float) -> list[Completion]:
        """Return the next completion, if one comes in time."""
        try:
            return [self._done.get(timeout=timeout_s)]
        except queue.Empty:
            return []

    def close(self) -> None:
        """Start no further job and wait a little for those that run."""
        self._stopped.set()
        for _ in self._threads:
            self._jobs.put(None)
        deadline = time.monotonic() + JOIN_SECONDS
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))


def _work(
    function: Callable[[Any], Any],
    jobs: queue.SimpleQueue[Job | None],
    done: queue.SimpleQueue[Completion],
    stopped: threading.Event,
) -> None:
    while (job := jobs.get()) is not None and not stopped.is_set():
        done.put(attempt(function, job))
