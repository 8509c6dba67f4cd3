"""Objects for Kubernetes: what they hold, and that Kubernetes and the operator take them."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml

from sxdask.clusters.kubernetes.objects import (
    dask_cluster,
    dask_job,
    owner_reference,
    scheduled_job,
)
from sxdask.clusters.kubernetes.options import kubernetes_options
from sxdask.clusters.kubernetes.proxies import ProxyOptions, proxy_command, proxy_objects
from sxdask.core.errors import RequestError

EVERYTHING = {
    "workers": 4,
    "cores": 2,
    "memory_limit": "8GiB",
    "image": "registry.example.org/analysis:2026.11",
    "pull_policy": "Always",
    "pull_secrets": ["registry"],
    "node_selector": {"kubernetes.io/arch": "amd64"},
    "tolerations": [{"key": "hep", "operator": "Exists", "effect": "NoExecute", "seconds": 60}],
    "priority_class": "batch-low",
    "volatile": "gke",
    "proxy_secret": "grid-proxy",
    "token_secret": "wlcg-token",
    "s3_secret": "s3-keys",
    "ca_bundle": "site-ca",
    "host_mounts": [{"host_path": "/cvmfs", "path": "/cvmfs"}],
    "claims": {"results": "/results"},
    "scratch": "100GiB",
    "scratch_class": "fast-ssd",
    "environment": {"XRD_REQUESTTIMEOUT": "120"},
    "labels": {"team": "susy"},
    "idle_timeout_s": 300,
}
CASES: dict[str, dict[str, Any]] = {
    "default": {},
    "everything": EVERYTHING,
    "volatile": {"volatile": {"selector": {"kind": "spot"}, "tolerations": [{"key": "spot"}]}},
    "x509": {"proxy_secret": "grid-proxy"},
}
OWNER = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "service-0", "uid": "1-2-3"}}
VERSIONS = ("1.29", "1.37")


def crd_schema(kind: str) -> dict[str, Any]:
    """Return the schema of an operator's kind, made strict: what it does not name is refused."""
    folder = files("dask_kubernetes") / "operator/deployment/helm/dask-kubernetes-operator/crds"
    definition = yaml.safe_load((folder / f"{kind}.yaml").read_text())
    schema = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    schema["properties"] |= {"apiVersion": {}, "kind": {}, "metadata": {"type": "object"}}
    found: dict[str, Any] = strict(schema)
    return found


