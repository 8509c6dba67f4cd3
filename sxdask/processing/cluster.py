"""Accumulators that stay on the cluster until they are one.

A chunk is two tasks: the first processes it and keeps the accumulator where it
was made, the second says what that cost, and only this comes to the client.
Accumulators are merged by further tasks, so a worker that dies costs what it
held and no more: Dask computes it again.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from sxdask.core.errors import SxdaskError
from sxdask.deliver.attempt import Completion, as_sxdask_error
from sxdask.deliver.runners.cluster import ClusterRunner, ClusterSession
from sxdask.processing.merge import accumulated

if TYPE_CHECKING:
    from collections.abc import Callable

    from sxdask.deliver.attempt import Job
    from sxdask.processing.task import ChunkFacts


@dataclass(frozen=True, slots=True)
class KeptValue:
    """What processing a chunk cost, and the future that holds its accumulator."""

    future: Any
    facts: ChunkFacts


@dataclass(frozen=True, slots=True)
class _Merged:
    out: Any


class ClusterMerge:
    """Runs tasks whose results stay on the cluster, and merges these there."""

    def __init__(self, runner: ClusterRunner) -> None:
        self.runner = _KeepingRunner(runner, self)
        self.functions: list[Any] = []
        self._client = runner.client
        self._run = uuid.uuid4().hex
        self._merges: list[Any] = []

    def held(self, value: Any) -> Any:
        """Return the future of an accumulator."""
        return value.future

    def merge(self, items: list[Any]) -> Any:
        """Return the future of the sum of `items`.

        Raises
        ------
        SxdaskError
            If an earlier merge has failed.
        """
        self._merges = [item for item in self._merges if item.status != "finished"]
        for item in self._merges:
            if item.status == "error":
                self.take(item)
        key = (f"merge-{self._run}", uuid.uuid4().hex)
        future = self._client.submit(_merge, items, key=key, pure=False)
        self._merges.append(future)
        return future

    def take(self, item: Any) -> Any:
        """Fetch an accumulator.

        Raises
        ------
        SxdaskError
            If merging failed, or the cluster lost it for good.
        """
        try:
            return _accumulator(item.result())
        except SxdaskError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever the cluster made of it
            raise as_sxdask_error(error) from None

    def close(self) -> None:
        """Forget everything that is still on the cluster."""
        # Released and not cancelled: to cancel takes down what depends on a task with it, and
        # the scheduler does not bear that where nobody wants the dependents any more.
        for future in (*self._merges, *self.functions):
            future.release()
        self._merges, self.functions = [], []


class _KeepingRunner(ClusterRunner):
    """Opens sessions that keep values on the cluster."""

    def __init__(self, runner: ClusterRunner, owner: ClusterMerge) -> None:
        super().__init__(
            runner.client, direct=runner.direct, no_worker_seconds=runner.no_worker_seconds
        )
        self._owner = owner

    def _session(self, function: Callable[[Any], Any], direct: bool) -> ClusterSession:  # noqa: FBT001
        return _KeepingSession(self, function, direct, self._owner)


class _KeepingSession(ClusterSession):
    """Completions come with the facts of a chunk; the accumulators stay behind."""

    def __init__(
        self,
        runner: ClusterRunner,
        function: Callable[[Any], Any],
        direct: bool,  # noqa: FBT001 - internal
        owner: ClusterMerge,
    ) -> None:
        super().__init__(runner.client, function, direct, runner.no_worker_seconds)
        self._owner = owner
        self._kept: dict[Any, Any] = {}

    def _launch(self, jobs: list[Job], keys: list[Any]) -> list[Any]:
        kept = super()._launch(jobs, keys)
        names = [(f"facts-{run}", serial) for run, serial in keys]
        briefs: list[Any] = self._client.map(_facts_of, kept, key=names, pure=False)
        self._kept.update(zip(briefs, kept, strict=True))
        return briefs

    def _collect(self, futures: list[Any]) -> list[Completion]:
        kept = [self._kept.pop(future) for future in futures]
        return [
            completion
            if completion.error is not None
            else replace(completion, value=KeptValue(future, completion.value))
            for completion, future in zip(super()._collect(futures), kept, strict=True)
        ]

    def close(self) -> None:
        """Cancel what is pending; what is kept needs the function until it is merged."""
        if self._function is not None:
            self._owner.functions.append(self._function)
            self._function = None
        super().close()
        for future in self._kept.values():
            future.release()
        self._kept = {}


def _facts_of(completion: Completion) -> Completion:
    """Return the completion of a chunk without its accumulator; runs where that is."""
    if completion.error is not None:
        return completion
    return replace(completion, value=completion.value.facts)


def _merge(items: list[Any]) -> _Merged:
    """Return the sum of accumulators, of chunks or merged before."""
    return _Merged(accumulated([_accumulator(item) for item in items]))


def _accumulator(item: Completion | _Merged) -> Any:
    if isinstance(item, _Merged):
        return item.out
    if item.error is not None:  # its worker was lost, and the chunk failed when it ran again
        raise item.error
    return item.value.out
