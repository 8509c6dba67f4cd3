"""Workers on this machine, reachable from this machine only."""

from __future__ import annotations

import logging
import os
import signal
from contextlib import ExitStack, suppress
from tempfile import TemporaryDirectory
from typing import Any

import dask
from distributed import Client, LocalCluster
from distributed.core import Status
from tornado.ioloop import PeriodicCallback

from sxdask.clusters.apart import ApartCluster
from sxdask.clusters.backend import ClusterBackend
from sxdask.core.errors import SystemFaultError

_CLOSE_TIMEOUT_S = 20.0
_LOOK_MS = 1_000
_LOST, _LOST_AFTER = "distributed.deploy.lost-worker-timeout", "30 days"
_ENDED = (Status.closed, Status.failed)


class LocalBackend(ClusterBackend):
    """A scheduler and workers on the loopback interface.

    Parameters
    ----------
    workers, threads_per_worker
        By default what Dask finds best for the cores of this machine.
    memory_limit
        Of each worker: bytes, text such as ``"2GiB"``, or ``"auto"`` for a fair
        share. It is watched in worker processes; threads share this process.
    processes
        Whether workers are processes of their own. Threads start faster and
        share memory, but all of them wait while one holds Python's lock.
    dashboard
        Whether to serve Dask's dashboard, on a port that is free.
    apart
        Whether the scheduler, too, is a process of its own, where workers are: what
        this process does holds it up no more. It takes a second longer to start.
    """

    def __init__(
        self,
        workers: int | None = None,
        *,
        threads_per_worker: int | None = None,
        memory_limit: str | int = "auto",
        processes: bool = True,
        dashboard: bool = False,
        apart: bool = False,
    ) -> None:
        self.workers = workers
        self.threads_per_worker = threads_per_worker
        self.memory_limit = memory_limit
        self.processes = processes
        self.dashboard = dashboard
        self.apart = apart
        self._client: Any = None
        self._open = ExitStack()

    def start(self) -> Any:
        """Start scheduler and workers; return a client that is the active one."""
        if self._client is not None:
            return self._client
        with ExitStack() as stack:
            # Workers spill here; a worker that is killed cannot clean up after itself.
            folder = stack.enter_context(
                TemporaryDirectory(prefix="sxdask-", ignore_cleanup_errors=True)
            )
            # So long after a worker was lost Dask closes its nanny if just then there is no
            # worker, be it that the next one was killed, too, and is on its way. A nanny that
            # is closed as it starts a worker never ends, and keeps the name from others.
            stack.enter_context(dask.config.set({_LOST: _LOST_AFTER}))
            try:
                cluster = self._cluster(folder)
                stack.callback(_stop, cluster)
                _keep_number(cluster)
                self.cluster = cluster
                # Not as a context manager: those left in another order than they were
                # entered bring a client back that is closed already.
                client = Client(cluster)
                stack.callback(client.close)
            except (OSError, RuntimeError, TimeoutError) as error:
                raise SystemFaultError(
                    f"no local cluster: {error}",
                    hint="run with scheduler='threads', which needs none",
                ) from error
            self._open = stack.pop_all()
        self._client = client
        return client

    def close(self) -> None:
        """Stop client, workers and scheduler, and remove the scratch directory."""
        self._client = self.cluster = None
        self._open.close()

    def _cluster(self, folder: str) -> Any:
        make = ApartCluster if self.apart and self.processes else LocalCluster
        return make(
            n_workers=self.workers,
            threads_per_worker=self.threads_per_worker,
            memory_limit=self.memory_limit,
            processes=self.processes,
            host="127.0.0.1" if self.processes else None,  # threads need no network at all
            dashboard_address="127.0.0.1:0",
            worker_dashboard_address="127.0.0.1:0",
            scheduler_kwargs={"dashboard": self.dashboard},
            local_directory=folder,
            silence_logs=logging.CRITICAL,
            **({"preload": [__name__]} if self.processes else {}),
        )


def _keep_number(cluster: Any) -> None:
    """Start another worker for each that ended by itself.

    A nanny starts a worker again that was killed. One that was asked to end (SIGTERM), or
    cannot be started, Dask's cluster misses only when it is scaled next.
    """

    def look() -> None:
        if cluster.status != Status.running:
            return
        ended = [
            name
            for name, worker in cluster.workers.items()
            if name in cluster.worker_spec and worker.status in _ENDED
        ]
        for name in ended:
            del cluster.workers[name]
        if not cluster.worker_spec.keys() <= cluster.workers.keys():
            cluster.scale(len(cluster.worker_spec))

    watch = PeriodicCallback(look, _LOOK_MS)
    cluster.periodic_callbacks["sxdask-keep-number"] = watch
    cluster.loop.add_callback(watch.start)


def _stop(cluster: Any) -> None:
    """Close `cluster`, by force if it does not follow.

    A cluster whose worker is being restarted at that moment may wait for it
    for ever (seen with distributed 2025.3 when tasks kill their workers). One
    that lost the process of its scheduler would wait for that.
    """
    with suppress(TimeoutError):
        if cluster.scheduler is None or cluster.scheduler.status not in _ENDED:
            cluster.close(timeout=_CLOSE_TIMEOUT_S)
            return
    nannies = list(cluster.workers.values())
    for nanny in nannies:
        nanny.auto_restart = False
    for part in (*nannies, cluster.scheduler):
        process = getattr(part, "process", None)
        if process is not None and process.is_alive() and process.pid:
            with suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)
    cluster.loop.add_callback(cluster.loop.stop)
    cluster.status = Status.closed  # nothing of it is left


def dask_setup(worker: Any) -> None:  # noqa: ARG001 - the name and the argument are Dask's
    """Run by every worker process as it starts: leave Ctrl-C to the process that started it.

    A terminal interrupts every process of a job; a worker that took it for
    itself would print a traceback and be restarted for nothing.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
