"""How much memory partitions in flight may take, and how much they do.

Two limits, for two places. A `Budget` is kept by the driver: it counts every
partition from its submission until the consumer asks for the next one, and
holds back what would not fit. A gate is kept by each process that works: as
many partitions are decoded at once as fit into its memory, the others wait.
Neither changes what is computed, only when.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from sxdask.core.machine import memory_limit, trim_memory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

WORK_FACTOR: Final = 3.0
"""Memory of a partition that is being read, by its decoded size.

The decoded columns, the compressed bytes that they come from, and what the
decompression of single baskets and the steps of the computation hold for a
moment; measured in benchmarks/memory.py.
"""

# What allocators keep of memory that is free is part of a process too (benchmarks/memory.py).
_SHARE_OF_BUDGET: Final = 0.75
_SHARE_OF_MACHINE: Final = 0.5
# Dask begins to write a worker's results to disk at 0.6 of its limit (memory.target).
_SHARE_OF_WORKER: Final = 0.6


def process_memory() -> int:
    """Return the bytes that partitions may take in this process where nothing else is said.

    Half of the memory of the machine or container; on a Dask worker 60 % of
    its own limit.
    """
    limit = _worker_limit()
    if limit:
        return int(_SHARE_OF_WORKER * limit)
    return int(_SHARE_OF_MACHINE * _machine_memory())


@cache
def _machine_memory() -> int:
    return memory_limit()[0]


def _worker_limit() -> int:
    """Return the memory limit of the Dask worker that runs this task, 0 if there is none."""
    distributed = sys.modules.get("distributed")
    if distributed is None:
        return 0
    try:
        worker = distributed.get_worker()
    except ValueError:
        return 0
    return int(worker.memory_manager.memory_limit or 0)


def expected_bytes(item: Any) -> int:
    """Return what the reader expects of an item: the decoded size of all pieces in it.

    Items are pieces, or whatever holds some: pairs with an output's name, jobs.
    """
    found = getattr(item, "decoded_bytes", None)
    if found is not None:
        return int(found)
    inside = getattr(item, "pieces", item if isinstance(item, tuple | list) else ())
    return sum(map(expected_bytes, inside))


def bytes_to_read(item: Any) -> int:
    """Return the compressed bytes that a task reads: of all pieces in its item.

    Where the index does not say them, the decoded size stands for them.
    """
    baskets = getattr(item, "baskets", None)
    if baskets is not None:
        known = sum(int(found.num_bytes.sum()) for found in baskets.values())
        return known or int(getattr(item, "decoded_bytes", 0))
    inside = getattr(item, "pieces", item if isinstance(item, tuple | list) else None)
    if inside is not None:
        return sum(map(bytes_to_read, inside))
    return int(getattr(item, "decoded_bytes", 0))


def weight(value: Any) -> int:
    """Return the bytes of a task's value: its tables or arrays; what was stored has none here."""
    for name in ("table", "array", "results"):
        found = getattr(value, name, None)
        if found is not None:
            many = found.values() if isinstance(found, Mapping) else (found,)
            return sum(int(getattr(item, "nbytes", 0)) for item in many)
    return int(getattr(value, "nbytes", 0))


class Budget:
    """Bytes in flight of one run: expected at first, then corrected by what partitions weigh.

    A partition counts from its submission until its consumer takes the next.
    While it is read it counts with its working memory too, if that is this
    machine's. Its result is expected to be as large as the largest so far, for
    its decoded size. A partition that alone exceeds the limit runs alone. A
    quarter of the limit is left to what allocators keep of freed memory.

    Parameters
    ----------
    limit
        Most bytes in flight; 0 is `process_memory`.

    Attributes
    ----------
    most
        The most that was in flight so far, in bytes.
    """

    def __init__(self, limit: int = 0) -> None:
        self.limit = limit or process_memory()
        self.stated = bool(limit)
        self.most = 0.0
        self._works_here = True
        self._expected: dict[int, int] = {}
        self._weighed: dict[int, int] = {}
        self._running = 0
        self._unknown = 0
        self._done = 0
        self._ratio: float | None = None
        self._largest = 0
        self._freed = 0

    def begin(self, *, works_here: bool) -> None:
        """Start a run whose tasks work on this machine, or elsewhere."""
        self._works_here = works_here

    @property
    def in_flight(self) -> float:
        """Bytes of everything that is read now, and of results not taken or in use."""
        return self._with(self._running, self._unknown)

    def admits(self, item: Any) -> bool:
        """Return whether `item` may be started now."""
        if not (self._expected or self._weighed):
            return True
        size = expected_bytes(item)
        # What results are like is not known before the first: they may be larger than the data.
        room = _SHARE_OF_BUDGET * self.limit / (2 if self._ratio is None else 1)
        return self._with(self._running + size, self._unknown + (not size)) <= room

    def start(self, position: int, item: Any) -> None:
        """Count an item that is submitted."""
        size = self._expected[position] = expected_bytes(item)
        self._running += size
        self._unknown += not size
        self.most = max(self.most, self.in_flight)

    def finish(self, position: int, value: Any) -> None:
        """Count the result of an item in place of the item."""
        size = self._expected.pop(position)
        self._running -= size
        self._unknown -= not size
        found = self._weighed[position] = weight(value)
        self._done += found
        self._largest = max(self._largest, found)
        self._ratio = max(self._ratio or 0.0, found / size if size else 0.0)
        self.most = max(self.most, self.in_flight)

    def release(self, position: int) -> None:
        """Count an item no more: its consumer is done with it."""
        found = self._weighed.pop(position, 0)
        self._done -= found
        self._freed += found
        if self._freed > self.limit / 4:  # or free memory would come on top of the budget
            self._freed = 0
            trim_memory()

    def _with(self, running: int, unknown: int) -> float:
        ratio = 1.0 if self._ratio is None else self._ratio
        factor = WORK_FACTOR + max(0.0, ratio - 1.0) if self._works_here else ratio
        return self._done + factor * running + self._largest * unknown


class Gate:
    """Lets as much begin at once as fits into the memory of this process."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._used = 0.0

    @contextmanager
    def hold(self, num_bytes: float, limit: float) -> Iterator[None]:
        """Wait until `num_bytes` fit below `limit`, or nothing else is held, and hold them."""
        with self._changed:
            self._changed.wait_for(lambda: not self._used or self._used + num_bytes <= limit)
            self._used += num_bytes
        try:
            yield
        finally:
            with self._changed:
                self._used -= num_bytes
                self._changed.notify_all()


_GATE = Gate()


@dataclass(frozen=True, slots=True)
class Gated:
    """`function`, held back while other partitions fill the memory of its process.

    `limit` is in bytes; 0 is `process_memory` of the process that runs it. What
    has no expected size passes at once: it may be a function of a user that
    starts a run of its own.
    """

    function: Callable[[Any], Any]
    limit: int = 0

    def __call__(self, item: Any) -> Any:
        """Run the function on `item`."""
        size = WORK_FACTOR * expected_bytes(item)
        if not size:
            return self.function(item)
        with _GATE.hold(size, min(self.limit or sys.maxsize, process_memory())):
            return self.function(item)
