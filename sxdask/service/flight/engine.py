"""Computations in turn: as many at once as there are workers, each client its fair share.

Clients that wait for the same partition wait for one computation. It ends when
the last of them has gone.
"""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sxdask.service.flight.faults import cancelled

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from sxdask.service.flight.results import Held, Results

    Work = Callable[[threading.Event], Any]

_LOOK_S = 0.05
"""How soon a client that has gone is noticed while it waits."""


@dataclass(eq=False)
class _Computation:
    """One partition that is being computed, or waits for its turn."""

    key: str
    work: Work
    waiting: int = 0
    held: Held | None = None
    done: threading.Event = field(default_factory=threading.Event)
    stop: threading.Event = field(default_factory=threading.Event)
    error: BaseException | None = None


class Engine:
    """Compute partitions, or give the copies that `results` holds.

    `slots` tells how many may be computed at once; it is asked again each time.
    """

    def __init__(self, results: Results, slots: Callable[[], int]) -> None:
        self._results = results
        self._slots = slots
        self._lock = threading.Lock()
        self._computations: dict[str, _Computation] = {}
        self._queues: OrderedDict[Hashable, deque[_Computation]] = OrderedDict()
        self._running = 0
        self.computed = 0
        self.reused = 0

    @property
    def state(self) -> dict[str, int]:
        """Numbers for `health`."""
        with self._lock:
            waiting = sum(map(len, self._queues.values()))
            return {
                "running": self._running,
                "waiting": waiting,
                "computed": self.computed,
                "reused": self.reused,
            }

    def get(self, key: str, client: Hashable, work: Work, is_gone: Callable[[], bool]) -> Held:
        """Return the table `key`, held for the caller; `work` computes it if need be.

        Parameters
        ----------
        key
            Name of the result, by content.
        client
            Whose turn it takes.
        work
            Called in a thread of its own with an event that asks it to stop.
        is_gone
            Whether the caller has lost interest.

        Raises
        ------
        SystemFaultError
            If the caller has gone.
        """
        with self._lock:
            held = self._results.hold(key)
            if held is not None:
                self.reused += 1
                return held
            found = self._join(key, client, work)
        self._start_some()
        while not found.done.wait(_LOOK_S):
            if is_gone():
                self._leave(found)
                raise cancelled()
        if found.error is not None:
            raise found.error
        assert found.held is not None  # noqa: S101  narrows for the type checker
        return found.held

    def _join(self, key: str, client: Hashable, work: Work) -> _Computation:
        found = self._computations.get(key)
        if found is None:
            found = self._computations[key] = _Computation(key, work)
            self._queues.setdefault(client, deque()).append(found)
        found.waiting += 1
        return found

    def _leave(self, found: _Computation) -> None:
        with self._lock:
            if found.held is not None:  # it came just now
                found.held.release()
                return
            found.waiting -= 1
            if found.waiting:
                return
            found.stop.set()
            self._forget(found)
            for queue in self._queues.values():
                if found in queue:
                    queue.remove(found)

    def _forget(self, found: _Computation) -> None:
        if self._computations.get(found.key) is found:
            del self._computations[found.key]

    def _start_some(self) -> None:
        slots = self._slots()
        with self._lock:
            while self._running < slots and (found := self._next()) is not None:
                self._running += 1
                thread = threading.Thread(
                    target=self._run, args=(found,), name="sxdask-flight", daemon=True
                )
                thread.start()

    def _next(self) -> _Computation | None:
        """Return the next computation, of the client that was served longest ago."""
        for client in list(self._queues):
            queue = self._queues[client]
            if not queue:
                del self._queues[client]
                continue
            self._queues.move_to_end(client)
            return queue.popleft()
        return None

    def _run(self, found: _Computation) -> None:
        entry = None
        try:
            entry = self._results.take_in(found.work(found.stop))
        except BaseException as error:  # noqa: BLE001 - the clients that wait are told
            found.error = error
        with self._lock:
            self._running -= 1
            self._forget(found)
            if entry is not None:
                self.computed += 1
                found.held = self._results.keep(found.key, entry, found.waiting)
            found.done.set()
        self._start_some()
