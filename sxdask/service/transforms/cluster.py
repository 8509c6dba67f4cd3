"""The Dask cluster that the engine uses: connected, lost, and connected again.

Nothing here waits: what may take long runs in the engine's pool, and its end is
posted to the engine's thread, which alone calls the methods.
"""

from __future__ import annotations

import logging
import time
from concurrent.futures import CancelledError
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from distributed import KilledWorker

from sxdask.core.errors import SystemFaultError
from sxdask.deliver.attempt import MEMORY_HINT
from sxdask.service.transforms.orders import PREFIX, TOPIC, Report
from sxdask.service.transforms.task import failure, transform_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    Post = Callable[[Callable[[], None]], None]
    Run = Callable[[Callable[[], None]], None]

_LOG: Final = logging.getLogger(__name__)
_FIRST_PAUSE: Final = 0.5
_LONGEST_PAUSE: Final = 30.0
_PATIENCE_SECONDS: Final = 10.0  # a connection that is broken may come back by itself
_DESERTED_SECONDS: Final = 300.0
_RESTART_SECONDS: Final = 120.0  # in which a worker is asked to restart once
_COUNT_SECONDS: Final = 5.0
_FETCH_SECONDS: Final = 30.0
_GONE: Final = frozenset({"cancelled", "lost"})
# What calls on a client raise once its scheduler or event loop is gone.
LOST: Final = (OSError, RuntimeError, TimeoutError, AttributeError, CancelledError, ValueError)