def strict(schema: Any) -> Any:
    if isinstance(schema, list):
        return [strict(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: strict(value) for key, value in schema.items()}
    if isinstance(found.get("properties"), dict) and found.get("type") == "object":
        found.setdefault("additionalProperties", False)
    return found


def check_crd(kind: str, document: dict[str, Any]) -> None:
    jsonschema.Draft202012Validator(crd_schema(kind)).validate(document)


def pod_of(spec: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pod"}, "spec": spec}


def pods(cluster: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {part: cluster["spec"][part]["spec"] for part in ("scheduler", "worker")}


@pytest.mark.parametrize("name", CASES)
def test_clusters_are_as_they_were_reviewed(name, golden):
    options = kubernetes_options(CASES[name])
    cluster = dask_cluster("sxdask-1", options, owner=owner_reference(OWNER))
    golden(f"kubernetes_{name}", yaml.safe_dump(cluster, sort_keys=False, width=100))


@pytest.mark.parametrize("name", CASES)
def test_the_operator_takes_every_cluster_and_job(name):
    options = kubernetes_options(CASES[name])
    check_crd("daskcluster", dask_cluster("sxdask-1", options, owner=owner_reference(OWNER)))
    check_crd("daskjob", dask_job("nightly", options, ["sxdask", "run", "recipe.yaml"]))


def test_the_check_notices_what_the_operator_would_refuse():
    cluster = dask_cluster("sxdask-1", kubernetes_options({}))
    cluster["spec"]["worker"]["replica"] = 2
    with pytest.raises(jsonschema.ValidationError, match="replica"):
        check_crd("daskcluster", cluster)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", CASES)
def test_kubernetes_takes_every_pod(name, version):
    cluster = dask_cluster("sxdask-1", kubernetes_options(CASES[name]))
    for spec in pods(cluster).values():
        kubernetes_validate.validate(pod_of(spec), version, strict=True)


@pytest.mark.parametrize("version", VERSIONS)
def test_kubernetes_takes_the_scheduled_objects(version):
    options = kubernetes_options({})
    command = ["sxdask", "run", "recipe.yaml"]
    job = scheduled_job("nightly", options, command, schedule="0 3 * * *", service_account="batch")
    for document in (job, *proxy_objects(ProxyOptions(vo="cms"))):
        kubernetes_validate.validate(document, version, strict=True)


@pytest.mark.parametrize("name", [name for name in CASES if name != "everything"])
def test_pods_keep_to_the_restricted_profile(name):
    for spec in pods(dask_cluster("a", kubernetes_options(CASES[name]))).values():
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not any("hostPath" in volume for volume in spec["volumes"])
        for container in spec["containers"]:
            context = container["securityContext"]
            assert context["allowPrivilegeEscalation"] is False
            assert context["capabilities"] == {"drop": ["ALL"]}
            assert context["readOnlyRootFilesystem"] is True


def test_no_pod_may_ask_the_api_server():
    for spec in pods(dask_cluster("a", kubernetes_options(EVERYTHING))).values():
        assert spec["automountServiceAccountToken"] is False


def test_the_scheduler_gets_no_secret_and_no_volatile_node():
    spec = pods(dask_cluster("a", kubernetes_options(EVERYTHING)))["scheduler"]
    shown = yaml.safe_dump(spec)
    for secret in ("grid-proxy", "wlcg-token", "s3-keys", "X509_USER_PROXY", "gke-spot"):
        assert secret not in shown


def test_the_path_of_a_mounted_proxy_is_exported():
    spec = pods(dask_cluster("a", kubernetes_options(CASES["x509"])))["worker"]
    (container,) = spec["containers"]
    values = {item["name"]: item.get("value") for item in container["env"]}
    mounts = {item["name"]: item["mountPath"] for item in container["volumeMounts"]}
    assert values["X509_USER_PROXY"] == f"{mounts['x509']}/x509up"
    assert {"name": "x509", "secret": {"secretName": "grid-proxy", "defaultMode": 0o440}} in spec[
        "volumes"
    ]


def test_what_the_user_says_of_the_environment_wins():
    options = kubernetes_options({"proxy_secret": "p", "environment": {"X509_USER_PROXY": "/x"}})
    (container,) = pods(dask_cluster("a", options))["worker"]["containers"]
    said = [item for item in container["env"] if item["name"] == "X509_USER_PROXY"]
    assert said == [{"name": "X509_USER_PROXY", "value": "/x"}]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"worker": 3}, "no option 'worker'.*workers"),
        ({"workers": -1}, "workers: .*greater than or equal to 0"),
        ({"memory_limit": "2 apples"}, "memory_limit: .*apples"),
        ({"volatile": "spot"}, "'spot' is none of aks, eks, gke, karpenter"),
        ({"proxy_secret": "My Secret"}, "proxy_secret: .*pattern"),
        ({"environment": {"A B": "1"}}, "'A B' is no name of a variable"),
        ({"environment": {"DASK_WORKER_NAME": "1"}}, "is set by the operator"),
        ({"claims": {"a": "/data", "b": "/data"}}, "two volumes are mounted at /data"),
        ({"host_mounts": [{"host_path": "cvmfs", "path": "/cvmfs"}]}, "host_path: .*pattern"),
        ({"owner": "Secret/a"}, "owner: .*pattern"),
    ],
)
def test_a_wrong_option_is_refused_in_one_line(options, message):
    with pytest.raises(RequestError, match=f"(?s){message}") as caught:
        kubernetes_options(options)
    assert "\n" not in caught.value.problem


def test_a_job_carries_its_command_and_its_cluster():
    job = dask_job("nightly", kubernetes_options({}), ["sxdask", "run", "recipe.yaml"])
    runner = job["spec"]["job"]["spec"]
    assert runner["containers"][0]["args"] == ["sxdask", "run", "recipe.yaml"]
    assert runner["restartPolicy"] == "Never"
    selector = job["spec"]["cluster"]["spec"]["scheduler"]["service"]["selector"]
    assert selector["dask.org/cluster-name"] == "nightly"


def test_the_writer_of_the_proxy_may_change_that_secret_and_nothing_else():
    role = next(item for item in proxy_objects(ProxyOptions()) if item["kind"] == "Role")
    assert role["rules"] == [
        {
            "apiGroups": [""],
            "resources": ["secrets"],
            "resourceNames": ["grid-proxy"],
            "verbs": ["patch"],
        }
    ]


def test_only_the_container_that_makes_the_proxy_sees_the_key():
    cron = next(item for item in proxy_objects(ProxyOptions()) if item["kind"] == "CronJob")
    pod = cron["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    seen = {
        container["name"]: {mount["name"] for mount in container["volumeMounts"]}
        for container in (*pod["initContainers"], *pod["containers"])
    }
    assert "grid" in seen["make"]
    assert "account" not in seen["make"]
    assert "grid" not in seen["write"]


def test_the_command_of_the_user_makes_the_proxy():
    assert proxy_command(ProxyOptions(command=("my-proxy", "--now"))) == ("my-proxy", "--now")
    words = " ".join(proxy_command(ProxyOptions(vo="atlas", has_password=True)))
    assert "-voms atlas -pwstdin" in words
    assert "< /etc/sxdask/grid/password" in words
