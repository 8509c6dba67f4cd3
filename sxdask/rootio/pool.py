"""Threads that decompress and read, shared by all scans of the process.

The caller works along with the pool: items are taken from one queue, so a
scan goes on at full speed of its own thread if the pool is busy with other
scans, and no task of the pool ever waits for another one.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

T = TypeVar("T")
R = TypeVar("R")

_MOST_BY_DEFAULT = 4

_lock = threading.Lock()
_pools: dict[int, ThreadPoolExecutor] = {}


def thread_count(asked: int) -> int:
    """Return how many threads `asked` (0: as many as there are cores, at most 4) means."""
    if asked > 0:
        return asked
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return min(_MOST_BY_DEFAULT, cores or 1)


def _forget_pools() -> None:
    """Start afresh: threads do not survive a fork."""
    global _lock  # noqa: PLW0603 (it may have been held by a thread that is not here)
    _lock = threading.Lock()
    _pools.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_pools)


def _pool(size: int) -> ThreadPoolExecutor:
    with _lock:
        if size not in _pools:
            _pools[size] = ThreadPoolExecutor(size, thread_name_prefix="sxdask-read")
        return _pools[size]


def run_all(function: Callable[[T], R], items: Sequence[T], threads: int) -> list[R]:
    """Return ``[function(item) for item in items]``, computed by up to `threads` threads.

    The first error stops the rest and is raised here.
    """
    if threads <= 1 or len(items) <= 1:
        return [function(item) for item in items]
    todo = deque(enumerate(items))
    results: dict[int, R] = {}

    def work() -> None:
        while True:
            try:
                index, item = todo.popleft()
            except IndexError:
                return
            try:
                results[index] = function(item)
            except BaseException:
                todo.clear()
                raise

    extra = min(threads, len(items)) - 1
    pool = _pool(threads - 1)
    helpers = [pool.submit(work) for _ in range(extra)]
    try:
        work()
    finally:
        started = [helper for helper in helpers if not helper.cancel()]
        wait(started)
    for helper in started:
        helper.result()
    return [results[index] for index in range(len(items))]
