"""Open a cluster: start it, compare versions, set workers up, scale it with the queue."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from sxdask.clusters.backend import BACKENDS, ClusterBackend
from sxdask.clusters.names import find_cluster, refuse_secret_options
from sxdask.core.errors import ClusterError, MissingExtraError, RequestError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sxdask.clusters.worker import WorkerSettings

FIRST_WORKER_S: Final = 300.0
"""How long `Cluster.start` waits for the first worker, in seconds."""


class Cluster(ClusterBackend):
    """A cluster of any kind, ready to run requests.

    Parameters
    ----------
    name
        What messages call it.
    backend
        Starts scheduler and workers.
    minimum, maximum
        Bounds of the number of workers, which then follows the bytes that are queued.
        `minimum` is 0 if only `maximum` is given.
    worker
        What every worker is set up with.
    wait_s
        Seconds to wait for the first worker, where one must come without being
        asked; 0 does not wait.
    """

    def __init__(
        self,
        name: str,
        backend: ClusterBackend,
        *,
        minimum: int | None = None,
        maximum: int | None = None,
        worker: WorkerSettings | None = None,
        wait_s: float = FIRST_WORKER_S,
        queue_s: float | None = None,
    ) -> None:
        self.name = name
        self.backend = backend
        self.bounds = _bounds(minimum, maximum)
        self.worker = worker
        self.wait_s = wait_s
        self.queue_s = queue_s
        self._client: Any = None

    def start(self) -> Any:
        """Start or join the cluster; return a client that is the active one.

        Raises
        ------
        VersionMismatchError
            If a package differs between here, the scheduler and the workers.
        ClusterError
            If no worker comes in time, with what the platform says of it; or if a
            worker lacks a file that it was told to use.
        """
        if self._client is not None:
            return self._client
        client = self.backend.start()
        try:
            self._prepare(client)
        except BaseException:
            self.backend.close()
            raise
        self._client = client
        # Whoever waits for workers later on can say why none comes.
        client.why_no_workers = self.backend.problem
        return client

    def close(self) -> None:
        """Close the client, and the cluster if it was started here."""
        self._client = None
        self.backend.close()

    def adapt(self, minimum: int, maximum: int) -> None:
        """Let the number of workers follow the bytes that are queued, within the bounds."""
        from sxdask.clusters.adaptive import QueuedBytes

        client = self.start() if self._client is None else self._client
        self._scale_with_queue(client, QueuedBytes, minimum, maximum)

    def problem(self) -> str:
        """Return in one line why workers do not come, as far as the platform says."""
        return self.backend.problem()

    def attachment(self) -> tuple[str, dict[str, Any]]:
        """Return how another process joins this cluster."""
        return self.backend.attachment()

    @property
    def dashboard(self) -> str:
        """The address of Dask's dashboard for a browser; empty where there is none."""
        from sxdask.clusters.links import dashboard_link

        return dashboard_link(self._client)

    def _prepare(self, client: Any) -> None:
        from sxdask.clusters.adaptive import QueuedBytes
        from sxdask.clusters.versions import check_versions
        from sxdask.clusters.worker import WorkerSettings, WorkerSetup, setup_problems

        check_versions(client)
        if self.worker is not None or self.backend.owned:
            client.register_plugin(WorkerSetup(self.worker or WorkerSettings()))
        if self.bounds is not None:
            self._scale_with_queue(client, QueuedBytes, *self.bounds)
        if self.bounds is None or self.bounds[0] > 0:
            self._await_worker(client)
            check_versions(client)  # of the workers, too
        if self.worker is not None and (wrong := setup_problems(client)):
            address, problems = next(iter(wrong.items()))
            raise ClusterError(
                f"cluster {self.name!r}: {problems[0]} at worker {address}",
                hint="mount it there, or correct the 'worker' options of the cluster",
            )

    def _scale_with_queue(self, client: Any, plugin: type[Any], minimum: int, maximum: int) -> None:
        options = {} if self.queue_s is None else {"seconds": self.queue_s}
        client.register_plugin(plugin(**options))
        self.backend.adapt(minimum, maximum)

    def _await_worker(self, client: Any) -> None:
        deadline = time.monotonic() + self.wait_s
        while self.wait_s and not client.nthreads():
            if time.monotonic() > deadline:
                why = self.problem() or "the platform gives no reason"
                raise ClusterError(
                    f"cluster {self.name!r} has no worker after {self.wait_s:g} s: {why}",
                    hint="ask for less, or wait longer (wait_s)",
                    cluster=self.name,
                )
            with suppress(TimeoutError):
                client.wait_for_workers(1, timeout=min(1.0, self.wait_s))


def open_cluster(
    name: str = "local", *, resources: Mapping[str, Any] | None = None, **options: Any
) -> Cluster:
    """Return the cluster `name`, which is not started yet.

    `name` is one of a file of clusters, a backend, or the address of a
    scheduler. `options` win over those of the file, and both over `resources`,
    which a request asks for in general terms.

    Raises
    ------
    RequestError
        If there is no such cluster, or an option is unknown or a secret.
    MissingExtraError
        If the backend needs a package that is not installed.
    """
    found = find_cluster(name)
    wanted = {key: value for key, value in (resources or {}).items() if value is not None}
    given = {key: value for key, value in options.items() if value is not None}
    refuse_secret_options(given, f"cluster {name!r}")
    merged = _merged(_merged(wanted, found.options), given)
    if "workers" in given:  # a number that was asked for here wins over bounds of the file
        merged = {key: value for key, value in merged.items() if key not in _BOUNDS or key in given}
    own = {key: merged.pop(key) for key in _OWN if key in merged}
    if own.get("maximum") is not None and found.backend != "address":
        merged.setdefault("workers", own.get("minimum") or 0)
    if "worker" in own:
        from sxdask.clusters.worker import worker_settings

        own["worker"] = worker_settings(own["worker"])
    return Cluster(name, _backend(name, found.backend, merged), **own)


_BOUNDS: Final = ("minimum", "maximum")
_OWN: Final = (*_BOUNDS, "worker", "wait_s", "queue_s")


def _backend(name: str, kind: str, options: dict[str, Any]) -> ClusterBackend:
    try:
        make = BACKENDS.load(kind)
    except MissingExtraError as error:
        error.hint = f"pip install 'sxdask[{kind}]'"
        raise
    try:
        return make(**options)
    except TypeError as error:
        raise RequestError(
            f"cluster {name!r} cannot take its options: {str(error).rpartition('() ')[2]}",
            hint="see docs/how-to/cluster.md for the options of each backend",
        ) from None


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Return both, with mappings merged key by key."""
    merged = dict(below)
    for key, value in above.items():
        old = merged.get(key)
        both = isinstance(old, dict) and isinstance(value, dict)
        merged[key] = _merged(old, value) if both and isinstance(old, dict) else value
    return merged


def _bounds(minimum: int | None, maximum: int | None) -> tuple[int, int] | None:
    if maximum is None:
        if minimum is not None:
            raise RequestError(
                "there is a minimum of workers and no maximum", hint="give maximum= too"
            )
        return None
    least = minimum or 0
    if not 0 <= least <= maximum or maximum < 1:
        raise RequestError(
            f"between {least} and {maximum} workers is no range",
            hint="give 0 <= minimum <= maximum, and a maximum of at least 1",
        )
    return least, maximum
