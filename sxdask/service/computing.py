"""The Dask cluster of a service: opened once, and again when its scheduler is lost."""

from __future__ import annotations

import logging
from contextlib import suppress
from threading import Lock
from typing import TYPE_CHECKING, Any

from sxdask.core.errors import SystemFaultError
from sxdask.service.transforms.imports import Imports, begin_imports

if TYPE_CHECKING:
    from sxdask.clusters.opening import Cluster

_log = logging.getLogger(__name__)


class Computing:
    """Gives a client of the cluster `name`; see `sxdask.clusters.opening.open_cluster`."""

    def __init__(self, name: str, **options: Any) -> None:
        self.name = name
        self._options = options
        self._cluster: Cluster | None = None
        self._client: Any = None
        self._lock = Lock()
        self._is_closed = False

    def client(self) -> Any:
        """Return a client that is connected; a lost cluster is left, and opened anew.

        Raises
        ------
        SxdaskError
            If there is no cluster, or the service is ending.
        """
        from sxdask.clusters.opening import open_cluster

        with self._lock:
            if self._is_closed:
                raise SystemFaultError("the service is ending")
            if self._client is not None and self._client.status == "running":
                return self._client
            self._leave()
            cluster = open_cluster(self.name, **self._options)
            begin_imports()  # what workers write is published by this process
            self._client = cluster.start()
            self._cluster = cluster
            self._client.register_plugin(Imports())
            return self._client

    @property
    def dashboard(self) -> str:
        """The address of Dask's dashboard, empty if there is none."""
        cluster = self._cluster
        return "" if cluster is None else cluster.dashboard

    def summary(self) -> str:
        """Return how many workers there are now."""
        threads = self.client().nthreads()
        return f"{len(threads)} workers with {sum(threads.values())} threads"

    def require(self) -> None:
        """Raise if the scheduler is not connected now; nothing is opened."""
        client = self._client
        if client is None or client.status != "running":
            raise SystemFaultError(f"the cluster {self.name!r} is not connected")

    def close(self) -> None:
        """Close the client, and the cluster if it was started here."""
        with self._lock:
            self._is_closed = True
            self._leave()

    def _leave(self) -> None:
        cluster, self._cluster, self._client = self._cluster, None, None
        if cluster is not None:
            try:
                with suppress(TimeoutError):
                    cluster.close()
            except (OSError, RuntimeError) as error:
                _log.warning("the cluster %r could not be closed: %s", self.name, error)
