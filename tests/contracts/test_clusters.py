"""What every cluster backend promises. A new backend adds a subclass with one fixture."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest
from distributed import Client, LocalCluster

from sxdask.clusters.apart import ApartCluster
from sxdask.clusters.backend import BACKENDS, ClusterBackend
from sxdask.clusters.backends import local
from sxdask.clusters.backends.address import AddressBackend
from sxdask.clusters.backends.local import LocalBackend
from sxdask.core.errors import RequestError, SystemFaultError
from tests.processes import commands, is_gone
from tests.transforms import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator


class ClusterContract:
    @pytest.fixture
    def backend(self) -> Iterator[ClusterBackend]:
        raise NotImplementedError

    def test_it_gives_a_client_that_computes_and_is_the_active_one(self, backend):
        with backend as client:
            assert client.submit(pow, 2, 10).result() == 1024
            assert Client.current() is client

    def test_starting_twice_gives_the_same_client(self, backend):
        assert backend.start() is backend.start()
        backend.close()

    def test_it_closes_after_an_error(self, backend):
        with pytest.raises(ZeroDivisionError), backend as client:
            client.submit(divmod, 1, 0).result()
        assert client.status == "closed"

    def test_it_closes_twice_and_before_any_start(self, backend):
        backend.close()
        client = backend.start()
        backend.close()
        backend.close()
        assert client.status == "closed"

    def test_it_starts_again_after_it_was_closed(self, backend):
        for _ in range(2):
            with backend as client:
                assert client.submit(abs, -1).result() == 1


class TestLocalProcesses(ClusterContract):
    @pytest.fixture
    def backend(self):
        made = LocalBackend(1, threads_per_worker=1)
        yield made
        made.close()

    def test_the_scratch_directory_is_removed(self, backend):
        with backend as client:
            (folder,) = client.run(lambda dask_worker: dask_worker.local_directory).values()
            assert Path(folder).exists()
        assert not Path(folder).parents[1].exists()

    def test_everything_listens_on_this_machine_only(self, backend):
        with backend as client:
            info = client.scheduler_info()
            assert info["address"].startswith("tcp://127.0.0.1:")
            assert all(address.startswith("tcp://127.0.0.1:") for address in info["workers"])

    def test_a_memory_limit_holds(self):
        with LocalBackend(1, threads_per_worker=1, memory_limit="1GiB") as client:
            (worker,) = client.scheduler_info()["workers"].values()
            assert worker["memory_limit"] == 2**30


class TestLocalWithSchedulerApart(TestLocalProcesses):
    @pytest.fixture
    def backend(self):
        made = LocalBackend(1, threads_per_worker=1, apart=True)
        yield made
        made.close()

    def test_the_scheduler_is_another_process_that_ends(self, backend):
        with backend as client:
            process = psutil.Process(client.run_on_scheduler(os.getpid))
            assert process.pid != os.getpid()
            assert client.submit(os.getpid).result() != process.pid
        assert not process.is_running()

    def test_a_lost_scheduler_is_no_hindrance_to_closing(self, backend):
        client = backend.start()
        worker = client.submit(os.getpid).result()
        os.kill(client.run_on_scheduler(os.getpid), signal.SIGKILL)
        wait_until(lambda: client.status != "running")
        backend.close()
        wait_until(partial(is_gone, worker))
        with backend as again:
            assert again.submit(abs, -1).result() == 1

    def test_a_scheduler_that_cannot_start_is_a_clear_error(self, monkeypatch):
        monkeypatch.setattr(local, "ApartCluster", partial(ApartCluster, scheduler_port="none"))
        before = set(psutil.Process().children(recursive=True))
        with pytest.raises(SystemFaultError, match=r"no local cluster: .*scheduler did not start"):
            LocalBackend(1, threads_per_worker=1, apart=True).start()
        left = set(psutil.Process().children(recursive=True)) - before
        assert not [line for line in commands(left) if "resource_tracker" not in line]

    def test_scheduler_and_workers_end_with_a_killed_owner(self, tmp_path):
        script = tmp_path / "owner.py"
        script.write_text(_OWNER, encoding="utf-8")
        command = [sys.executable, "-W", "ignore", str(script)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as owner:
            try:
                assert owner.stdout is not None
                pids = json.loads(owner.stdout.readline())
            finally:
                owner.kill()
        assert len(pids) == 2
        for pid in pids:
            wait_until(partial(is_gone, pid))


_OWNER = """
import json, os, time
from sxdask.clusters.backends.local import LocalBackend

if __name__ == "__main__":
    client = LocalBackend(1, threads_per_worker=1, apart=True).start()
    pids = [client.run_on_scheduler(os.getpid), client.submit(os.getpid).result()]
    print(json.dumps(pids), flush=True)
    time.sleep(600)
"""


class TestLocalThreads(ClusterContract):
    @pytest.fixture
    def backend(self):
        made = LocalBackend(1, threads_per_worker=2, processes=False)
        yield made
        made.close()


class TestAddress(ClusterContract):
    @pytest.fixture
    def backend(self):
        with LocalCluster(
            n_workers=1,
            threads_per_worker=1,
            processes=False,
            protocol="tcp://",
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
            silence_logs=50,
        ) as cluster:
            made = AddressBackend(cluster.scheduler_address)
            yield made
            made.close()
            assert cluster.status.name == "running"  # it is not ours to stop

    def test_nobody_at_the_address_is_a_clear_error(self):
        began = time.monotonic()
        with pytest.raises(SystemFaultError, match="no Dask scheduler answers") as caught:
            AddressBackend("tcp://127.0.0.1:9", timeout_s=0.5).start()
        assert caught.value.context["address"] == "tcp://127.0.0.1:9"
        assert time.monotonic() - began < 10

    def test_nonsense_is_refused(self):
        with pytest.raises(RequestError, match="no address"):
            AddressBackend("carrier-pigeon://roof").start()


def test_every_registered_backend_can_be_loaded():
    found = {name: BACKENDS.load(name) for name in BACKENDS.names()}
    assert found["local"] is LocalBackend
    assert found["address"] is AddressBackend
    assert all(
        isinstance(kind, type) and issubclass(kind, ClusterBackend) for kind in found.values()
    )


@pytest.mark.parametrize("apart", [False, True])
def test_a_cluster_that_does_not_follow_is_closed_by_force(monkeypatch, apart):
    async def never() -> None:
        await asyncio.sleep(3600)

    monkeypatch.setattr(local, "_CLOSE_TIMEOUT_S", 1.0)
    backend = local.LocalBackend(1, threads_per_worker=1, apart=apart)
    client = backend.start()
    started = {client.submit(os.getpid).result(), client.run_on_scheduler(os.getpid)}
    monkeypatch.setattr(client.cluster, "_correct_state", never)
    backend.close()
    for pid in started - {os.getpid()}:
        wait_until(partial(is_gone, pid), 10)
    with local.LocalBackend(1, threads_per_worker=1) as again:
        assert again.submit(abs, -1).result() == 1
