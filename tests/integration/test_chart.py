"""The Helm chart: what it renders is what Kubernetes takes, and mistakes are said in a line."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml

from sxdask.clusters.kubernetes.options import kubernetes_options
from sxdask.service.settings import load_service_settings
from tests.charts import chart_with_operator
from tests.cluster_tools import Tools, cluster_tools
from tests.conftest import IN_CI, USER_CACHE_DIR

S3 = {"objectStore": {"endpoint": "https://s3.example.org", "secret": "s3-keys"}}
SITE = {
    **S3,
    "image": {"repository": "registry.example.org/sxdask", "tag": "1.2"},
    "imagePullSecrets": [{"name": "registry"}],
    "auth": {
        "admins": ["@example.org"],
        "tokenSecret": "token",
        "oidc": {"url": "https://id.example.org/x", "clientId": "a", "clientSecret": "oidc"},
    },
    "database": {"kind": "postgresql", "urlSecret": "database"},
    "persistence": {"storageClass": "fast", "size": "20Gi"},
    "cluster": {"options": {"proxy_secret": "grid-proxy", "cores": 2, "labels": {"team": "top"}}},
    "ingress": {"enabled": True, "host": "data.example.org", "tlsSecret": "tls", "className": "x"},
    "networkPolicy": {
        "ingressFrom": [{"namespaceSelector": {"matchLabels": {"name": "ingress"}}}],
        "operatorNamespace": "dask-operator",
    },
    "caBundle": "site-ca",
    "nodeSelector": {"pool": "services"},
    "tolerations": [{"key": "a", "operator": "Exists"}],
    "priorityClassName": "high",
    "settings": {"keep_days": 7, "limits": {"tries": 5}},
}
MATRIX: dict[str, dict[str, Any]] = {
    "demo": yaml.safe_load(
        (Path(__file__).parents[2] / "cluster/helm/sxdask/values-demo.yaml").read_text()
    ),
    "least": S3,
    "site": SITE,
    "operator": {**S3, "operator": {"install": True}},
    "address": {**S3, "cluster": {"kind": "tcp://scheduler.dask:8786", "maximum": 0}},
    "workers": {**S3, "cluster": {"workers": 4, "maximum": 0}},
    "claim": {**S3, "persistence": {"existingClaim": "service-data"}},
    "open": {**S3, "networkPolicy": {"enabled": False}, "podDisruptionBudget": {"enabled": False}},
}
VERSIONS = ("1.29", "1.37")


@pytest.fixture(scope="session")
def tools() -> Tools:
    """Return helm and kubectl."""
    try:
        return cluster_tools(USER_CACHE_DIR)
    except OSError as error:
        if IN_CI:
            pytest.fail(f"CI must test the chart: {error}")
        pytest.skip(f"helm: {error}")


@pytest.fixture(scope="module")
def chart(tmp_path_factory) -> Path:
    """Return the chart with that of the operator in it."""
    return chart_with_operator(tmp_path_factory.mktemp("chart"))


@pytest.fixture
def helm(tools, chart, tmp_path):
    """Return a function that runs helm with values, in a home of its own."""

    def run(command: str, values: dict[str, Any], *more: str) -> subprocess.CompletedProcess[str]:
        file = tmp_path / "values.yaml"
        file.write_text(yaml.safe_dump(values))
        release = ["demo"] if command == "template" else []
        return subprocess.run(
            [str(tools.helm), command, *release, str(chart), "--values", str(file), *more],
            capture_output=True,
            text=True,
            env={"HOME": str(tmp_path), "PATH": ""},
            check=False,
        )

    return run


def rendered(helm, values: dict[str, Any]) -> list[dict[str, Any]]:
    done = helm("template", values, "--namespace", "physics")
    assert done.returncode == 0, done.stderr
    return [document for document in yaml.safe_load_all(done.stdout) if document]


def service_settings(documents: list[dict[str, Any]]) -> dict[str, Any]:
    (found,) = (
        document["data"]["service.yaml"]
        for document in documents
        if document["kind"] == "ConfigMap" and "service.yaml" in document.get("data", {})
    )
    settings: dict[str, Any] = yaml.safe_load(found)
    return settings


def pods(documents: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {
        document["metadata"]["name"]: document["spec"]["template"]["spec"]
        for document in documents
        if document["kind"] == "Deployment" and "operator" not in document["metadata"]["name"]
    }


@pytest.mark.parametrize("name", MATRIX)
def test_the_chart_lints_without_a_warning(helm, name):
    done = helm("lint", MATRIX[name], "--strict")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "[WARNING]" not in done.stdout


@pytest.mark.parametrize("name", MATRIX)
def test_kubernetes_takes_every_rendered_object(helm, name):
    documents = rendered(helm, MATRIX[name])
    assert len(documents) >= 5
    for document in documents:
        for version in VERSIONS:
            kubernetes_validate.validate(document, version, strict=True)


@pytest.mark.parametrize("name", MATRIX)
def test_the_service_takes_its_settings_and_its_cluster_options(helm, name, tmp_path):
    settings = service_settings(rendered(helm, MATRIX[name]))
    for key in [key for key in settings if key.endswith("_file")]:
        secret = tmp_path / key
        secret.write_text("x" * 40 if "url" not in key else "postgresql://u@h/d")
        settings[key] = str(secret)
    file = tmp_path / "service.yaml"
    file.write_text(yaml.safe_dump(settings))
    loaded = load_service_settings(file, {})
    if loaded.cluster == "kubernetes":
        own = {k: v for k, v in loaded.cluster_options.items() if k not in {"minimum", "maximum"}}
        options = kubernetes_options(own)
        assert options.s3_secret == "s3-keys"  # noqa: S105 - its name
        assert options.labels["app.kubernetes.io/instance"] == "demo"


@pytest.mark.parametrize("name", MATRIX)
def test_every_pod_keeps_to_the_restricted_profile(helm, name):
    for pod in pods(rendered(helm, MATRIX[name])).values():
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not any("hostPath" in volume for volume in pod["volumes"])
        for container in [*pod.get("initContainers", []), *pod["containers"]]:
            context = container["securityContext"]
            assert context["allowPrivilegeEscalation"] is False
            assert context["readOnlyRootFilesystem"] is True
            assert context["capabilities"] == {"drop": ["ALL"]}
            assert container["resources"]["limits"]["memory"]


@pytest.mark.parametrize("name", MATRIX)
def test_only_a_service_that_makes_clusters_may_ask_the_api_server(helm, name):
    documents = rendered(helm, MATRIX[name])
    on_kubernetes = service_settings(documents)["cluster"] == "kubernetes"
    roles = [item for item in documents if item["kind"] == "Role"]
    assert bool(roles) == on_kubernetes
    for pod_name, pod in pods(documents).items():
        may = pod["automountServiceAccountToken"]
        assert may == (on_kubernetes and not pod_name.endswith("-objects"))
    for rule in (rule for role in roles for rule in role["rules"]):
        assert "*" not in [*rule["verbs"], *rule["resources"]]
        assert "secrets" not in rule["resources"]


def test_the_ingress_leads_to_public_routes_only(helm):
    (ingress,) = (item for item in rendered(helm, SITE) if item["kind"] == "Ingress")
    paths = {
        item["path"]: item["pathType"] for item in ingress["spec"]["rules"][0]["http"]["paths"]
    }
    assert paths["/"] == "Exact"
    assert "/servicex" in paths
    assert not {"/metrics", "/healthz", "/readyz"} & set(paths)


def test_no_credential_is_rendered_but_the_random_ones_of_the_demo(helm):
    assert not [item for item in rendered(helm, SITE) if item["kind"] == "Secret"]
    first, second = (
        next(item for item in rendered(helm, MATRIX["demo"]) if item["kind"] == "Secret")
        for _ in range(2)
    )
    assert first["stringData"]["secret-key"] != second["stringData"]["secret-key"]


def test_schedulers_are_reached_by_the_release_and_the_operator_alone(helm):
    policies = [item for item in rendered(helm, SITE) if item["kind"] == "NetworkPolicy"]
    (dask,) = (item for item in policies if item["metadata"]["name"].endswith("-dask"))
    among, operator = dask["spec"]["ingress"]
    assert among["from"] == [
        {"podSelector": {"matchLabels": {"app.kubernetes.io/instance": "demo"}}}
    ]
    assert [port["port"] for port in operator["ports"]] == [8786, 8787]
    assert "namespaceSelector" in operator["from"][0]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "objectStore: set endpoint and secret, or demo=true to try it"),
        ({**S3, "objectStor": {}}, "additional properties 'objectStor' not allowed"),
        ({"objectStore": {"endpoint": "s3.example.org", "secret": "a"}}, "'/objectStore/endpoint'"),
        ({"objectStore": {"demo": True, "endpoint": "https://s3"}}, "exclude each other"),
        ({**S3, "database": {"kind": "mysql"}}, "'sqlite', 'postgresql'"),
        ({**S3, "database": {"kind": "postgresql"}}, "needs urlSecret"),
        ({**S3, "cluster": {"workers": 2}}, "give workers, or minimum and maximum"),
        ({**S3, "cluster": {"kind": "slurm"}}, "'/cluster/kind'"),
        ({**S3, "cluster": {"maximum": -1}}, "'/cluster/maximum'"),
        ({**S3, "ingress": {"enabled": True}}, "ingress: set host"),
        (
            {**S3, "ingress": {"enabled": True, "host": "a.org"}, "auth": {"enabled": False}},
            "everybody on the network",
        ),
        ({**S3, "settings": {"s3_secret_key": "abc"}}, "propertyName 's3_secret_key'"),
        ({**S3, "persistence": {"size": "20 GB"}}, "'/persistence/size'"),
        ({**S3, "image": {"pullPolicy": "Sometimes"}}, "'/image/pullPolicy'"),
    ],
)
def test_a_mistake_in_the_values_is_said_in_a_line(helm, values, message):
    done = helm("template", values)
    assert done.returncode != 0
    lines = [line for line in done.stderr.splitlines() if message in line]
    assert len(lines) == 1, done.stderr


def test_the_schema_is_one():
    import json

    schema = json.loads(
        (Path(__file__).parents[2] / "cluster/helm/sxdask/values.schema.json").read_text()
    )
    jsonschema.Draft7Validator.check_schema(schema)
