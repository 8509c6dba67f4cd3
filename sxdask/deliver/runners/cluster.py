"""Run tasks on a distributed cluster, with a bounded number of futures.

The function is one task of its own that every other task depends on: it goes
to each worker once, and a worker that takes it down with itself costs a
recomputation and nothing else. Futures are released as their results are
fetched, so the cluster holds at most a window of results.
"""

from __future__ import annotations

import time
import uuid
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from inspect import isawaitable
from typing import TYPE_CHECKING, Any, cast

import cloudpickle
import dask
from distributed import KilledWorker, as_completed, wait

from sxdask.core.errors import ClusterError, SystemFaultError
from sxdask.core.settings import load_settings
from sxdask.deliver.attempt import MEMORY_HINT, Completion, Job, attempt, failed
from sxdask.deliver.budget import bytes_to_read

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

_REFRESH_SECONDS = 5.0
_WARM_UP_SECONDS = 2.0
_FETCH_SECONDS = 60.0
_RECONNECT_SECONDS = 60.0
_GATHER_SECONDS = 0.02
_AHEAD_SECONDS = 1.0
_PER_THREAD, _MOST_PER_THREAD = 4, 128
_POLL_SECONDS = 0.05
_GONE = {"cancelled", "lost"}
# What calls on a client raise once its scheduler or event loop is gone.
_LOST = (OSError, RuntimeError, TimeoutError, AttributeError)


class ClusterRunner:
    """A distributed `client`.

    `direct` fetches results from the workers themselves instead of through
    the scheduler; by default where they are surely reachable, on this machine.
    `no_worker_seconds` is how long the cluster may be without any worker before
    a run gives up, by default what the settings of this process say.
    """

    is_remote = True  # tasks take the memory of workers, which watch it themselves

    def __init__(
        self,
        client: Any,
        *,
        direct: bool | None = None,
        no_worker_seconds: float | None = None,
    ) -> None:
        self.client = client
        self.direct = direct
        if no_worker_seconds is None:
            no_worker_seconds = load_settings().no_worker_seconds
        self.no_worker_seconds = float(no_worker_seconds)

    def open(self, function: Callable[[Any], Any]) -> ClusterSession:
        """Send `function` to the cluster and return a session for it.

        Raises
        ------
        SystemFaultError
            If the client is not connected to a scheduler.
        """
        direct = self.direct
        if direct is None:
            address = str(getattr(self.client.scheduler, "address", ""))
            direct = address.startswith(("inproc://", "tcp://127.", "tls://127."))
        return self._session(function, direct)

    def _session(self, function: Callable[[Any], Any], direct: bool) -> ClusterSession:  # noqa: FBT001
        return ClusterSession(self.client, function, direct, self.no_worker_seconds)


@dataclass(frozen=True, slots=True)
class Sizes:
    """Annotation of tasks: their run, the bytes that each reads, and what is yet to come.

    Clusters that follow the queue read it at the scheduler (`sxdask.clusters.adaptive`).
    """

    run: str
    sizes: Mapping[Any, int]
    held_tasks: int
    held_bytes: int

    def __call__(self, key: Any) -> tuple[str, int, int, int]:
        """Return what is said of the task `key`."""
        return self.run, self.sizes.get(key, 0), self.held_tasks, self.held_bytes


class ClusterSession:
    """The futures that are out, and the function that they share."""

    def __init__(
        self,
        client: Any,
        function: Callable[[Any], Any],
        direct: bool,  # noqa: FBT001 - internal
        no_worker_seconds: float,
    ) -> None:
        self._client = client
        self._direct = direct
        self._patience = no_worker_seconds
        self._run = uuid.uuid4().hex  # keys of their own: nothing stale is ever reused
        self._serial = 0
        self._payload = cloudpickle.dumps(function)
        self._futures: dict[Any, int] = {}
        self._num_threads = 0
        self._held = (0, 0)
        self._task_seconds: float | None = None
        self._looked_at = self._last_seen = time.monotonic()
        with self._connected():
            self._count_threads()
            self._function = self._send_function()
            self._ready = as_completed(loop=client.loop)

    @property
    def window(self) -> int:
        """Four tasks a thread, so that a worker has its next one before it asks.

        More of short ones, so that a thread has a second of work: what a message
        between client and scheduler costs does not depend on the tasks in it.
        """
        each = _PER_THREAD
        if self._task_seconds is not None:
            each = round(
                _AHEAD_SECONDS / max(self._task_seconds, _AHEAD_SECONDS / _MOST_PER_THREAD)
            )
        return max(2, self._num_threads) * max(_PER_THREAD, each)

    @property
    def batch(self) -> int:
        """A quarter of the window: one message to the scheduler for many tasks."""
        return max(1, self.window // 4)

    def expect(self, num_tasks: int, num_bytes: int) -> None:
        """Note what will be submitted in all, for clusters that grow with it."""
        self._held = (num_tasks, num_bytes)

    def submit(self, jobs: Sequence[Job]) -> None:
        """Send `jobs` to the scheduler in one message."""
        if not jobs:
            return
        keys = [(f"partition-{self._run}", self._serial + n) for n in range(len(jobs))]
        self._serial += len(jobs)
        with self._connected():
            if self._function.status in _GONE:  # a restart of the cluster forgets it
                self._function = self._send_function()
            with dask.annotate(sxdask=self._sizes(jobs, keys)):
                futures = self._launch(list(jobs), keys)
            for future, job in zip(futures, jobs, strict=True):
                self._futures[future] = job.position
            self._ready.update(futures)

    def wait(self, timeout_s: float) -> list[Completion]:
        """Return what has completed and release it on the cluster."""
        with self._connected():
            with self._ready.thread_condition:
                self._ready.thread_condition.wait_for(self._ready.has_ready, timeout_s)
            if self._task_seconds is not None and self._task_seconds < _GATHER_SECONDS:
                time.sleep(_GATHER_SECONDS)  # one message for many results of short tasks
            futures = list(self._ready.next_batch(block=False))
            if not futures:
                self._check_workers()
                return []
            self._last_seen = time.monotonic()
            completions = self._collect(futures)
        self._look_for_threads()
        return completions

    def close(self) -> None:
        """Cancel what is pending and forget every future."""
        pending = [*self._futures, self._function]
        self._futures = {}
        self._function = None
        if self._client.status == "running":
            with suppress(*_LOST):
                asked = self._client.cancel(
                    [item for item in pending if item is not None], force=True
                )
                if isawaitable(asked):
                    # A run that was left is collected in any thread. This one is that of the
                    # client's loop, which sends the message itself, later.
                    self._client.loop.add_callback(lambda: asked)

    def _launch(self, jobs: list[Job], keys: list[Any]) -> list[Any]:
        """Submit `jobs` and return a future of the completion of each."""
        futures: list[Any] = self._client.map(
            attempt, [self._function] * len(jobs), jobs, key=keys, pure=False
        )
        return futures

    def _sizes(self, jobs: Sequence[Job], keys: Sequence[Any]) -> Sizes:
        sizes = {key: bytes_to_read(job.item) for key, job in zip(keys, jobs, strict=True)}
        tasks, held = self._held
        self._held = max(0, tasks - len(sizes)), max(0, held - sum(sizes.values()))
        return Sizes(self._run, sizes, *self._held)

    def _collect(self, futures: list[Any]) -> list[Completion]:
        positions = {future: self._futures.pop(future) for future in futures}
        values = self._fetch([future for future in futures if future.status == "finished"])
        for value in values.values():
            mean = value.seconds if self._task_seconds is None else self._task_seconds
            self._task_seconds = mean + 0.1 * (value.seconds - mean)
        return [
            values[future] if future in values else _explain(future, positions[future])
            for future in futures
        ]

    def _fetch(self, futures: list[Any]) -> dict[Any, Completion]:
        """Return the results that can be had; a worker may die before its result has left."""
        try:
            values = self._client.gather(futures, errors="raise", direct=self._direct)
            return dict(zip(futures, values, strict=True))
        except Exception:  # noqa: BLE001 - one bad result must not take the others down
            return {future: value for future in futures if (value := _result(future)) is not None}

    def _send_function(self) -> Any:
        function = self._client.submit(
            cloudpickle.loads,
            self._payload,
            key=f"function-{uuid.uuid4().hex}",
            pure=False,
        )
        if self._num_threads:
            # Every worker gets its copy before the first task, or the first tasks would all go
            # to the one worker that has it. A busy cluster is not waited for. Dask's scheduler
            # takes for granted that a worker which has it stays for as long as it is copied.
            with suppress(*_LOST, KeyError, ValueError, AssertionError):
                wait(function, timeout=_WARM_UP_SECONDS)
                self._client.replicate([function])
        return function

    def _look_for_threads(self) -> bool:
        """Count the threads if that was long ago: the window grows with a cluster that does."""
        now = time.monotonic()
        if now - self._looked_at < _REFRESH_SECONDS:
            return False
        self._looked_at = now
        with suppress(*_LOST):  # the next wait finds out whether the scheduler is lost
            self._count_threads()
        return True

    def _check_workers(self) -> None:
        if not self._look_for_threads():
            return
        if self._num_threads:
            self._last_seen = self._looked_at
        elif self._looked_at - self._last_seen > self._patience:
            # Clusters that sxdask opened know what their platform says.
            why = getattr(self._client, "why_no_workers", str)()
            raise ClusterError(
                f"the cluster has had no worker for {self._patience:.0f} s"
                + (f": {why}" if why else ""),
                hint="look at the cluster's log, or scale it up",
            )

    def _count_threads(self) -> None:
        self._num_threads = sum(self._client.nthreads().values())

    @contextmanager
    def _connected(self) -> Iterator[None]:
        """Turn a lost scheduler into one clear error, whatever the client makes of it."""
        try:
            self._require_running()
            yield
            self._require_running()
        except _LOST as error:
            if self._client.status != "running":
                raise _lost(self._client) from error
            if not isinstance(error, OSError):  # a TimeoutError is one
                raise
            raise SystemFaultError(
                f"the Dask scheduler does not answer: {type(error).__name__}: {error}",
                hint="it may be overloaded; what is stored is kept with resume=True",
            ) from error

    def _require_running(self) -> None:
        # A client that lost its connection tries again for as long as Dask's setting
        # distributed.comm.timeouts.connect says (30 s). Its futures are cancelled, so what was
        # out is submitted again.
        deadline = time.monotonic() + _RECONNECT_SECONDS
        while self._client.status == "connecting" and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)
        if self._client.status != "running":
            raise _lost(self._client)


def _lost(client: Any) -> SystemFaultError:
    return SystemFaultError(
        "the connection to the Dask scheduler is lost",
        hint="see whether the scheduler still runs, then connect a new Client",
        status=str(client.status),
    )


def _result(future: Any) -> Completion | None:
    with suppress(Exception):
        return cast("Completion", future.result(timeout=_FETCH_SECONDS))
    return None


def _explain(future: Any, position: int) -> Completion:
    """Return the completion of a task whose result never came."""
    if future.status != "error":
        lost = SystemFaultError("the cluster lost a task", status=str(future.status))
        return Completion(position, error=lost, transient=True)
    error = future.exception(timeout=_FETCH_SECONDS)
    if isinstance(error, KilledWorker):
        return Completion(position, error=_killed(error))
    return failed(position, error)


def _killed(error: Any) -> SystemFaultError:
    return SystemFaultError(
        f"a task was on {error.allowed_failures + 1} workers that died",
        hint=MEMORY_HINT,
        last_worker=str(getattr(error.last_worker, "address", error.last_worker)),
        cause="KilledWorker",
    )
