"""Open a cluster: start it, compare versions, set workers up, scale it with the queue."""

from __future__ import annotations

import time
from contextlib import suppress
from importlib.util import find_spec
from inspect import signature
from typing import TYPE_CHECKING, Any, Final

from sxdask.clusters.backend import BACKENDS, ClusterBackend
from sxdask.clusters.names import find_cluster, refuse_secret_options
from sxdask.core.errors import ClusterError, MissingExtraError, RequestError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

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
    queue_s
        Seconds in which workers should do all that is queued; more are asked for until
        they would.
    allowed_failures
        How many workers may die with a task before it is given up: Dask's 3, or
        more where workers come and go. A task that waits on a worker dies with it too.
    """

    def __init__(  # noqa: PLR0913 - what may be said of a cluster, by keyword
        self,
        name: str,
        backend: ClusterBackend,
        *,
        minimum: int | None = None,
        maximum: int | None = None,
        worker: WorkerSettings | None = None,
        wait_s: float = FIRST_WORKER_S,
        queue_s: float | None = None,
        allowed_failures: int | None = None,
    ) -> None:
        self.name = name
        self.backend = backend
        self.bounds = backend.bounds = _bounds(minimum, maximum)
        self.worker = worker
        self.wait_s = wait_s
        self.queue_s = queue_s
        self.allowed_failures = allowed_failures
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

    def adapt(self, minimum: int, maximum: int | None) -> None:
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
        if self.allowed_failures is not None:
            client.run_on_scheduler(_allow, failures=self.allowed_failures)
        bounds = self._chosen_bounds()
        if bounds is not None:
            self._scale_with_queue(client, QueuedBytes, *bounds)
        if bounds[0] > 0 if bounds is not None else self.backend.owned:
            self._await_worker(client)
            check_versions(client)  # of the workers, too
        if self.worker is not None and (wrong := setup_problems(client)):
            address, problems = next(iter(wrong.items()))
            raise ClusterError(
                f"cluster {self.name!r}: {problems[0]} at worker {address}",
                hint="mount it there, or correct the 'worker' options of the cluster",
            )

    def _chosen_bounds(self) -> tuple[int, int | None] | None:
        elastic = self.backend.elastic and self.backend.owned
        if self.bounds is None and elastic and getattr(self.backend, "workers", None) is None:
            return 0, None
        return self.bounds

    def _scale_with_queue(
        self, client: Any, plugin: type[Any], minimum: int, maximum: int | None
    ) -> None:
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
    name: str = "local", /, *, resources: Mapping[str, Any] | None = None, **options: Any
) -> Cluster:
    """Return the cluster `name`, which is not started yet.

    `name` is one of a file of clusters, a backend, or the address of a
    scheduler. `options` win over `resources`, which a request asks for in general
    terms, and both over what the file says.

    Raises
    ------
    RequestError
        If there is no such cluster, or an option is unknown or a secret.
    MissingExtraError
        If the backend needs a package that is not installed.
    """
    found = find_cluster(name)
    make = _maker(found.backend)
    accepted = signature(make).parameters
    given = {key: value for key, value in options.items() if value is not None}
    refuse_secret_options(given, f"cluster {name!r}")
    # A request that runs anywhere says what it wants; not every place lets it choose.
    joins = found.backend == "address" or "name" in found.options or "name" in given
    free = {*accepted, *_OWN} if not joins else set()
    wanted = {k: v for k, v in (resources or {}).items() if v is not None and k in free}
    merged = _layered(found.options, wanted, given)
    own = {key: merged.pop(key) for key in _OWN if key in merged}
    if own.get("maximum") is not None and "workers" in accepted:
        merged.setdefault("workers", own.get("minimum") or 0)
    if found.backend == "local":
        merged.setdefault("dashboard", find_spec("bokeh") is not None)
    if "worker" in own:
        from sxdask.clusters.worker import worker_settings

        own["worker"] = worker_settings(own["worker"])
    try:
        backend = make(**merged)
    except TypeError as error:
        raise RequestError(
            f"cluster {name!r} cannot take its options: {str(error).rpartition('() ')[2]}",
            hint=f"a cluster of {found.backend} takes {', '.join([*accepted, *_OWN])}",
        ) from None
    return Cluster(name, backend, **own)


_BOUNDS: Final = ("minimum", "maximum")
_OWN: Final = (*_BOUNDS, "worker", "wait_s", "queue_s", "allowed_failures")


def _allow(failures: int, dask_scheduler: Any) -> None:
    dask_scheduler.allowed_failures = failures


def _maker(kind: str) -> Callable[..., ClusterBackend]:
    try:
        return BACKENDS.load(kind)
    except MissingExtraError as error:
        error.hint = f"pip install 'sxdask[{kind}]'"
        raise


def _layered(*layers: Mapping[str, Any]) -> dict[str, Any]:
    """Return all layers, where a later one wins; a number of workers rules bounds out."""
    merged: dict[str, Any] = {}
    for layer in layers:
        other = _BOUNDS if "workers" in layer else ("workers",) if "maximum" in layer else ()
        merged = _merged({k: v for k, v in merged.items() if k not in other}, layer)
    return merged


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
