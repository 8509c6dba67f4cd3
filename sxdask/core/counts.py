"""What this process has done so far, for its metrics."""

from __future__ import annotations

import threading
from dataclasses import asdict
from typing import Any

from sxdask.core.events import ReadReport


class Counts:
    """Sums over the tasks of one process; any thread may add and look."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._report = ReadReport()
        self._tasks = 0
        self._failures = 0
        self._seconds = 0.0

    def note(self, report: Any, seconds: float, *, failed: bool) -> None:
        """Add one task; `report` is its `ReadReport`, or anything else where it has none."""
        with self._lock:
            self._tasks += 1
            self._failures += failed
            self._seconds += seconds
            if isinstance(report, ReadReport):
                self._report = self._report + report

    def snapshot(self) -> dict[str, float]:
        """Return the sums by name; seconds are wall time of tasks, bytes are compressed."""
        with self._lock:
            own = {"tasks": self._tasks, "failures": self._failures, "seconds": self._seconds}
            return own | asdict(self._report)


WORKED = Counts()
