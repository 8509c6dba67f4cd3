"""How many workers queued work is worth: by its bytes, not by its seconds.

Dask asks for workers by how long tasks of a kind took. Tasks that read ROOT
files spend that time waiting for storage, and all of a run are one kind while
partitions are anything from kilobytes to gigabytes. Here each task says the
bytes that it reads, and the run what it has yet to submit, since a client
sends its tasks a window at a time; what a worker reads in a second is measured.

The scheduler's own answer is replaced, which is what every platform asks:
Dask's `Adaptive`, the gateway, and the operator of Kubernetes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Final

from distributed.diagnostics.plugin import SchedulerPlugin

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ANNOTATION: Final = "sxdask"
"""Annotation of a task: ``(run, its bytes, tasks and bytes of the run not submitted yet)``."""

_FIRST_RATE: Final = 20e6
"""Bytes a second of one thread that are assumed before anything is measured."""

_WEIGHT_OF_NEWS: Final = 0.2
_SECONDS: Final = 20.0
_ENDED: Final = frozenset({"memory", "erred", "released", "forgotten"})


@dataclass(slots=True)
class _Queue:
    """What one run has yet to do: keys with bytes, and what its client holds back."""

    pending: dict[Any, int] = field(default_factory=dict)
    held_tasks: int = 0
    held_bytes: int = 0


class QueuedBytes(SchedulerPlugin):  # type: ignore[misc]  # distributed has no types
    """Answers how many workers there should be.

    Parameters
    ----------
    seconds
        In which all that is queued should be done; workers are asked for until it
        would. Less than the seconds that a worker takes to start makes no sense.

    Attributes
    ----------
    rate
        Bytes that a thread reads in a second, measured.
    """

    name: ClassVar[str] = "sxdask-queued-bytes"
    idempotent: ClassVar[bool] = True

    def __init__(self, seconds: float = _SECONDS) -> None:
        self.seconds = seconds
        self.rate = _FIRST_RATE
        self._measured = False
        self._threads = 1.0
        self._runs: dict[str, _Queue] = {}
        self._scheduler: Any = None
        self._usual: Callable[..., int] | None = None

    async def start(self, scheduler: Any) -> None:
        """Take the place of the scheduler's answer, for callers in its process and elsewhere."""
        self._scheduler = scheduler
        self._usual = scheduler.adaptive_target
        scheduler.adaptive_target = self.target
        scheduler.handlers["adaptive_target"] = self.target

    @property
    def queued(self) -> tuple[int, int]:
        """Tasks and bytes that are not done, those included that were not submitted yet."""
        runs = self._runs.values()
        tasks = sum(len(run.pending) + run.held_tasks for run in runs)
        return tasks, sum(sum(run.pending.values()) + run.held_bytes for run in runs)

    def target(self, target_duration: Any = None) -> int:
        """Return the number of workers that would do what is queued in `seconds`.

        No more than there are tasks for, and at least one if there is any.
        Tasks that say nothing of bytes are counted as Dask does.
        """
        tasks, num_bytes = self.queued
        if not tasks:
            return self._others(target_duration)
        workers = self._scheduler.workers.values()
        if workers:
            self._threads = sum(item.nthreads for item in workers) / len(workers)
        wanted = math.ceil(num_bytes / (self.rate * self._threads * self.seconds))
        return max(1, min(wanted, math.ceil(tasks / self._threads)))

    def transition(self, key: Any, start: str, finish: str, *_: Any, **facts: Any) -> None:
        """Follow the tasks of sxdask, which are the ones with the annotation."""
        if finish == "waiting":
            self._begin(key)
        elif finish in _ENDED and self._runs:
            self._end(key, start, finish, facts)

    def restart(self, scheduler: Any) -> None:  # noqa: ARG002 - the signature is Dask's
        """Forget what was queued: a restart forgets every task."""
        self._runs.clear()

    def _begin(self, key: Any) -> None:
        said = _annotation(self._scheduler.tasks.get(key))
        if said is None:
            return
        run, num_bytes, held_tasks, held_bytes = said
        queue = self._runs.setdefault(run, _Queue())
        queue.pending[key] = num_bytes
        # Each batch is submitted with less held back than the one before.
        queue.held_tasks, queue.held_bytes = held_tasks, held_bytes

    def _end(self, key: Any, start: str, finish: str, facts: Mapping[str, Any]) -> None:
        for run, queue in self._runs.items():
            num_bytes = queue.pending.pop(key, None)
            if num_bytes is None:
                continue
            if (start, finish) == ("processing", "memory"):
                self._measure(num_bytes, facts.get("startstops") or ())
            if not queue.pending:
                del self._runs[run]
            return

    def _measure(self, num_bytes: int, phases: Any) -> None:
        seconds = sum(
            item["stop"] - item["start"] for item in phases if item["action"] == "compute"
        )
        if seconds <= 0 or num_bytes <= 0:
            return
        rate = num_bytes / seconds
        old = self.rate if self._measured else rate
        self.rate = max(1.0, old + _WEIGHT_OF_NEWS * (rate - old))
        self._measured = True

    def _others(self, target_duration: Any) -> int:
        if self._usual is None:
            return 0
        return self._usual(target_duration)


def _annotation(task: Any) -> tuple[str, int, int, int] | None:
    if task is None or not task.annotations:
        return None
    said: tuple[str, int, int, int] | None = task.annotations.get(ANNOTATION)
    return said


async def dask_setup(scheduler: Any) -> None:
    """Count queued bytes on a scheduler that loads this module with ``--preload``."""
    await scheduler.register_scheduler_plugin(QueuedBytes(), idempotent=True)
