"""Where a server computes: a Dask cluster, or threads of its own process."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any, Final

from sxdask.core.machine import num_cores
from sxdask.deliver.runner import choose_runner
from sxdask.deliver.runners.threads import ThreadRunner

if TYPE_CHECKING:
    from sxdask.deliver.runner import Runner

_LOOK_AGAIN_S: Final = 5.0


class Workers:
    """The workers behind `client`; without one, threads of this process.

    Many computations of one partition each run at a time, so a runner needs
    one thread here.
    """

    def __init__(self, client: Any = None) -> None:
        self._client = client
        self._lock = threading.Lock()
        self._looked_at = float("-inf")
        self._threads = 1

    def runner(self) -> Runner:
        """Return where to run one partition."""
        return ThreadRunner(1) if self._client is None else choose_runner(self._client)

    def slots(self) -> int:
        """Return how many partitions are best computed at once; a cluster may grow and shrink."""
        if self._client is None:
            return max(1, round(num_cores()))
        with self._lock:
            if time.monotonic() - self._looked_at > _LOOK_AGAIN_S:
                self._looked_at = time.monotonic()
                if self._client.status == "running":
                    self._threads = max(1, sum(self._client.nthreads().values()))
            return self._threads

    @property
    def state(self) -> dict[str, Any]:
        """Facts for `health`."""
        kind = "threads" if self._client is None else f"cluster {self._client.status}"
        return {"kind": kind, "slots": self.slots()}
