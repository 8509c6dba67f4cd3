"""Run tasks through any Dask ``get`` function, a batch at a time.

A ``get`` call returns when its whole graph is done, so results arrive in
batches; the batch bounds what is held.
"""

from __future__ import annotations

import os
import uuid
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any

from sxdask.core.errors import SystemFaultError
from sxdask.deliver.attempt import attempt

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sxdask.deliver.attempt import Completion, Job


class GetRunner:
    """`get` is called with graphs of `batch` independent tasks (default: four a core)."""

    def __init__(self, get: Callable[..., Any], *, batch: int | None = None) -> None:
        self.get = get
        self.batch = batch or 4 * (os.cpu_count() or 1)

    def open(self, function: Callable[[Any], Any]) -> GetSession:
        """Return a session for `function`."""
        return GetSession(self.get, function, self.batch)


class GetSession:
    """Jobs wait until they are asked for; then they go out as one graph."""

    def __init__(self, get: Callable[..., Any], function: Callable[[Any], Any], batch: int) -> None:
        self.window = self.batch = batch
        self._get = get
        self._function = function
        self._jobs: deque[Job] = deque()

    def submit(self, jobs: Sequence[Job]) -> None:
        """Queue `jobs`."""
        self._jobs.extend(jobs)

    def wait(self, timeout_s: float) -> list[Completion]:  # noqa: ARG002 - the protocol's name
        """Run everything that is queued and return it.

        Raises
        ------
        SystemFaultError
            If the scheduler itself fails; errors of tasks are in the completions.
        """
        if not self._jobs:
            return []
        run = uuid.uuid4().hex  # keys of their own: nothing stale can be found under them
        # A call without arguments: Dask must not look for keys or tasks inside an item.
        graph = {
            f"partition-{run}-{job.position}": (partial(attempt, self._function, job),)
            for job in self._jobs
        }
        self._jobs.clear()
        try:
            return list(self._get(graph, list(graph)))
        except Exception as error:
            raise SystemFaultError(
                f"the Dask scheduler failed: {type(error).__name__}: {error}",
                hint="run with scheduler='sync' to see the error where it happens",
            ) from error

    def close(self) -> None:
        """Forget what is pending."""
        self._jobs.clear()
