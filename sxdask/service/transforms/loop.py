"""One thread that handles events in turn, its timers, and a pool for what takes long."""

from __future__ import annotations

import heapq
import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    Event = Callable[[], None]

_LOG: Final = logging.getLogger(__name__)

TURN_SECONDS: Final = 0.5
_MOST_EVENTS: Final = 1_000  # that are handled before the next turn
_ALIVE_SECONDS: Final = 60.0
_STOP_SECONDS: Final = 30.0


class EventLoop:
    """Handle what is posted, one event after the other, and take a turn after some of them.

    An event or turn that raises is logged, `on_fault` is called, and the thread
    goes on: it ends by `stop` alone.

    Parameters
    ----------
    turn
        Called after events, and at least twice a second.
    on_fault
        Called in the thread after an event failed.
    threads
        Of the pool.
    let_by
        Called before each function of the pool and each turn; it may wait a moment for what is
        more urgent.
    """

    def __init__(
        self,
        turn: Event,
        on_fault: Event,
        *,
        threads: int = 8,
        let_by: Event = lambda: None,
    ) -> None:
        self._turn = turn
        self._let_by = let_by
        self._on_fault = on_fault
        self._inbox: SimpleQueue[Event] = SimpleQueue()
        self._timers: list[tuple[float, int, Event]] = []
        self._numbers = count()
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="sxdask-engine")
        self._thread = threading.Thread(target=self._loop, name="sxdask-engine", daemon=True)
        self._turned = time.monotonic()
        self.stopping = threading.Event()

    @property
    def is_well(self) -> bool:
        """Whether the thread lives and takes its turns."""
        return self._thread.is_alive() and time.monotonic() - self._turned < _ALIVE_SECONDS

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread; what the pool does may come to its end, what waits there does not begin.

        `finish` waits for that.
        """
        self.stopping.set()
        self.post(lambda: None)
        if self._thread.is_alive():
            self._thread.join(_STOP_SECONDS)

    def finish(self) -> None:
        """Wait until the pool is done."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def post(self, event: Event) -> None:
        """Let the thread handle `event`; from any thread."""
        self._inbox.put(event)

    def later(self, seconds: float, event: Event) -> None:
        """Let the thread handle `event` after some time; from this thread alone."""
        heapq.heappush(self._timers, (time.monotonic() + seconds, next(self._numbers), event))

    def run(self, function: Event) -> None:
        """Call `function` in the pool."""

        def guarded() -> None:
            self._let_by()
            try:
                function()
            except Exception:  # noqa: BLE001  a thread must not end, nor a defect be silent
                _LOG.exception("a step of the engine failed")
                self.post(self._on_fault)

        if not self.stopping.is_set():
            self._pool.submit(guarded)

    def _loop(self) -> None:
        while not self.stopping.is_set():
            try:
                self._handle(self._inbox.get(timeout=self._patience()))
                for _ in range(_MOST_EVENTS):
                    self._handle(self._inbox.get_nowait())
            except Empty:
                pass
            self._turned = time.monotonic()
            while self._timers and self._timers[0][0] <= self._turned:
                self._handle(heapq.heappop(self._timers)[2])
            self._let_by()
            self._handle(self._turn)

    def _patience(self) -> float:
        if not self._timers:
            return TURN_SECONDS
        return min(TURN_SECONDS, max(0.0, self._timers[0][0] - time.monotonic()))

    def _handle(self, event: Event) -> None:
        try:
            event()
        except Exception:  # noqa: BLE001  as above
            _LOG.exception("the engine could not handle an event")
            self._on_fault()
