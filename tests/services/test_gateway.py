"""Requests on clusters of a real dask-gateway server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import awkward as ak
import pytest

import sxdask as sx
from sxdask.core.errors import ClusterError, RequestError
from tests.services.dask_gateway_server import become

if TYPE_CHECKING:
    from pathlib import Path


def clusters(server) -> list[str]:
    from dask_gateway import BasicAuth, Gateway

    from tests.services.dask_gateway_server import PASSWORD

    found = []
    for user in ("alice", "bob"):
        gateway = Gateway(server.address, auth=BasicAuth(user, PASSWORD))
        found += [item.name for item in gateway.list_clusters()]
        gateway.close()
        del gateway._loop_runner  # or collecting it fails, see the backend
    return found


def test_a_request_runs_with_the_resources_that_it_asks_for(alice, nanoaod_files):
    wanted = {"threads_per_worker": 2, "memory_limit": "1GiB", "workers": 1}
    query = sx.dataset(list(map(str, nanoaod_files))).where("nMuon == 2").select("event")
    with sx.cluster("gateway", resources=wanted) as client:
        (worker,) = client.scheduler_info()["workers"].values()
        assert worker["nthreads"] == 2
        assert worker["memory_limit"] == 2**30
        assert len(clusters(alice)) == 1
        found = query.compute(client)
        assert client.scheduler.address.startswith("gateway://")
    assert ak.array_equal(found, query.compute(scheduler="sync"))
    assert clusters(alice) == []


def test_an_option_that_the_server_does_not_have_is_told(alice):
    with pytest.raises(RequestError, match="lets nobody choose 'image'") as caught:
        sx.cluster("gateway", image="registry/image:1").start()
    assert "worker_cores" in str(caught.value.hint)
    with pytest.raises(RequestError, match="'worker_cores' is not 64"):
        sx.cluster("gateway", threads_per_worker=64).start()
    assert clusters(alice) == []


def test_a_wrong_password_is_one_clear_error_without_the_password(alice, monkeypatch):
    import dask

    auth = {"type": "basic", "kwargs": {"username": "alice", "password": "wrong-pass"}}
    monkeypatch.setitem(dask.config.config["gateway"], "auth", auth)
    with pytest.raises(ClusterError, match="does not let this user in") as caught:
        sx.cluster("gateway").start()
    assert "wrong-pass" not in f"{caught.value}{caught.value.context}"


def test_a_gateway_that_is_not_there_is_one_clear_error(alice):
    with pytest.raises(ClusterError, match=r"no cluster of the gateway at http://127.0.0.1:9"):
        sx.cluster("gateway", address="http://127.0.0.1:9").start()


def test_users_do_not_reach_the_clusters_of_each_other(alice, monkeypatch):
    mine = sx.cluster("gateway", workers=1)
    with mine as client:
        kind, options = mine.attachment()
        assert kind == "gateway"
        with sx.cluster("gateway", **options) as joined:
            assert joined.submit(pow, 2, 5).result() == 32
        become(alice, "bob", monkeypatch)
        with pytest.raises((ClusterError, RequestError)) as caught:
            sx.cluster("gateway", **options, timeout_s=5).start()
        assert options["name"] in str(caught.value) or "let this user in" in str(caught.value)
        become(alice, "alice", monkeypatch)
        # Whoever joined and left took nothing with them.
        assert client.submit(pow, 2, 6).result() == 64


def test_workers_follow_the_queue_and_go(alice, nanoaod_files, monkeypatch):
    monkeypatch.setenv("SXDASK_PARTITION_BYTES", "4000")
    query = sx.dataset([str(path) for path in nanoaod_files] * 1).select("event", "Jet_pt")
    most, stop = [0], threading.Event()
    with sx.cluster("gateway", minimum=0, maximum=2, queue_s=0.001) as client:
        assert client.nthreads() == {}

        def watch() -> None:
            while not stop.wait(0.1):
                most[0] = max(most[0], len(client.nthreads()))

        watcher = threading.Thread(target=watch)
        watcher.start()
        found = []
        for partition in query.stream(client=client, cache=False):
            time.sleep(0.2 if most[0] < 2 else 0)  # a consumer slow enough for the second
            found.append(partition.table.num_rows)
        stop.set()
        watcher.join()
        assert most[0] == 2
        assert sum(found) == 10_000
        deadline = time.monotonic() + 60
        while client.nthreads():
            assert time.monotonic() < deadline, "workers stay"
            time.sleep(0.2)


def test_the_command_line_takes_a_named_cluster_and_doctor_looks_at_it(
    alice, nanoaod, tmp_path: Path, monkeypatch
):
    names = tmp_path / "clusters.yaml"
    entry = {"backend": "gateway", "options": {"address": alice.address, "workers": 1}}
    names.write_text(json.dumps({"lab": entry | {"storage": str(tmp_path / "scratch")}}))
    recipe = tmp_path / "recipe.yaml"
    values = {"dataset": {"files": str(nanoaod)}, "where": "nMuon == 2", "select": ["event"]}
    recipe.write_text(json.dumps(values | {"resources": {"threads_per_worker": 2}}))
    environ = {**os.environ, "SXDASK_CLUSTERS": str(names)}

    def sxdask(*arguments: str) -> dict[str, object]:
        command = [sys.executable, "-m", "sxdask.cli", *arguments, "--json"]
        done = subprocess.run(
            command,
            env=environ,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        report: dict[str, object] = json.loads(done.stdout)
        return report

    run = sxdask("run", str(recipe), "--cluster", "lab", "--to", "out", "--quiet")
    assert run["status"] == "complete"
    assert run["rows"] == 2698
    found = sxdask("cluster", "check", "lab")
    assert found["verdict"] == "healthy"
    assert {item["name"]: item["status"] for item in found["findings"]} == dict.fromkeys(  # type: ignore[attr-defined]
        ["reachable", "workers", "versions", "clock", "secrets", "storage", "dashboard"], "ok"
    )
    assert clusters(alice) == []
