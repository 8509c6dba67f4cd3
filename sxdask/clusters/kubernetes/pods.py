"""Pods of scheduler and workers, as Kubernetes describes them. Pure functions.

Every pod keeps to the restricted profile of the pod security standards, unless
a directory of the node is mounted, which that profile forbids.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sxdask.clusters.kubernetes.options import KubernetesOptions, Toleration

SECRETS: Final = "/etc/sxdask"
SCRATCH: Final = "/scratch"
SCHEDULER_PORT: Final = 8786
DASHBOARD_PORT: Final = 8787

# The operator asks these for the number of workers and for the time since when nobody
# computes; without them it falls back to Dask's own protocol, with its own versions.
_ROUTES: Final = (
    "distributed.http.scheduler.prometheus",
    "distributed.http.scheduler.info",
    "distributed.http.scheduler.json",
    "distributed.http.health",
    "distributed.http.proxy",
    "distributed.http.statics",
)


def scheduler_pod(options: KubernetesOptions) -> dict[str, Any]:
    """Return the pod of the scheduler: never on volatile nodes, and without any secret."""
    container = _container(
        "scheduler",
        options,
        ["dask", "scheduler", "--host", "0.0.0.0", "--port", str(SCHEDULER_PORT)],  # noqa: S104
        cores=options.scheduler_cores,
        memory=options.scheduler_memory,
        secrets=False,
    )
    container["ports"] = [
        {"name": "tcp-comm", "containerPort": SCHEDULER_PORT, "protocol": "TCP"},
        {"name": "http-dashboard", "containerPort": DASHBOARD_PORT, "protocol": "TCP"},
    ]
    health = {"port": "http-dashboard", "path": "/health"}
    container["readinessProbe"] = {"httpGet": health, "periodSeconds": 1, "timeoutSeconds": 5}
    container["livenessProbe"] = {
        "httpGet": health,
        "initialDelaySeconds": 30,
        "periodSeconds": 20,
        "timeoutSeconds": 15,
        "failureThreshold": 6,
    }
    pod = _pod(options, container, grace_s=15, secrets=False)
    pod["nodeSelector"] = dict(options.node_selector)
    pod["tolerations"] = _tolerations(options.tolerations)
    return _without_empty(pod)


def worker_pod(options: KubernetesOptions) -> dict[str, Any]:
    """Return the pod of a worker.

    Dask may use 95 % of the memory, so that it pauses and spills before the
    kernel ends the pod. A worker that finds no scheduler for a minute ends.
    """
    container = _container(
        "worker",
        options,
        [
            *("dask", "worker", "--name", "$(DASK_WORKER_NAME)"),
            *("--nthreads", str(options.threads), "--nworkers", "1"),
            *("--memory-limit", str(int(options.memory_limit * 0.95))),
            *("--dashboard-address", "8788", "--local-directory", SCRATCH),
            *("--death-timeout", "60"),
        ],
        cores=options.cores,
        memory=options.memory_limit,
    )
    container["ports"] = [{"name": "http-dashboard", "containerPort": 8788, "protocol": "TCP"}]
    pod = _pod(options, container, grace_s=30)
    volatile = options.volatile
    selector = dict(options.node_selector)
    tolerations = list(options.tolerations)
    if volatile is not None:
        selector |= volatile.selector
        tolerations += volatile.tolerations
    pod["nodeSelector"] = selector
    pod["tolerations"] = _tolerations(tolerations)
    if options.priority_class:
        pod["priorityClassName"] = options.priority_class
    return _without_empty(pod)


def runner_pod(options: KubernetesOptions, command: list[str]) -> dict[str, Any]:
    """Return the pod that runs `command` against the cluster of a job, once."""
    container = _container(
        "job", options, command, cores=options.scheduler_cores, memory=options.scheduler_memory
    )
    pod = _pod(options, container, grace_s=30)
    pod["restartPolicy"] = "Never"
    pod["nodeSelector"] = dict(options.node_selector)
    pod["tolerations"] = _tolerations(options.tolerations)
    return _without_empty(pod)


def restricted(user: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the security contexts of a pod and of a container that may do nothing special."""
    pod = {
        "runAsNonRoot": True,
        "runAsUser": user,
        "runAsGroup": user,
        "fsGroup": user,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    container = {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    return pod, container


def _pod(
    options: KubernetesOptions, container: dict[str, Any], *, grace_s: int, secrets: bool = True
) -> dict[str, Any]:
    return {
        "containers": [container],
        "volumes": _volumes(options, secrets=secrets),
        "securityContext": restricted(options.user)[0],
        "imagePullSecrets": [{"name": name} for name in options.pull_secrets],
        "serviceAccountName": options.service_account,
        # Neither scheduler nor workers ask the API server for anything.
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        # As number one of its processes Python ignores being asked to end until it listens.
        "shareProcessNamespace": True,
        "terminationGracePeriodSeconds": grace_s,
    }


def _container(
    name: str,
    options: KubernetesOptions,
    command: list[str],
    *,
    cores: float,
    memory: int,
    secrets: bool = True,
) -> dict[str, Any]:
    amounts = {"cpu": f"{round(cores * 1000)}m", "memory": str(memory)}
    return {
        "name": name,
        "image": options.image,
        "imagePullPolicy": options.pull_policy,
        "args": command,
        "env": _environment(options, secrets=secrets),
        "resources": {"requests": amounts, "limits": dict(amounts)},
        "securityContext": restricted(options.user)[1],
        "terminationMessagePolicy": "FallbackToLogsOnError",  # the last words of a crash
        "volumeMounts": _mounts(options, secrets=secrets),
    }


def _environment(options: KubernetesOptions, *, secrets: bool) -> list[dict[str, Any]]:
    """Return the variables: what is mounted where, then what the user says, which wins."""
    values = {
        "DASK_TEMPORARY_DIRECTORY": SCRATCH,
        "DASK_DISTRIBUTED__SCHEDULER__HTTP__ROUTES": json.dumps(
            [*_ROUTES, "distributed.http.scheduler.api"]
        ),
        "HOME": SCRATCH,
        "SXDASK_CACHE_DIR": f"{SCRATCH}/sxdask",
    }
    if options.proxy_secret and secrets:
        values["X509_USER_PROXY"] = f"{SECRETS}/x509/x509up"
    if options.token_secret and secrets:
        values["BEARER_TOKEN_FILE"] = f"{SECRETS}/token/token"
    if options.ca_bundle:
        bundle = f"{SECRETS}/ca/ca.crt"
        names = ("AWS_CA_BUNDLE", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE")
        values |= dict.fromkeys(names, bundle)
    values |= options.environment
    variables: list[dict[str, Any]] = [
        {"name": name, "value": value} for name, value in sorted(values.items())
    ]
    if options.s3_secret and secrets:
        for name, key in (
            ("AWS_ACCESS_KEY_ID", "access-key"),
            ("AWS_SECRET_ACCESS_KEY", "secret-key"),
        ):
            source = {"secretKeyRef": {"name": options.s3_secret, "key": key}}
            variables.append({"name": name, "valueFrom": source})
    return variables


def _volumes(options: KubernetesOptions, *, secrets: bool) -> list[dict[str, Any]]:
    volumes: list[dict[str, Any]] = [
        {"name": "scratch", **_scratch(options)},
        {"name": "tmp", "emptyDir": {"sizeLimit": "1Gi"}},
    ]
    for name, secret in (("x509", options.proxy_secret), ("token", options.token_secret)):
        if secret and secrets:  # readable by the group of the pod: the file belongs to root
            volumes.append({"name": name, "secret": {"secretName": secret, "defaultMode": 0o440}})
    if options.ca_bundle:
        volumes.append({"name": "ca", "configMap": {"name": options.ca_bundle}})
    for name in options.claims:
        claim = {"claimName": name}
        volumes.append({"name": f"claim-{name}"[:63], "persistentVolumeClaim": claim})
    for number, mount in enumerate(options.host_mounts):
        path = {"path": mount.host_path, "type": "Directory"}
        volumes.append({"name": f"host-{number}", "hostPath": path})
    return volumes


def _scratch(options: KubernetesOptions) -> dict[str, Any]:
    if options.scratch_class is None:
        return {"emptyDir": {"sizeLimit": str(options.scratch)}}
    claim = {
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": options.scratch_class,
        "resources": {"requests": {"storage": str(options.scratch)}},
    }
    return {"ephemeral": {"volumeClaimTemplate": {"spec": claim}}}


def _mounts(options: KubernetesOptions, *, secrets: bool) -> list[dict[str, Any]]:
    mounts: list[dict[str, Any]] = [
        {"name": "scratch", "mountPath": SCRATCH},
        {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - in a pod of its own
    ]
    for name, given in (
        ("x509", options.proxy_secret if secrets else None),
        ("token", options.token_secret if secrets else None),
        ("ca", options.ca_bundle),
    ):
        if given:
            mounts.append({"name": name, "mountPath": f"{SECRETS}/{name}", "readOnly": True})
    for name, path in options.claims.items():
        mounts.append({"name": f"claim-{name}"[:63], "mountPath": path})
    for number, mount in enumerate(options.host_mounts):
        mounts.append(
            {
                "name": f"host-{number}",
                "mountPath": mount.path,
                "readOnly": mount.read_only,
                # CVMFS is mounted on the node when it is first looked at.
                "mountPropagation": "HostToContainer",
            }
        )
    return mounts


def _tolerations(tolerations: Iterable[Toleration]) -> list[dict[str, Any]]:
    return [
        _without_empty(
            {
                "key": item.key,
                "operator": item.operator,
                "value": item.value,
                "effect": item.effect,
                "tolerationSeconds": item.seconds,
            }
        )
        for item in tolerations
    ]


def _without_empty(values: dict[str, Any]) -> dict[str, Any]:
    """Leave out what is not said: the CRDs of Dask refuse null."""
    return {key: value for key, value in values.items() if value not in (None, [], {})}
