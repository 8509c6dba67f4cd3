"""Where tasks run: the protocol, the choices, and how one is picked.

A runner opens a session for one function; the session takes jobs and gives
completions back as they come, in any order. All policy (order, window,
retries, errors) lives in `sxdask.deliver.stream` and is the same for every
runner.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Protocol

from sxdask.core.errors import RequestError
from sxdask.core.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sxdask.deliver.attempt import Completion, Job


class Session(Protocol):
    """Runs one function on many items. Used by one thread."""

    @property
    def window(self) -> int:
        """Number of jobs that keeps all workers busy; it may change as a cluster grows."""
        ...

    @property
    def batch(self) -> int:
        """How many jobs are best submitted together."""
        ...

    def submit(self, jobs: Sequence[Job]) -> None:
        """Queue `jobs`; returns at once."""
        ...

    def wait(self, timeout_s: float) -> list[Completion]:
        """Return what has completed, waiting at most `timeout_s` for the first.

        Raises
        ------
        SystemFaultError
            If nothing can ever complete: scheduler lost, workers cannot start.
        """
        ...

    def close(self) -> None:
        """Drop what is pending and leave no thread, process or future behind. May be repeated."""
        ...


class Runner(Protocol):
    """A place where tasks run; picklable choice, opened as often as needed."""

    def open(self, function: Callable[[Any], Any]) -> Session:
        """Return a session for `function`, which must pickle if work leaves this process."""
        ...


RUNNERS: Registry[Callable[[], Runner]] = Registry(
    kind="scheduler",
    group="sxdask.runners",
    builtin={
        "threads": "sxdask.deliver.runners.threads:ThreadRunner",
        "processes": "sxdask.deliver.runners.processes:ProcessRunner",
        "sync": "sxdask.deliver.runners.sync:SyncRunner",
    },
)

# Dask's own spellings of its local schedulers (dask.base.named_schedulers).
_SAME = {
    "threading": "threads",
    "threaded": "threads",
    "multiprocessing": "processes",
    "synchronous": "sync",
    "single-threaded": "sync",
}


def choose_runner(client: Any = None, scheduler: Any = None) -> Runner:
    """Return where to run, by the rules that Dask users know.

    An explicit `client` wins, then an explicit `scheduler` (a name, or a Dask
    ``get`` function), then the active distributed Client, then what
    ``dask.config`` names as scheduler, then threads of this process.

    Raises
    ------
    UnknownLanguageError
        If there is no scheduler of that name.
    RequestError
        If a Client is asked for and there is none.
    """
    if client is None and scheduler is None:
        client = active_client()
    if client is None and scheduler is None:
        import dask

        scheduler = dask.config.get("scheduler", None)
        if scheduler == "dask.distributed":
            # what a Client wrote there; it stays behind when the last of two is closed first
            scheduler = None
    if client is None and scheduler in {"distributed", "dask.distributed"}:
        client = active_client()
        if client is None:
            raise RequestError(
                f"scheduler={scheduler!r} and there is no distributed Client",
                hint="start one: distributed.Client(), or pass client=",
            )
    if client is not None:
        from sxdask.deliver.runners.cluster import ClusterRunner

        return ClusterRunner(client)
    if callable(scheduler):
        from sxdask.deliver.runners.get import GetRunner

        return GetRunner(scheduler)
    name = scheduler or "threads"
    return RUNNERS.load(_SAME.get(name, name))()


def active_client() -> Any:
    """Return the active distributed Client, or None.

    distributed is not imported for this: if nobody did, nobody has a Client.
    """
    distributed = sys.modules.get("distributed")
    if distributed is None:
        return None
    try:
        client = distributed.get_client()
    except ValueError:
        return None
    return None if client.status == "closed" else client
