"""Transforms while workers and schedulers of Dask die: every file once, or truthfully failed."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress

import pyarrow.parquet as pq
import pytest
from distributed import Client

from sxdask.clusters.backends.local import LocalBackend
from sxdask.service.computing import Computing
from sxdask.service.transforms.cluster import outcome
from sxdask.service.transforms.imports import NEEDED
from sxdask.service.transforms.states import Status
from tests.servers import free_port
from tests.transforms import laboratory, wait_until

MUONS = [{"treename": "Events", "expressions": ["Muon_pt", "MET_pt"], "cut": "nMuon >= 1"}]


@pytest.fixture(scope="module")
def client():
    with LocalBackend(2, threads_per_worker=1) as client:
        yield client


@pytest.fixture
def hanging(tmp_path):
    """A file that can be opened and never answers."""
    path = tmp_path / "pipe.root"
    os.mkfifo(path)
    return path


def worker_of_file(client):
    """Return address and process id of a worker that has a file."""
    busy = [address for address, keys in client.processing().items() if keys]
    return (busy[0], client.run(os.getpid, workers=busy[:1])[busy[0]]) if busy else None


def test_a_worker_that_is_killed_amid_a_file_costs_nothing(
    tmp_path, client, hanging, nanoaod_files
):
    with laboratory(tmp_path, lambda: client) as lab:
        request_id = lab.submit(MUONS, [*nanoaod_files, hanging])
        wait_until(lambda: len(lab.results(request_id)) == 4)
        _, process = worker_of_file(client)
        hanging.unlink()
        hanging.write_bytes(nanoaod_files[0].read_bytes())
        os.kill(process, signal.SIGKILL)
        transform = lab.ended(request_id)
        assert (transform.state.completed, transform.state.failed) == (5, 0)
        lab.require_exact(request_id)


def test_a_worker_with_threads_that_hang_is_restarted(tmp_path, client, hanging, nanoaod_files):
    wait_until(lambda: len(client.nthreads()) == 2, 120)
    folders = [tmp_path / name for name in ("warm", "short")]
    for folder in folders:
        folder.mkdir()
    with laboratory(folders[0], lambda: client) as lab:  # workers import what they need
        assert lab.run(MUONS, nanoaod_files)[0].state.completed == 4
    before = set(client.nthreads())
    limits = {"still_seconds": 2.0, "tries": 1, "stuck_threads": 1}
    with laboratory(folders[1], lambda: client, **limits) as lab:
        transform, results = lab.run(MUONS, [hanging])
        assert (transform.state.failed, results[0].code) == (1, "SX400")
        wait_until(lambda: len(set(client.nthreads()) - before) == 1, 120)
    with laboratory(tmp_path, lambda: client) as lab:
        assert lab.run(MUONS, nanoaod_files)[0].state.completed == 4


def test_of_a_task_that_ran_twice_one_object_stays(tmp_path, client, nanoaod_files, monkeypatch):
    """A worker that was thought dead writes other bytes for the same file."""
    from sxdask.service.transforms import cluster, task

    payloads = []
    send = cluster.Cluster.send

    def sent_twice(self, attempt, payload, done):
        payloads.append(payload)
        return send(self, attempt, payload, done)

    monkeypatch.setattr(cluster.Cluster, "send", sent_twice)
    with laboratory(tmp_path, lambda: client) as lab:
        request_id = lab.submit(MUONS, nanoaod_files)
        wait_until(lambda: len(payloads) == 4)
        order = pickle.loads(payloads[0])
        more = order.work.selection.replace("nMuon >= 1", "nMuon >= 0")
        values = {name: getattr(order.work, name) for name in order.work.__slots__}
        other = type(order.work)(**{**values, "selection": more})
        values = {name: getattr(order, name) for name in order.__slots__}
        late = task.transform_file(pickle.dumps(type(order)(**{**values, "work": other})))
        assert lab.ended(request_id).state.completed == 4
        (item,) = [row for row in lab.results(request_id) if row.object == order.object]
        assert late.ok
        assert late.bytes != item.bytes
        lab.require_exact(request_id)
        assert pq.read_table(lab.folder(request_id) / item.object).num_rows == item.rows
        wait_until(lambda: not (lab.folder(request_id) / ".sxdask").exists(), 30)


def test_a_file_that_kills_its_workers_is_told_as_that(client):
    future = client.submit(os._exit, 1, pure=False)
    wait_until(lambda: future.status == "error", 120)
    report = outcome(future, "a.root")
    assert report is not None
    assert "workers that died" in report.message
    assert report.transient


class Processes:
    """A scheduler and a worker in processes of their own."""

    def __init__(self):
        self.port = free_port()
        self.running = []
        self.scheduler = self.start_scheduler()
        self.worker = self.start_worker()

    @property
    def address(self):
        return f"tcp://127.0.0.1:{self.port}"

    def start_scheduler(self):
        return self._start("scheduler", "--port", str(self.port), "--no-dashboard")

    def start_worker(self):
        return self._start("worker", self.address, "--nthreads", "2", "--no-dashboard")

    def client(self):
        """Return a new client, as the operator's cluster backend does."""
        return Client(self.address, timeout=5, set_as_default=False)

    def stop(self):
        for process in self.running:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def _start(self, kind, *arguments):
        command = [sys.executable, "-m", f"distributed.cli.dask_{kind}", "--host", "127.0.0.1"]
        process = subprocess.Popen(
            [*command, *arguments],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self.running.append(process)
        return process


@pytest.fixture
def processes():
    found = Processes()
    yield found
    found.stop()


def test_a_scheduler_that_is_killed_is_found_again_with_all_files(
    tmp_path, processes, hanging, nanoaod_files
):
    clients = []

    def client():
        clients.append(processes.client())
        return clients[-1]

    with laboratory(tmp_path, client) as lab:
        request_id = lab.submit(MUONS, [*nanoaod_files, hanging])
        wait_until(lambda: len(lab.results(request_id)) == 4)
        os.killpg(processes.scheduler.pid, signal.SIGKILL)
        os.killpg(processes.worker.pid, signal.SIGKILL)
        hanging.unlink()
        hanging.write_bytes(nanoaod_files[0].read_bytes())
        more = lab.submit(MUONS, nanoaod_files[:2])  # taken while there is no cluster
        time.sleep(1)
        assert lab.store.transform(more).state.status is Status.RUNNING
        processes.start_scheduler()
        processes.start_worker()
        for name, count in ((request_id, 5), (more, 2)):
            assert lab.ended(name).state.completed == count
            lab.require_exact(name)
    for made in clients:
        made.close()


def _imported():
    """Wait for what the worker began as it started; return what came of it."""
    for thread in threading.enumerate():
        if thread.name == "sxdask-imports":
            thread.join()
    return {name: name in sys.modules for name in NEEDED}


def test_workers_import_what_transforms_need_before_there_is_one():
    computing = Computing("local", workers=1, threads_per_worker=1)
    try:
        found = computing.client().run(_imported)
    finally:
        computing.close()
    assert list(found.values()) == [dict.fromkeys(NEEDED, True)]


def test_the_services_own_scheduler_is_killed_and_made_again(tmp_path, hanging, nanoaod_files):
    computing = Computing("local", workers=1, threads_per_worker=2, apart=True)
    try:
        with laboratory(tmp_path, computing.client) as lab:
            request_id = lab.submit(MUONS, [*nanoaod_files, hanging])
            wait_until(lambda: len(lab.results(request_id)) == 4)
            first = computing.client().run_on_scheduler(os.getpid)
            os.kill(first, signal.SIGKILL)
            hanging.unlink()
            hanging.write_bytes(nanoaod_files[0].read_bytes())
            assert lab.ended(request_id).state.completed == 5
            lab.require_exact(request_id)
            assert computing.client().run_on_scheduler(os.getpid) != first
    finally:
        computing.close()
