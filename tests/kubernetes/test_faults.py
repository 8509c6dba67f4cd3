"""What is wrong on a Kubernetes is said in one line, within the stated time."""

from __future__ import annotations

import json

import pytest

import sxdask as sx
from sxdask.clusters.backends.kubernetes import KubernetesBackend
from sxdask.core.errors import ClusterError
from tests.kubernetes.place import eventually

pytestmark = pytest.mark.usefixtures("nothing_is_left")


def refusal(options):
    with pytest.raises(ClusterError) as caught, sx.cluster("kubernetes", **options):
        pass
    assert "\n" not in caught.value.problem
    assert caught.value.hint
    return caught.value


def test_an_image_that_cannot_be_pulled_is_named(options, clock):
    error = refusal(options | {"image": "localhost/no-such-image:1"})
    assert "'localhost/no-such-image:1' cannot be pulled" in error.problem
    assert clock() < 60


def test_an_image_that_may_not_be_pulled_is_named(options):
    error = refusal(options | {"image": "localhost/no-such-image:1", "pull_policy": "Never"})
    assert "ErrImageNeverPull" in error.problem


def test_a_quota_that_is_used_up_is_told_with_its_numbers(options, place, namespace, clock):
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "small"},
        "spec": {"hard": {"requests.cpu": "100m"}},
    }
    place.apply(quota, namespace=namespace)
    eventually(
        lambda: place.get("resourcequotas", "--namespace", namespace)[0]["status"].get("hard"),
        20,
        "the quota is not in force",
    )
    error = refusal(options)
    assert "quota of the namespace is used up" in error.problem
    assert "requests.cpu=200m" in error.problem
    assert clock() < 60


def test_a_pod_that_fits_on_no_node_says_what_is_missing(options, clock):
    error = refusal(options | {"scheduler_cores": 512, "unschedulable_s": 3})
    assert "Insufficient cpu" in error.problem
    assert clock() < 60


@pytest.mark.usefixtures("room")
def test_a_selector_that_no_node_matches_is_told_for_workers(options, clock):
    error = refusal(
        options
        | {
            "workers": 1,
            "volatile": {"selector": {"no": "where"}},
            "unschedulable_s": 1,
            "wait_s": 8,
        }
    )
    assert "has no worker after 8 s" in error.problem
    assert "didn't match" in error.problem
    assert clock() < 60


def test_a_secret_that_is_not_there_is_named(options):
    error = refusal(options | {"workers": 1, "proxy_secret": "no-proxy", "wait_s": 18})
    assert 'secret "no-proxy" not found' in error.problem


def test_a_key_that_a_secret_lacks_is_named(options, place, namespace):
    place.kubectl("create", "secret", "generic", "keys", "--namespace", namespace)
    error = refusal(options | {"workers": 1, "s3_secret": "keys", "wait_s": 15})
    assert "access-key" in error.problem


def test_a_namespace_where_one_may_nothing_is_told(
    options, place, namespace, tmp_path, monkeypatch
):
    place.kubectl("create", "serviceaccount", "nobody", "--namespace", namespace)
    token = place.kubectl("create", "token", "nobody", "--namespace", namespace).strip()
    config = json.loads(place.kubectl("config", "view", "--raw", "--flatten", "--output=json"))
    config["users"][0]["user"] = {"token": token}
    file = tmp_path / "nobody.conf"
    file.write_text(json.dumps(config))
    monkeypatch.setenv("KUBECONFIG", str(file))
    error = refusal(options)
    assert "does not let you create daskclusters" in error.problem
    assert namespace in error.problem


def test_a_kubernetes_without_the_operators_kinds_is_told(options, monkeypatch):
    monkeypatch.setattr("sxdask.clusters.kubernetes.access.GROUP", "kubernetes.example.org")
    error = refusal(options)
    assert "no definition of Dask clusters" in error.problem
    assert "helm install" in (error.hint or "")


def test_an_operator_that_does_not_run_is_told_in_time(options, place, operator, clock):
    scale = ("scale", "deployment", "--namespace", operator, "--all")
    place.kubectl(*scale, "--replicas=0")
    try:
        eventually(lambda: not place.get("pods", "--namespace", operator), 120, "it still runs")
        begin = clock()
        error = refusal(options | {"operator_s": 20})
        assert "has not taken up the cluster in 20 s" in error.problem
        assert clock() - begin < 40
    finally:
        place.kubectl(*scale, "--replicas=1")
        place.kubectl("rollout", "status", "deployment", "--namespace", operator, "--timeout=90s")


def test_an_api_server_that_does_not_answer_is_told(options, place, tmp_path, monkeypatch):
    config = json.loads(place.kubectl("config", "view", "--raw", "--flatten", "--output=json"))
    config["clusters"][0]["cluster"]["server"] = "https://127.0.0.1:1"
    file = tmp_path / "away.conf"
    file.write_text(json.dumps(config))
    monkeypatch.setenv("KUBECONFIG", str(file))
    assert "does not answer at https://127.0.0.1:1" in refusal(options).problem


def test_no_configuration_at_all_is_told(tmp_path, monkeypatch):
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    with pytest.raises(ClusterError, match="no Kubernetes cluster is configured"):
        KubernetesBackend().start()
