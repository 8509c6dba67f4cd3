"""Where the scheduler lives: the protocol of cluster backends and their registry.

Options have the same names in every backend that has them, so that one request
runs anywhere: `workers` (a number that stays), `threads_per_worker`,
`memory_limit` (of a worker), `timeout_s` (until there is a scheduler), and
`environment` (of the workers, without secrets). All are given by keyword.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, final

from sxdask.core.errors import RequestError
from sxdask.core.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType


class ClusterBackend(ABC):
    """A Dask cluster that can be started and closed; a context manager for its client.

    `start` and `close` may each be called twice, and `close` at any time: after
    an error, or before any start. What `start` made, and nothing else, is
    gone after `close`. `start` returns when there is a scheduler; workers may
    come later.
    """

    owned: bool = True
    """Whether the cluster is made here; one that is joined keeps the workers that it has."""

    elastic: ClassVar[bool] = False
    """Whether the number of workers follows the queue where nothing is said of it."""

    cluster: Any = None
    """Dask's own cluster object while it runs, where there is one."""

    bounds: tuple[int, int] | None = None
    """What `adapt` will be called with, where that is known before `start`."""

    @abstractmethod
    def start(self) -> Any:
        """Return a ``distributed.Client``; the same one until `close`.

        Raises
        ------
        SystemFaultError
            If there is no cluster in reasonable time; nothing is left behind then.
        """

    @abstractmethod
    def close(self) -> None:
        """Close the client, and the cluster if it was started here."""

    def adapt(self, minimum: int, maximum: int | None) -> None:
        """Let the number of workers follow what is queued, between the two bounds.

        Without a maximum it is the platform's.

        Raises
        ------
        RequestError
            If the workers of this cluster are not ours to start and stop.
        """
        if self.cluster is None or not hasattr(self.cluster, "adapt"):
            raise RequestError(
                "this cluster starts its own workers, so it has no minimum and maximum",
                hint="leave them out, or name a cluster that is started here",
            )
        self.cluster.adapt(minimum=minimum, maximum=maximum)

    def problem(self) -> str:
        """Return in one line why workers do not come, as far as the platform says; or nothing."""
        return ""

    def attachment(self) -> tuple[str, dict[str, Any]]:
        """Return the backend and the options by which another process joins this cluster.

        It closes nothing but its own connection when it is done.
        """
        client = self.start()
        return "address", {"address": client.scheduler.address}

    @final
    def __enter__(self) -> Any:
        return self.start()

    @final
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


BACKENDS: Registry[Callable[..., ClusterBackend]] = Registry(
    kind="cluster backend",
    group="sxdask.clusters",
    builtin={
        "local": "sxdask.clusters.backends.local:LocalBackend",
        "address": "sxdask.clusters.backends.address:AddressBackend",
        "gateway": "sxdask.clusters.backends.gateway:GatewayBackend",
        "kubernetes": "sxdask.clusters.backends.kubernetes:KubernetesBackend",
    },
)
