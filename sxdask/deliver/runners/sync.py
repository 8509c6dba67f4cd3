"""Run tasks one after the other in the caller's thread; for debugging and for order."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from sxdask.deliver.attempt import attempt

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sxdask.deliver.attempt import Completion, Job


class SyncRunner:
    """Each task runs when its result is asked for, and not before."""

    def open(self, function: Callable[[Any], Any]) -> SyncSession:
        """Return a session for `function`."""
        return SyncSession(function)


class SyncSession:
    """The jobs, in order; `wait` runs the next one."""

    window = 1
    batch = 1

    def __init__(self, function: Callable[[Any], Any]) -> None:
        self._function = function
        self._jobs: deque[Job] = deque()

    def submit(self, jobs: Sequence[Job]) -> None:
        """Queue `jobs`."""
        self._jobs.extend(jobs)

    def wait(self, timeout_s: float) -> list[Completion]:  # noqa: ARG002 - the protocol's name
        """Run the next job to its end."""
        return [attempt(self._function, self._jobs.popleft())] if self._jobs else []

    def close(self) -> None:
        """Forget what is pending."""
        self._jobs.clear()
