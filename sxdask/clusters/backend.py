"""Where the scheduler lives: the protocol of cluster backends and their registry."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, final

from sxdask.core.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType


class ClusterBackend(ABC):
    """A Dask cluster that can be started and closed; a context manager for its client.

    `start` and `close` may each be called twice, and `close` at any time: after
    an error, or before any start. What `start` made, and nothing else, is
    gone after `close`.
    """

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
    },
)