class Cluster:
    """The connection to the scheduler.

    Parameters
    ----------
    client
        Makes a client; called again when the scheduler is lost.
    post
        Runs a function in the engine's thread.
    run
        Runs a function in the engine's pool.
    on_beat
        Gets what a worker tells: its address, and stage and bytes by attempt.
    """

    def __init__(
        self,
        client: Callable[[], Any],
        *,
        post: Post,
        run: Run,
        on_beat: Callable[[str, Mapping[str, tuple[str, int]]], None],
    ) -> None:
        self._make = client
        self._post = post
        self._run = run
        self._on_beat = on_beat
        self._client: Any = None
        self._is_connecting = False
        self._is_counting = False
        self._is_closed = False
        self._pause = _FIRST_PAUSE
        self._next_try = self._next_count = 0.0
        self._silent_since: float | None = None
        self._had_workers = False
        self._restarted: dict[str, float] = {}
        self._deserted = time.monotonic()
        self.threads = 0
        self.seen = time.monotonic()

    @property
    def is_ready(self) -> bool:
        """Whether tasks can be sent."""
        return self._client is not None and self._client.status == "running"

    def look(self, *, is_needed: bool) -> bool:
        """Connect where there is no connection; return whether one was lost.

        A cluster that had workers, and has none for long while it `is_needed`, is
        left for a new one: whatever should start workers does so no more.
        """
        now = time.monotonic()
        if not is_needed or self.threads:
            self._deserted = now
        if self._client is None:
            if not self._is_connecting and now >= self._next_try and not self._is_closed:
                self._is_connecting = True
                self._run(self._connect)
            return False
        if self.is_ready and self._had_workers and now - self._deserted > _DESERTED_SECONDS:
            _LOG.warning("the Dask cluster lost its workers, and gets no new ones")
            self._leave()
            return True
        if self._client.status == "running":
            if self._silent_since is not None:  # it came back, perhaps to another scheduler
                self._silent_since = None
                self._client.subscribe_topic(TOPIC, self._heard)
            if now >= self._next_count and not self._is_counting:
                self._is_counting = True
                client = self._client
                self._run(lambda: self._count(client))
            return False
        if self._silent_since is None:  # what was sent is lost in any case
            self._silent_since = now
            _LOG.warning("the connection to the Dask scheduler is lost")
            return True
        if self._client.status == "closed" or now - self._silent_since > _PATIENCE_SECONDS:
            self._leave()
        return False

    def _leave(self) -> None:
        old, self._client, self._silent_since, self.threads = self._client, None, None, 0
        self._had_workers = False
        self._run(lambda: _close(old))

    def send(self, attempt: str, payload: bytes, done: Callable[[], None]) -> Any:
        """Send an order and return its future; `done` is posted when it has ended.

        Raises
        ------
        SystemFaultError
            If the scheduler is lost.
        """
        try:
            future = self._client.submit(
                transform_file, payload, key=f"{PREFIX}-{attempt}", pure=False
            )
            future.add_done_callback(lambda _: self._post(done))
        except LOST as error:
            raise SystemFaultError("the connection to the Dask scheduler is lost") from error
        return future

    def cancel(self, futures: Iterable[Any]) -> None:
        """Stop tasks; those that run notice soon."""
        asked = [future for future in futures if future is not None]
        client = self._client
        if asked and client is not None and client.status == "running":
            self._run(lambda: _cancel(client, asked))

    def restart(self, worker: str) -> None:
        """Restart a worker, if something watches over it that can."""
        client, now = self._client, time.monotonic()
        self._restarted = {
            key: when for key, when in self._restarted.items() if now - when < _RESTART_SECONDS
        }
        if worker in self._restarted:
            return
        self._restarted[worker] = now
        _LOG.warning("worker %s hangs and is restarted", worker)
        self._run(lambda: _restart(client, worker))

    def trouble(self, now: float) -> str:
        """Return what is wrong with the cluster, empty if nothing is."""
        if not self.is_ready:
            return "there is no connection to the Dask scheduler"
        if not self.threads:
            return f"the Dask cluster has had no worker for {now - self.seen:.0f} s"
        return ""

    def close(self, futures: Iterable[Any]) -> None:
        """Cancel tasks and forget the client, which belongs to who made it; waits."""
        self._is_closed = True
        client, self._client = self._client, None
        if client is not None and client.status == "running":
            _cancel(client, [future for future in futures if future is not None])
            with suppress(*LOST):
                client.unsubscribe_topic(TOPIC)

    def _connect(self) -> None:
        try:
            client = self._make()
        except Exception as error:  # noqa: BLE001  whatever a cluster backend raises
            _LOG.warning("no connection to the Dask cluster: %s", error)
            self._post(self._not_connected)
        else:
            self._post(lambda: self._connected(client))

    def _not_connected(self) -> None:
        self._is_connecting = False
        self._next_try = time.monotonic() + self._pause
        self._pause = min(2 * self._pause, _LONGEST_PAUSE)

    def _connected(self, client: Any) -> None:
        self._is_connecting = False
        if self._is_closed:
            return
        if client.status != "running":
            self._not_connected()
            return
        self._pause, self._next_count = _FIRST_PAUSE, 0.0
        self._client = client
        client.subscribe_topic(TOPIC, self._heard)

    def _heard(self, event: tuple[float, Any]) -> None:
        """Take what a worker told; runs on the client's event loop."""
        _, told = event
        attempts = {key: (str(item[0]), int(item[1])) for key, item in told["attempts"].items()}
        self._post(lambda: self._on_beat(str(told["worker"]), attempts))

    def _count(self, client: Any) -> None:
        threads: int | None = None
        with suppress(*LOST):
            threads = sum(client.nthreads().values())
        self._post(lambda: self._counted(client, threads))

    def _counted(self, client: Any, threads: int | None) -> None:
        self._is_counting = False
        self._next_count = time.monotonic() + _COUNT_SECONDS
        if client is self._client and threads is not None:
            self.threads = threads
            if threads:
                self._had_workers = True
                self.seen = time.monotonic()


def is_gone(future: Any) -> bool:
    """Tell whether nothing will come of a future: its scheduler forgot it."""
    return future is not None and future.status in _GONE


def outcome(future: Any, path: str) -> Report | None:
    """Return the report of a future that has ended, None if its cluster lost it; may wait."""
    try:
        if future.status == "finished":
            report: Report = future.result(timeout=_FETCH_SECONDS)
            return report
        if future.status != "error":
            return None
        error = future.exception(timeout=_FETCH_SECONDS)
    except LOST as fault:
        if is_gone(future):
            return None
        kind = type(fault).__name__
        return failure(path, SystemFaultError(f"its worker does not answer: {kind}"))
    if isinstance(error, KilledWorker):
        lost = SystemFaultError(
            f"the file was on {error.allowed_failures + 1} workers that died", hint=MEMORY_HINT
        )
        return failure(path, lost)
    return failure(path, error)


def _cancel(client: Any, futures: list[Any]) -> None:
    with suppress(*LOST):
        client.cancel(futures, force=True)


def _restart(client: Any, worker: str) -> None:
    try:
        client.restart_workers([worker], timeout=_FETCH_SECONDS, raise_for_error=False)
    except (*LOST, KeyError) as error:
        _LOG.warning("worker %s cannot be restarted: %s", worker, error)


def _close(client: Any) -> None:
    with suppress(*LOST):
        client.close(timeout=_PATIENCE_SECONDS)
