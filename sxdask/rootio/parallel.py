"""Building many indexes at once: processes for local files, threads for remote ones.

Deserialising a TTree is pure Python, so threads gain nothing on local files, and
processes only where it takes longer than to start them: files of one dataset are
alike, and all but the first take little (`sxdask.rootio.likeness`).
The processes are started from a command line and not with `multiprocessing`: a
user's script needs no ``__main__`` guard, and a Dask worker, which may not have
children of that kind, can build too.
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import time
from concurrent.futures import CancelledError, ThreadPoolExecutor, as_completed
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Self

from sxdask.core.errors import SxdaskError
from sxdask.rootio.source import local_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from typing import TypeAlias

    from sxdask.rootio.index import FileIndex
    from sxdask.rootio.store import IndexStore

    Wanted: TypeAlias = tuple[str, str | None]
    Result: TypeAlias = FileIndex | SxdaskError
    Find: TypeAlias = Callable[[Wanted], Result | None]
    Build: TypeAlias = Callable[[Wanted], Result]

# Below either a new process would not have imported uproot before the work is done.
FEWEST_FOR_PROCESSES = 8
_PROCESSES_S = 2.0
_TRIED_FIRST = 2  # the second tells whether files are alike
_REMOTE_THREADS = 16


def find_or_build(
    store: IndexStore,
    wanted: Sequence[Wanted],
    *,
    workers: int = 0,
    storage_options: Mapping[str, Any] | None = None,
) -> Iterator[tuple[Wanted, Result]]:
    """Yield each of `wanted` with its index or its error: stored ones first, then as built."""

    def find(item: Wanted) -> Result | None:
        try:
            return store.get(*item, storage_options=storage_options)
        except SxdaskError as error:
            return error

    def build(item: Wanted) -> Result:
        try:
            return store.build(*item, storage_options=storage_options)
        except SxdaskError as error:
            return error

    missing = []
    for item in wanted:
        if _is_local(item):
            found = find(item)
            if found is None:
                missing.append(item)
            else:
                yield item, found
    if remote := [item for item in wanted if not _is_local(item)]:
        count = workers or _REMOTE_THREADS
        yield from _in_threads(lambda item: find(item) or build(item), remote, count)
    yield from _build(store, missing, find, build, workers)


def _build(
    store: IndexStore, missing: Sequence[Wanted], find: Find, build: Build, workers: int
) -> Iterator[tuple[Wanted, Result]]:
    """Build here, or in processes: if their number was given, or the first files say it pays."""
    count = min(workers or _cores(), len(missing))
    spreads = count > 1 and store.is_writable()
    seconds = 0.0
    for built, item in enumerate(missing):
        left = len(missing) - built
        pays = built >= _TRIED_FIRST and seconds * left > _PROCESSES_S
        if spreads and left >= FEWEST_FOR_PROCESSES and (workers or pays):
            with _Workers(store, count) as pool:
                work = partial(_with_worker, pool, find, build)
                yield from _in_threads(work, missing[built:], count)
            return
        began = time.perf_counter()
        result = build(item)
        seconds = time.perf_counter() - began
        yield item, result


def _is_local(item: Wanted) -> bool:
    return local_path(item[0]) is not None


def _with_worker(pool: _Workers, find: Find, build: Build, item: Wanted) -> Result:
    return (pool.build(item) and find(item)) or build(item)


def _cores() -> int:
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def _in_threads(
    work: Build, items: Sequence[Wanted], count: int
) -> Iterator[tuple[Wanted, Result]]:
    pool = ThreadPoolExecutor(min(count, len(items)), thread_name_prefix="sxdask-index")
    try:
        pending = {pool.submit(work, item): item for item in items}
        for done in as_completed(pending):
            yield pending[done], done.result()
    finally:  # also when the caller stops at the first error, or Ctrl-C is pressed
        pool.shutdown(wait=False, cancel_futures=True)


def _ask(process: subprocess.Popen[str], item: Wanted) -> bool:
    if process.stdin is None or process.stdout is None:
        return False
    try:
        process.stdin.write(json.dumps(item) + "\n")
        process.stdin.flush()
        return process.stdout.readline() == "built\n"
    except (OSError, ValueError):  # it has died
        return False


class _Workers:
    """Processes that build indexes into the store; each answers one line for one line."""

    def __init__(self, store: IndexStore, count: int) -> None:
        paths = os.pathsep.join(item for item in sys.path if item)
        command = [sys.executable, "-P", "-m", "sxdask.rootio.worker", str(store.root)]
        self._processes = [
            subprocess.Popen(  # noqa: S603 - our own module, no shell
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": paths},
                text=True,
            )
            for _ in range(count)
        ]
        self._closed = False
        self._idle: queue.SimpleQueue[subprocess.Popen[str]] = queue.SimpleQueue()
        for process in self._processes:
            self._idle.put(process)

    def build(self, item: Wanted) -> bool:
        """Have one tree built; False if that failed, which the caller then does itself."""
        process = self._idle.get()
        try:
            built = _ask(process, item)
        finally:
            self._idle.put(process)
        if self._closed:
            raise CancelledError
        return built

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._closed = True
        for process in self._processes:
            process.kill()
        for process in self._processes:
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    with suppress(OSError):
                        pipe.close()
