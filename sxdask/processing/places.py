"""Where accumulators are held and merged: in this process, or on the cluster."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from sxdask.processing.merge import accumulated

if TYPE_CHECKING:
    from sxdask.deliver.runner import Runner


class Place(Protocol):
    """Holds accumulators; what is held is opaque to the run."""

    @property
    def runner(self) -> Runner:
        """Where chunks are processed."""
        ...

    def held(self, value: Any) -> Any:
        """Return what is held of the value of a chunk."""
        ...

    def merge(self, items: list[Any]) -> Any:
        """Return what is held of the sum of `items`; raises `UserFunctionError`."""
        ...

    def take(self, item: Any) -> Any:
        """Return the accumulator that is held."""
        ...

    def close(self) -> None:
        """Leave nothing behind."""
        ...


@dataclass(frozen=True, slots=True)
class LocalMerge:
    """Accumulators come to this process and are merged here."""

    runner: Runner

    def held(self, value: Any) -> Any:
        """Return the accumulator of a `ChunkValue`."""
        return value.out

    def merge(self, items: list[Any]) -> Any:
        """Return the sum of `items`."""
        return accumulated(items)

    def take(self, item: Any) -> Any:
        """Return the accumulator itself."""
        return item

    def close(self) -> None:
        """Nothing is left behind."""


def place_of(runner: Runner) -> Place:
    """Return what merges the results of `runner`: its cluster, or this process."""
    # Threads and processes do without distributed, which takes a while to load.
    if "sxdask.deliver.runners.cluster" not in sys.modules:
        return LocalMerge(runner)
    from sxdask.deliver.runners.cluster import ClusterRunner
    from sxdask.processing.cluster import ClusterMerge

    return ClusterMerge(runner) if isinstance(runner, ClusterRunner) else LocalMerge(runner)
