"""Workers in pods of Kubernetes, made by the operator of Dask."""

from __future__ import annotations

import atexit
import socket
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

import httpx
import kr8s
from dask_kubernetes.operator import KubeCluster
from dask_kubernetes.operator.kubecluster.kubecluster import CreateMode
from distributed import Client

from sxdask.clusters.backend import ClusterBackend
from sxdask.clusters.kubernetes.access import Access, in_cluster
from sxdask.clusters.kubernetes.faults import Fault, find_fault
from sxdask.clusters.kubernetes.objects import dask_cluster, owner_reference
from sxdask.clusters.kubernetes.options import kubernetes_options
from sxdask.core.errors import ClusterError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sxdask.clusters.kubernetes.options import KubernetesOptions

_POLL_S: Final = 0.3
_TRIES: Final = 8  # 10 s in all
_MANY: Final = 10_000
_LATE_S: Final = 5.0


class KubernetesBackend(ClusterBackend):
    """A scheduler and workers in pods.

    The cluster is removed by `close`, as the process ends, with its owner (the
    pod that this runs in, or the option `owner`), and by the operator when nobody
    has computed for `idle_timeout_s`, so that a crash leaves nothing behind.

    Parameters
    ----------
    options
        Those of `sxdask.clusters.kubernetes.options.KubernetesOptions`.

    Raises
    ------
    RequestError
        If an option is unknown or has a wrong value.
    """

    def __init__(self, **options: Any) -> None:
        self.options: KubernetesOptions = kubernetes_options(options)
        self.name = ""
        self._access: Access | None = None
        self._is_created = self._is_complete = False
        self._client: Any = None

    def start(self) -> Any:
        """Create the cluster; return a client that is the active one.

        Raises
        ------
        ClusterError
            In one line what is in the way: no operator, no permission, an image that
            cannot be pulled, a quota, no node; at the latest after `timeout_s`.
        """
        if self._client is not None:
            return self._client
        options = self.options
        access = self._access = Access(options.namespace)
        # Names are never used twice: pods of an older cluster may still be ending.
        self._is_created = self._is_complete = False
        self.name = f"{options.prefix}-{uuid4().hex[:8]}"
        owner = options.owner or (f"Pod/{socket.gethostname()}" if in_cluster() else None)
        reference = owner_reference(access.owner(owner)) if owner else None
        atexit.register(self.close)
        try:
            if self.bounds is not None:  # more would be taken away again, one at a time
                options = options.model_copy(update={"workers": self.bounds[0]})
            access.create("daskclusters", dask_cluster(self.name, options, owner=reference))
            self._is_created = True
            self._await_scheduler(access)
            self._connect(access)
            self._is_complete = True
        except BaseException:
            self.close()
            raise
        return self._client

    def close(self) -> None:
        """Disconnect, and remove the cluster with all of its pods."""
        atexit.unregister(self.close)
        client, self._client = self._client, None
        if client is not None:
            client.close()
        cluster, self.cluster = self.cluster, None
        if cluster is not None:
            cluster.close()
        access, self._access = self._access, None
        if access is not None:
            try:
                self._remove(access)
            finally:
                access.close()

    def _remove(self, access: Access) -> None:
        """Delete the cluster, and its workers.

        A cluster takes its workers along, but it stays itself for a minute where the
        operator waits for its scheduler. Workers are a group of their own, which belongs
        to the cluster only some moments after it was made: a cluster that is gone by
        then would leave it behind.
        """
        if not self._is_created:
            return
        access.delete("daskclusters", self.name)
        end = time.monotonic() + (0 if self._is_complete else _LATE_S)
        while not access.delete("daskworkergroups", f"{self.name}-default"):
            if time.monotonic() >= end:
                return
            time.sleep(_POLL_S)

    def adapt(self, minimum: int, maximum: int | None) -> None:
        """Let the operator follow what is queued; without a maximum a quota is the only one."""
        with _one_line("scale the cluster"):
            super().adapt(minimum, _MANY if maximum is None else maximum)

    def problem(self) -> str:
        """Return in one line why workers do not come, as far as Kubernetes says."""
        if self._access is None:
            return ""
        if self._access.get("daskclusters", self.name) is None:
            return f"the cluster {self.name!r} was removed, by somebody or as nobody used it"
        fault = self._fault(self._access, self._selector)
        return fault.line if fault else ""

    def _connect(self, access: Access) -> None:
        """Let Dask's own class take over, now that it can no longer wait for ever.

        It would create the cluster as well, but waits without end for a pod that
        cannot start, and for a phase that the operator sometimes does not set.
        """
        if access.get("daskclusters", self.name) is None:  # Dask's class takes a refusal for this
            raise ClusterError(
                f"the cluster {self.name!r} was removed while it started",
                hint="see who removes clusters, or its owner, in this namespace",
                namespace=access.namespace,
            )
        forward = self.options.port_forward
        with _one_line("connect to the scheduler"):
            for attempt in range(_TRIES):
                try:
                    self.cluster = _JoinedCluster(
                        name=self.name,
                        namespace=access.namespace,
                        create_mode=CreateMode.CONNECT_ONLY,
                        shutdown_on_close=False,
                        # Outside of Kubernetes its names resolve to nothing, after a minute.
                        port_forward_cluster_ip=not in_cluster() if forward is None else forward,
                        quiet=True,
                    )
                    break
                except httpx.TransportError:  # its library does not try again
                    if attempt == _TRIES - 1:
                        raise
                    time.sleep(min(2.0, _POLL_S * 2**attempt))
        self._client = Client(self.cluster)

    def _await_scheduler(self, access: Access) -> None:
        started = time.monotonic()
        while True:
            pods = access.pods(f"{self._selector},dask.org/component=scheduler")
            if any(_is_ready(pod) for pod in pods):
                return
            waited = time.monotonic() - started
            if fault := self._fault(access, f"{self._selector},dask.org/component=scheduler"):
                raise ClusterError(fault.line, hint=fault.hint, cluster=self.name)
            if not pods and waited > self.options.operator_s and not self._is_taken_up(access):
                raise ClusterError(
                    f"the operator of Dask has not taken up the cluster in "
                    f"{self.options.operator_s:g} s",
                    hint="see whether it runs, and watches this namespace: "
                    "kubectl get pods --all-namespaces",
                    namespace=access.namespace,
                )
            if waited > self.options.timeout_s:
                raise ClusterError(
                    f"the scheduler is not ready after {self.options.timeout_s:g} s",
                    hint=f"kubectl describe pods --selector {self._selector}, "
                    "or wait longer (timeout_s)",
                    namespace=access.namespace,
                )
            time.sleep(_POLL_S)

    def _is_taken_up(self, access: Access) -> bool:
        found = access.get("daskclusters", self.name) or {}
        return bool(found.get("status", {}).get("phase"))

    def _fault(self, access: Access, selector: str) -> Fault | None:
        return find_fault(
            access.pods(selector),
            access.deployments(selector),
            access.events(),
            unschedulable_s=self.options.unschedulable_s,
        )

    @property
    def _selector(self) -> str:
        return f"dask.org/cluster-name={self.name}"


class _JoinedCluster(KubeCluster):  # type: ignore[misc]  # dask-kubernetes has no types
    """Dask's class without its display of what starts, which nobody sees here.

    For it the class asks for more than a role needs to allow, and its library answers a
    refusal with new connections: what was asked meanwhile on the old ones fails.
    """

    async def _watch_component_status(self) -> None:
        """Look at nothing."""


@contextmanager
def _one_line(action: str) -> Iterator[None]:
    """Turn faults of the library of Dask's class into one line."""
    try:
        yield
    except (kr8s.ServerError, kr8s.APITimeoutError, httpx.HTTPError) as error:
        said = str(error).strip().partition("\n")[0] or type(error).__name__
        raise ClusterError(
            f"Kubernetes does not let you {action}: {said[:300]}",
            hint="compare your role with the one in docs/how-to/kubernetes.md",
        ) from error


def _is_ready(pod: dict[str, Any]) -> bool:
    conditions = pod.get("status", {}).get("conditions") or ()
    return any(item["type"] == "Ready" and item["status"] == "True" for item in conditions)
