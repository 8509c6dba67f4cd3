"""Explained plans of requests, made in a process of their own and kept.

Reading a file's index may take as long as its storage lets it, and ends by
accident with what reads it; neither is to reach the service.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections import OrderedDict
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

_KEPT: Final = 256
_WAITING: Final = 32
"""Plans that wait for their turn; others are begun by the next look at their page."""

_PROBLEM_SECONDS: Final = 60.0
"""After so long what failed is tried again: storage comes back."""

_SECRETS: Final = "SXDASK_SERVICE_"
_PLACE: Final = "sxdask.service.pages.explaining"


@dataclass(frozen=True, slots=True)
class Explained:
    """What came of explaining: a text, or why there is none."""

    text: str = ""
    problem: str = ""


@dataclass(frozen=True, slots=True)
class PlanRequest:
    """What is explained: a selection over one file. `key` is equal for equal ones."""

    key: str
    language: str
    selection: str
    path: str
    tree: str | None = None


@dataclass
class Plans:
    """Explains in the background, one at a time, and keeps the last ones.

    `seconds` is what one may take.
    """

    seconds: float = 30.0
    _kept: OrderedDict[str, tuple[Explained, float]] = field(default_factory=OrderedDict)
    _underway: dict[str, threading.Event] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _turn: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(1))

    def explain(self, wanted: PlanRequest, wait: float = 0.0) -> Explained | None:
        """Return what is known after `wait` seconds at most; None: it is being made."""
        with self._lock:
            found = self._known(wanted.key)
            if found is not None:
                return found
            done = self._underway.get(wanted.key)
            if done is None and len(self._underway) >= _WAITING:
                return None
            if done is None:
                done = self._underway[wanted.key] = threading.Event()
                threading.Thread(target=self._make, args=(wanted, done), daemon=True).start()
        done.wait(wait)
        with self._lock:
            return self._known(wanted.key)

    def _known(self, key: str) -> Explained | None:
        found, at = self._kept.get(key, (None, 0.0))
        if found is None or (found.problem and time.monotonic() - at > _PROBLEM_SECONDS):
            return None
        self._kept.move_to_end(key)
        return found

    def _make(self, wanted: PlanRequest, done: threading.Event) -> None:
        found = Explained(problem="the plan could not be made; the service's log may say more")
        try:
            with self._turn:
                found = explained_apart(wanted, self.seconds)
        finally:
            with self._lock:
                self._kept[wanted.key] = (found, time.monotonic())
                while len(self._kept) > _KEPT:
                    self._kept.popitem(last=False)
                del self._underway[wanted.key]
            done.set()


def explained_apart(
    wanted: PlanRequest, seconds: float, environment: Mapping[str, str] = os.environ
) -> Explained:
    """Return the explained plan, made in a process that is ended after `seconds`."""
    own = {name: value for name, value in environment.items() if not name.startswith(_SECRETS)}
    try:
        done = subprocess.run(  # noqa: S603  our own module; the request goes in as data
            [sys.executable, "-m", _PLACE, str(seconds)],
            input=json.dumps(asdict(wanted)).encode(),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=seconds,
            env=own,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Explained(problem=f"the first file did not answer within {seconds:.0f} s")
    try:
        return Explained(**json.loads(done.stdout))
    except (ValueError, TypeError):
        return Explained(problem="the plan could not be made: its process ended early")
