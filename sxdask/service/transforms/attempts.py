"""Tries that are at work in this worker process: what they do, and threads they may hang in.

A try runs in a thread of its own, so that one that hangs can be left to itself
while the worker goes on; such threads are counted, and a worker with too many
is restarted by the engine. A second thread tells the engine once a second what
goes on here.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from sxdask.service.transforms.orders import PREFIX, TOPIC

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Stage: TypeAlias = Literal["reading", "computing", "uploading"]

BEAT_SECONDS: Final = 1.0
_MOST_FREE: Final = 16


class GivenUpError(Exception):
    """Nobody waits for this try any more."""


@dataclass(eq=False, slots=True)
class Attempt:
    """One try at one file. `moved` is when it last did something, by `time.monotonic`."""

    key: str
    worker: Any = None
    stage: Stage = "reading"
    bytes_read: int = 0
    moved: float = field(default_factory=time.monotonic)
    is_over: bool = False

    @property
    def address(self) -> str:
        """The worker's address, empty outside of one."""
        return "" if self.worker is None else str(self.worker.address)

    def tell(self, stage: Stage, bytes_read: int = 0) -> None:
        """Say what begins now, and what was read until now.

        Raises
        ------
        GivenUpError
            If nobody waits for it any more.
        """
        if self.is_over:
            raise GivenUpError
        self.stage = stage
        self.bytes_read += bytes_read
        self.moved = time.monotonic()

    def is_wanted(self) -> bool:
        """Tell whether the scheduler still wants the result: a task that runs cannot be told."""
        if self.worker is None:
            return True
        task = self.worker.state.tasks.get(f"{PREFIX}-{self.key}")
        return task is not None and task.state != "cancelled"


_running: dict[int, Attempt] = {}
_changed = threading.Condition()
_teller: threading.Thread | None = None


@contextmanager
def present(key: str) -> Iterator[Attempt]:
    """Give a new attempt, of which the engine hears while the block runs."""
    attempt = Attempt(key, _worker())
    with _changed:
        _running[id(attempt)] = attempt
        _ensure_teller()
        _changed.notify_all()
    try:
        yield attempt
    finally:
        with _changed:
            del _running[id(attempt)]


def _worker() -> Any:
    """Return the Dask worker whose task this is, None outside of one."""
    from distributed import get_worker

    try:
        return get_worker()
    except ValueError:
        return None


def _ensure_teller() -> None:
    global _teller  # noqa: PLW0603  one a process, started with the first attempt
    if _teller is None or not _teller.is_alive():
        _teller = threading.Thread(target=_tell, name="sxdask-teller", daemon=True)
        _teller.start()


def _tell() -> None:
    while True:
        with _changed:
            while not _running:
                _changed.wait()
        time.sleep(BEAT_SECONDS)
        with _changed:
            attempts = list(_running.values())
        beats: defaultdict[Any, dict[str, list[Any]]] = defaultdict(dict)
        for item in attempts:
            if item.worker is not None:
                beats[item.worker][item.key] = [item.stage, item.bytes_read]
        for worker, facts in beats.items():
            with suppress(Exception):  # a worker that closes: nobody needs to hear of it
                worker.log_event(TOPIC, {"worker": str(worker.address), "attempts": facts})


class _Hand(threading.Thread):
    """A thread that does one job after the other."""

    def __init__(self) -> None:
        super().__init__(name="sxdask-file", daemon=True)
        self.jobs: SimpleQueue[Callable[[], None]] = SimpleQueue()

    def run(self) -> None:
        """Work until there are hands enough."""
        while True:
            self.jobs.get()()
            with _changed:
                if len(_free) >= _MOST_FREE:
                    return
                _free.append(self)


_free: list[_Hand] = []
_left: set[int] = set()


@dataclass(eq=False, slots=True)
class Job:
    """A function that runs in another thread: threads are used again, as their connections are."""

    function: Callable[[], Any]
    done: threading.Event = field(default_factory=threading.Event)
    value: Any = None
    error: BaseException | None = None

    def begin(self) -> None:
        """Start it."""
        with _changed:
            hand = _free.pop() if _free else _Hand()
        if not hand.is_alive():
            hand.start()
        hand.jobs.put(self._run)

    def leave(self) -> None:
        """Wait for it no longer."""
        with _changed:
            if not self.done.is_set():
                _left.add(id(self))

    def _run(self) -> None:
        try:
            self.value = self.function()
        except BaseException as error:  # noqa: BLE001  whoever waits says what it means
            self.error = error
        with _changed:
            _left.discard(id(self))
            self.done.set()


def stuck() -> int:
    """Return how many threads of this process hang."""
    with _changed:
        return len(_left)
