"""A slot of the batch queue: one process, one cluster, one recipe at a time.

Each recipe runs as a command of its own (``sxdask run --resume``) that joins
the slot's cluster, so a recipe that takes its process down costs nothing but
itself. What ends with a fault of the system is tried again: objects that are
stored already are kept, and a cluster that is gone is replaced.
"""

from __future__ import annotations

import ctypes
import json
import re
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from sxdask.clusters.batch.queue import BEAT_S, Queue, text_of
from sxdask.clusters.opening import open_cluster
from sxdask.core.errors import SxdaskError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from sxdask.clusters.batch.queue import BatchJob
    from sxdask.clusters.opening import Cluster

_POLL_S: Final = 0.2
_PAUSES_S: Final = (1.0, 10.0, 60.0, 300.0)
_TERMINATE_S: Final = 30.0
_ANSWER_S: Final = 20.0
_USERS_OR_DATA: Final = frozenset(
    {2, 3}
)  # exit status of ``sxdask run``: another try changes nothing
_ERROR: Final = re.compile(r"^(?:internal )?error .*", re.MULTILINE)


class Slot:
    """Works off the jobs of `cluster` with `options` until none is left.

    Parameters
    ----------
    tell
        Gets one line for each thing that happens.
    """

    def __init__(
        self,
        queue: Queue,
        cluster: str,
        options: Mapping[str, Any],
        *,
        tell: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.queue = queue
        self.cluster = cluster
        self.options = dict(options)
        self._text = text_of(options)
        self._tell = tell
        self._open: Cluster | None = None
        self._resources = ""
        self._number = 0
        self._ended = threading.Event()

    def run(self) -> int:
        """Run every job that is queued or comes meanwhile; return how many ended well."""
        self._number = self.queue.enter(self.cluster, self._text)
        self._ended.clear()
        # Beside the work: a cluster may take minutes to start.
        beating = threading.Thread(target=self._beat, name="sxdask-batch-beat", daemon=True)
        beating.start()
        done = 0
        try:
            while True:
                job = self.queue.claim(self._number, self.cluster, self._text)
                if job is not None:
                    done += self._work(job)
                elif self.queue.waiting(self.cluster, self._text):
                    time.sleep(_POLL_S)  # for the end of a pause
                else:
                    return done
        finally:
            self._close()
            self._ended.set()
            beating.join()
            self.queue.leave(self._number)

    def _work(self, job: BatchJob) -> bool:
        self._tell(f"job {job.id} ({job.title}), attempt {job.attempts}")
        try:
            place = self._joined(job)
        except SxdaskError as error:
            # A mistake in the options is one for every job; what is down may come up again.
            self._settle(job, error.problem, final=error.fault == "user")
            return False
        status = self._command(job, place)
        if status == 0:
            self.queue.end(job, "done")
            self._tell(f"job {job.id} is done")
            return True
        if status is None:
            self.queue.end(job, "cancelled")
            self._tell(f"job {job.id} is cancelled")
            return False
        self._settle(job, _last_error(self.queue.log(job.id), status), status in _USERS_OR_DATA)
        return False

    def _settle(self, job: BatchJob, error: str, final: bool) -> None:  # noqa: FBT001 - internal
        if final or job.attempts > job.retries:
            self.queue.end(job, "failed", error)
            self._tell(f"job {job.id} failed: {error}")
            return
        pause = _PAUSES_S[min(job.attempts, len(_PAUSES_S)) - 1]
        self.queue.again(job, error, pause)
        self._tell(f"job {job.id} is tried again in {pause:g} s: {error}")

    def _joined(self, job: BatchJob) -> list[str]:
        """Return the options by which a command joins the cluster, opened anew if it is gone."""
        if self._open is not None and (self._resources != job.resources or not self._answers()):
            self._close()
        if self._open is None:
            wanted = json.loads(job.resources)
            opened = open_cluster(self.cluster, resources=wanted, **self.options)
            opened.start()
            self._open, self._resources = opened, job.resources
            self._tell(f"cluster {self.cluster}: {opened.start().scheduler.address}")
        backend, options = self._open.attachment()
        if backend == "address":
            return ["--cluster", str(options["address"])]
        pairs = [f"{name}={value}" for name, value in options.items()]
        return [
            "--cluster",
            backend,
            *(part for pair in pairs for part in ("--cluster-option", pair)),
        ]

    def _answers(self) -> bool:
        assert self._open is not None  # noqa: S101  narrows for the type checker
        try:
            client = self._open.start()
            if client.status != "running":
                return False
            client.sync(client.scheduler.identity, callback_timeout=_ANSWER_S)
        except Exception:  # noqa: BLE001 - whatever it is, there is no cluster
            self._tell(f"cluster {self.cluster} is gone")
            return False
        return True

    def _command(self, job: BatchJob, place: list[str]) -> int | None:
        """Run the recipe; return its exit status, or None if it was cancelled."""
        command = [sys.executable, "-m", "sxdask.cli", "run", str(self.queue.recipe(job.id))]
        delivery = ["--to", job.target, "--resume"] if job.target else []
        with self.queue.log(job.id).open("ab") as log:
            log.write(f"--- attempt {job.attempts}\n".encode())
            log.flush()
            process = subprocess.Popen(  # noqa: S603 - our own command, no shell
                [*command, *delivery, *place, "--quiet", "--json"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                preexec_fn=_end_with_parent,  # noqa: PLW1509 - one call into libc
            )
        try:
            looked = time.monotonic()
            while process.poll() is None:
                time.sleep(_POLL_S)
                if time.monotonic() - looked > BEAT_S:
                    looked = time.monotonic()
                    if self.queue.job(job.id).cancel:
                        return None
            return process.returncode
        finally:
            _end(process)

    def _beat(self) -> None:
        while not self._ended.wait(BEAT_S):
            with suppress(sqlite3.OperationalError):  # locked for long: the next beat does it
                self.queue.beat(self._number)

    def _close(self) -> None:
        opened, self._open = self._open, None
        if opened is not None:
            with suppress(Exception):  # of a cluster that is gone there is nothing left to close
                opened.close()


def start_slots(queue: Queue, cluster: str, options: Mapping[str, Any], wanted: int) -> int:
    """Start slots until `wanted` of this cluster live, as processes that outlive this one.

    Returns how many were started.
    """
    missing = max(0, wanted - queue.slots(cluster, text_of(options)))
    pairs = [f"{name}={json.dumps(value)}" for name, value in options.items()]
    given = [part for pair in pairs for part in ("--cluster-option", pair)]
    command = [sys.executable, "-m", "sxdask.cli", "batch", "work"]
    for _ in range(missing):
        with (queue.folder / "slots.log").open("ab") as log:
            process = subprocess.Popen(  # noqa: S603 - our own command, no shell
                [*command, "--folder", str(queue.folder), "--cluster", cluster, *given],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        # Before it says so itself, so that another submission does not start one more.
        queue.enter(cluster, text_of(options), process.pid)
        process.returncode = 0  # it is not waited for: it outlives this process
    return missing


def _last_error(log: Path, status: int) -> str:
    """Return the last error in a log, in one line."""
    found: list[str] = _ERROR.findall(log.read_text(encoding="utf-8", errors="replace"))
    if found:
        return found[-1]
    how = f"signal {signal.Signals(-status).name}" if status < 0 else f"status {status}"
    return f"the run ended with {how}"


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a run that is still going, and give it time to clean up."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(_TERMINATE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _end_with_parent() -> None:
    """Let the system end this process when the slot dies (prctl(2), Linux only)."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG
