"""What workers are set up with."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from sxdask.clusters.backends.local import LocalBackend
from sxdask.clusters.opening import open_cluster
from sxdask.clusters.worker import METRIC, WorkerSetup, setup_problems, worker_settings
from sxdask.core.errors import RequestError

if TYPE_CHECKING:
    from pathlib import Path


def test_names_become_the_variables_that_libraries_read():
    found = worker_settings(
        {
            "x509_proxy": "/run/x509",
            "s3_profile": "atlas",
            "s3_endpoint": "https://s3.example.org",
            "column_cache": "on",
            "column_cache_bytes": "2 GB",
            "threads": 2,
            "xrootd": {"requesttimeout": 5},
        }
    )
    assert found.environment == {
        "X509_USER_PROXY": "/run/x509",
        "AWS_PROFILE": "atlas",
        "AWS_ENDPOINT_URL_S3": "https://s3.example.org",
        "SXDASK_COLUMN_CACHE": "on",
        "SXDASK_COLUMN_CACHE_BYTES": "2000000000",
        "SXDASK_THREADS": "2",
        "XRD_REQUESTTIMEOUT": "5",
    }


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"x509proxy": "/run/x509"}, "no setting 'x509proxy'"),
        ({"threads": 0}, "'threads'"),
        ({"column_cache": "sometimes"}, "'column_cache'"),
        ({"memory_limit": "much"}, "'memory_limit'"),
    ],
)
def test_a_mistake_is_told(values, problem):
    with pytest.raises(RequestError, match=problem):
        worker_settings(values)


def test_a_worker_is_set_up_and_left_as_it_was(tmp_path: Path, monkeypatch):
    monkeypatch.delenv("X509_USER_PROXY", raising=False)
    proxy = tmp_path / "x509"
    proxy.write_text("a proxy")
    settings = worker_settings({"x509_proxy": str(proxy), "memory_limit": "1 GB", "threads": 1})
    with LocalBackend(1, threads_per_worker=1, processes=False) as client:
        client.register_plugin(WorkerSetup(settings))
        assert client.submit(os.environ.get, "X509_USER_PROXY").result() == str(proxy)
        assert client.submit(os.environ.get, "XRD_STREAMTIMEOUT").result() == "60"
        (limit,) = client.run(lambda dask_worker: dask_worker.memory_manager.memory_limit).values()
        assert limit == 10**9
        assert setup_problems(client) == {}
        (metrics,) = client.run(
            lambda dask_worker: dask_worker.metrics[METRIC](dask_worker)
        ).values()
        assert {"tasks", "failures", "bytes_read", "seconds", "cached_bytes"} <= set(metrics)
        client.unregister_worker_plugin(WorkerSetup.name)
        assert client.submit(os.environ.get, "X509_USER_PROXY", pure=False).result() is None


def test_workers_of_their_own_processes_let_others_go_first():
    with open_cluster("local", workers=1, worker={"niceness": 7}) as client:
        assert list(client.run(os.nice, 0).values()) == [max(7, os.nice(0))]
        assert client.submit(lambda: os.nice(0)).result() == max(7, os.nice(0))


def test_a_worker_that_shares_its_process_leaves_it_as_it_is():
    settings = worker_settings({"niceness": 7})
    before = os.nice(0)
    with LocalBackend(1, threads_per_worker=1, processes=False) as client:
        client.register_plugin(WorkerSetup(settings))
        assert os.nice(0) == before


def test_a_file_that_a_worker_lacks_is_a_report_and_the_worker_lives(tmp_path: Path):
    settings = worker_settings({"x509_proxy": str(tmp_path / "missing")})
    with LocalBackend(1, threads_per_worker=1, processes=False) as client:
        client.register_plugin(WorkerSetup(settings))
        ((problem,),) = setup_problems(client).values()
        assert problem == f"x509_proxy {str(tmp_path / 'missing')!r} cannot be read"
        assert client.submit(abs, -1).result() == 1


def test_prometheus_reads_the_counts_on_the_page_of_the_worker():
    from prometheus_client import generate_latest

    from sxdask.core.counts import WORKED
    from sxdask.core.events import ReadReport

    with LocalBackend(1, threads_per_worker=1, processes=False) as client:
        client.register_plugin(WorkerSetup(worker_settings({})))
        WORKED.note(ReadReport(bytes_read=1_000), 0.5, failed=False)
        lines = generate_latest().decode().splitlines()
    (found,) = [line for line in lines if line.startswith("sxdask_worker_bytes_read_total ")]
    assert float(found.split()[1]) >= 1_000
