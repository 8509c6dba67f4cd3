"""What a cluster is made of: options of several layers, bounds, links, and its first minutes."""

from __future__ import annotations

import json
import time

import dask
import pytest

from sxdask.clusters.backend import ClusterBackend
from sxdask.clusters.backends.gateway import mapped
from sxdask.clusters.backends.local import LocalBackend
from sxdask.clusters.links import dashboard_link
from sxdask.clusters.opening import Cluster, open_cluster
from sxdask.clusters.worker import worker_settings
from sxdask.core.errors import ClusterError, RequestError, VersionMismatchError


@pytest.fixture
def lab(tmp_path, monkeypatch):
    path = tmp_path / "clusters.yaml"
    options = {"maximum": 40, "threads_per_worker": 2, "worker": {"s3_profile": "atlas"}}
    path.write_text(json.dumps({"lab": {"backend": "local", "options": options}}))
    monkeypatch.setenv("SXDASK_CLUSTERS", str(path))


def local(cluster: Cluster) -> LocalBackend:
    assert isinstance(cluster.backend, LocalBackend)
    return cluster.backend


def test_options_win_over_resources_and_these_over_the_file(lab):
    found = open_cluster("lab", resources={"threads_per_worker": 3, "maximum": 8}, maximum=5)
    assert found.bounds == (0, 5)
    assert local(found).threads_per_worker == 3
    assert found.worker is not None
    assert found.worker.s3_profile == "atlas"


def test_a_number_of_workers_rules_out_bounds_of_a_layer_below(lab):
    assert open_cluster("lab", resources={"workers": 3}).bounds is None
    assert local(open_cluster("lab", workers=3)).workers == 3
    assert open_cluster("local", resources={"workers": 3}, maximum=4).bounds == (0, 4)


def test_what_a_place_does_not_let_choose_is_passed_over_in_resources_only():
    found = open_cluster("tcp://host:1", resources={"workers": 3, "memory_limit": 10**9})
    assert found.bounds is None
    assert local(open_cluster("local", resources={"image": "x"})).workers is None
    with pytest.raises(RequestError, match="'image'") as caught:
        open_cluster("local", image="x")
    assert "threads_per_worker" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("bounds", "problem"),
    [
        ({"minimum": 1}, "no maximum"),
        ({"minimum": 3, "maximum": 2}, "no range"),
        ({"maximum": 0}, "no range"),
    ],
)
def test_bounds_that_are_none_are_told(bounds, problem):
    with pytest.raises(RequestError, match=problem):
        open_cluster("local", **bounds)


def test_a_secret_among_options_is_refused():
    with pytest.raises(RequestError, match="holds a secret") as caught:
        open_cluster("local", environment={"AWS_SECRET_ACCESS_KEY": "hunter2"})
    assert "hunter2" not in str(caught.value)


class Hopeless(LocalBackend):
    """A cluster whose workers never come, as of a platform without room."""

    def __init__(self) -> None:
        super().__init__(0, processes=False)

    def problem(self) -> str:
        return "0/3 nodes are available: insufficient memory"


def test_no_worker_in_the_stated_time_is_one_line_with_what_the_platform_says():
    began = time.monotonic()
    with pytest.raises(
        ClusterError, match=r"'lab' has no worker after 0\.5 s: 0/3 nodes"
    ) as caught:
        Cluster("lab", Hopeless(), wait_s=0.5).start()
    assert time.monotonic() - began < 60  # imports included, on a busy machine
    assert "\n" not in caught.value.problem


def test_a_run_without_workers_says_the_same(monkeypatch, nanoaod):
    import sxdask as sx

    monkeypatch.setenv("SXDASK_NO_WORKER_SECONDS", "1")
    monkeypatch.setattr("sxdask.deliver.runners.cluster._REFRESH_SECONDS", 0.2)
    query = sx.dataset(str(nanoaod)).select("event")
    with (
        Cluster("lab", Hopeless(), wait_s=0) as client,
        pytest.raises(ClusterError, match=r"no worker for 1 s: 0/3 nodes are available"),
    ):
        query.compute(client, cache=False)


def test_a_file_that_workers_lack_is_told_when_the_cluster_is_opened(tmp_path):
    settings = worker_settings({"x509_proxy": str(tmp_path / "missing")})
    backend = LocalBackend(1, threads_per_worker=1, processes=False)
    with pytest.raises(ClusterError, match="cannot be read at worker inproc://"):
        Cluster("lab", backend, worker=settings).start()
    assert backend.cluster is None


def test_other_versions_are_told_and_nothing_is_left_behind(monkeypatch):
    def refuse(_: object) -> int:
        raise VersionMismatchError("awkward 2.9.0 here, 2.8.2 at the scheduler")

    monkeypatch.setattr("sxdask.clusters.versions.check_versions", refuse)
    backend = LocalBackend(1, threads_per_worker=1, processes=False)
    with pytest.raises(VersionMismatchError, match=r"2\.8\.2"):
        Cluster("lab", backend).start()
    assert backend.cluster is None


def test_workers_of_somebody_else_are_not_scaled():
    class Joined(ClusterBackend):
        owned = False

        def start(self) -> None:
            """Join."""

        def close(self) -> None:
            """Leave."""

    with pytest.raises(RequestError, match="starts its own workers"):
        Joined().adapt(0, 3)


def test_gateway_options_take_the_names_and_units_of_the_server():
    offered = {"worker_cores": 1, "worker_memory": 2.0, "environment": {}, "partition": "short"}
    wishes = {"threads_per_worker": 4, "memory_limit": "8GiB", "environment": {"A": "1"}}
    assert mapped(wishes | {"image": None}, {"partition": "long"}, offered) == {
        "worker_cores": 4,
        "worker_memory": 8.0,
        "environment": {"A": "1"},
        "partition": "long",
    }
    assert mapped({"memory_limit": "1500 MB"}, {}, {"memory": "1 G"}) == {"memory": "1500 MB"}
    assert mapped({"memory_limit": "1500 MB"}, {}, {"worker_memory": 1}) == {"worker_memory": 2}
    with pytest.raises(RequestError, match="lets nobody choose 'image'"):
        mapped({"image": "x"}, {}, offered)


class Linked:
    """What a link is made of: a client with the address of its dashboard."""

    def __init__(self, link: str, cluster: object = None) -> None:
        self.dashboard_link = link
        self.cluster = cluster


def test_the_dashboard_is_reached_through_the_proxy_of_jupyterhub(monkeypatch):
    client = Linked("http://127.0.0.1:8787/status")
    monkeypatch.delenv("JUPYTERHUB_SERVICE_PREFIX", raising=False)
    assert dashboard_link(client) == "http://127.0.0.1:8787/status"
    assert dashboard_link(None) == ""
    monkeypatch.setenv("JUPYTERHUB_SERVICE_PREFIX", "/user/ana/")
    assert dashboard_link(client) == "/user/ana/proxy/8787/status"
    other = Linked("http://dask.example.org:8787/status")
    assert dashboard_link(other) == "http://dask.example.org:8787/status"
    with dask.config.set({"distributed.dashboard.link": "https://proxy/{port}"}):
        assert dashboard_link(client) == "http://127.0.0.1:8787/status"
