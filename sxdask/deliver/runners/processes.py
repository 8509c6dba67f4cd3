"""Run tasks in processes of this machine.

Each worker process has a pipe of its own, so the parent knows which task a
dead worker held and repeats that one alone, and a worker whose parent dies
reads the end of its pipe and leaves.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import connection
from typing import TYPE_CHECKING, Any

import cloudpickle
import dask

from sxdask.core.errors import SystemFaultError
from sxdask.deliver.attempt import MEMORY_HINT, Completion, Job, attempt, failed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from multiprocessing.connection import Connection
    from multiprocessing.process import BaseProcess

_EXIT_SECONDS = 2.0
_START_HINT = "protect the start of the script: if __name__ == '__main__':"


class ProcessRunner:
    """`num_processes` processes; by default ``dask.config``'s ``num_workers``, or one a core.

    Processes are spawned, not forked: a fork of a process with threads may
    hang. As for any spawned process, a script must protect its start with
    ``if __name__ == "__main__":``.
    """

    def __init__(self, num_processes: int | None = None) -> None:
        configured = num_processes or dask.config.get("num_workers", None)
        self.num_processes = int(configured or os.cpu_count() or 1)

    def open(self, function: Callable[[Any], Any]) -> ProcessSession:
        """Return a session for `function`; processes start with the first jobs."""
        return ProcessSession(function, self.num_processes)


@dataclass(slots=True, eq=False)
class _Worker:
    process: BaseProcess
    pipe: Connection
    job: Job | None = None
    started: bool = False


class ProcessSession:
    """Worker processes, each with at most one job."""

    batch = 1

    def __init__(self, function: Callable[[Any], Any], num_processes: int) -> None:
        self.window = 2 * num_processes
        self._most = num_processes
        self._payload = cloudpickle.dumps(function)
        self._context = multiprocessing.get_context("spawn")
        self._jobs: deque[Job] = deque()
        self._workers: list[_Worker] = []

    def submit(self, jobs: Sequence[Job]) -> None:
        """Queue `jobs` and hand out what free workers can take."""
        self._jobs.extend(jobs)
        self._hand_out()

    def wait(self, timeout_s: float) -> list[Completion]:
        """Return what workers have sent, and an error for the job of each that died."""
        busy = {worker.pipe: worker for worker in self._workers}
        found = []
        for pipe in connection.wait(list(busy), timeout_s):
            completion = self._receive(busy[pipe])  # type: ignore[index]
            if completion is not None:
                found.append(completion)
        self._hand_out()
        return found

    def close(self) -> None:
        """End all workers, in the middle of a task if need be."""
        self._jobs.clear()
        workers, self._workers = self._workers, []
        for worker in workers:
            worker.pipe.close()
            worker.process.terminate()
        deadline = time.monotonic() + _EXIT_SECONDS
        for worker in workers:
            worker.process.join(max(0.0, deadline - time.monotonic()))
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()
            worker.process.close()

    def _hand_out(self) -> None:
        free = [worker for worker in self._workers if worker.job is None]
        while self._jobs:
            if free:
                worker = free.pop()
            elif len(self._workers) < self._most:
                worker = self._start()
            else:
                return
            worker.job = self._jobs.popleft()
            try:
                worker.pipe.send_bytes(cloudpickle.dumps(worker.job))
            except OSError:
                continue  # it died while idle; `wait` reads the end of its pipe and reports the job

    def _start(self) -> _Worker:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=_serve, args=(theirs,), daemon=True)
        process.start()
        theirs.close()  # so that the death of the worker is the end of the pipe
        worker = _Worker(process, ours)
        self._workers.append(worker)
        with suppress(OSError):  # as above
            ours.send_bytes(self._payload)
        return worker

    def _receive(self, worker: _Worker) -> Completion | None:
        try:
            message = worker.pipe.recv_bytes()
        except (EOFError, OSError):
            return self._bury(worker)
        if not worker.started:
            worker.started = True
            if message:
                raise cloudpickle.loads(message)
            return None
        job, worker.job = worker.job, None
        try:
            return cloudpickle.loads(message)  # type: ignore[no-any-return]
        except Exception as error:  # noqa: BLE001 - what a user's object does when it is unpickled
            return failed(-1 if job is None else job.position, error)

    def _bury(self, worker: _Worker) -> Completion | None:
        """Remove a dead worker; return the error of the job it held."""
        self._workers.remove(worker)
        worker.pipe.close()
        worker.process.join()
        code = worker.process.exitcode
        worker.process.close()
        if not worker.started:
            raise SystemFaultError(
                f"a worker process ended before its first task (exit code {code})",
                hint=_START_HINT,
            )
        if worker.job is None:
            return None
        died = SystemFaultError(
            f"a worker process died (exit code {code})", hint=MEMORY_HINT, exit_code=code
        )
        return Completion(worker.job.position, error=died, transient=True)


def _serve(pipe: Connection) -> None:
    """Run in the worker: receive the function, then a job at a time until the pipe ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    try:
        function = cloudpickle.loads(pipe.recv_bytes())
    except EOFError:
        return
    except Exception as error:  # noqa: BLE001 - whatever importing the user's modules raises
        pipe.send_bytes(cloudpickle.dumps(failed(0, error).error))
        return
    pipe.send_bytes(b"")
    while True:
        try:
            job = cloudpickle.loads(pipe.recv_bytes())
        except EOFError:
            return
        pipe.send_bytes(_packed(attempt(function, job)))


def _packed(completion: Completion) -> bytes:
    try:
        return cloudpickle.dumps(completion)  # type: ignore[no-any-return]
    except Exception as error:  # noqa: BLE001 - a result that does not pickle is the task's error
        return cloudpickle.dumps(failed(completion.position, error))  # type: ignore[no-any-return]
