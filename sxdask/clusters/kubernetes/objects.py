"""The objects that the operator of Dask acts on. Pure functions of options and names."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from sxdask.clusters.kubernetes.pods import (
    DASHBOARD_PORT,
    SCHEDULER_PORT,
    restricted,
    runner_pod,
    scheduler_pod,
    worker_pod,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sxdask.clusters.kubernetes.options import KubernetesOptions

API_VERSION: Final = "kubernetes.dask.org/v1"
MANAGED: Final = {"app.kubernetes.io/managed-by": "sxdask"}


def dask_cluster(
    name: str, options: KubernetesOptions, *, owner: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Return the DaskCluster `name`.

    `owner` is a reference to an object of the same namespace: when that is
    gone, Kubernetes removes the cluster and all of its pods.
    """
    metadata: dict[str, Any] = {"name": name, "labels": {**MANAGED, **options.labels}}
    if owner is not None:
        metadata["ownerReferences"] = [owner]
    return {
        "apiVersion": API_VERSION,
        "kind": "DaskCluster",
        "metadata": metadata,
        "spec": {"idleTimeout": options.idle_timeout_s, **_parts(name, options)},
    }


def dask_job(name: str, options: KubernetesOptions, command: Sequence[str]) -> dict[str, Any]:
    """Return a DaskJob: a cluster, and `command` run against it, which ends both.

    The address of the scheduler is in ``DASK_SCHEDULER_ADDRESS`` there.
    """
    labels = {**MANAGED, **options.labels}
    return {
        "apiVersion": API_VERSION,
        "kind": "DaskJob",
        "metadata": {"name": name, "labels": labels},
        "spec": {
            "cluster": {"spec": _parts(name, options)},
            "job": {"spec": runner_pod(options, list(command))},
        },
    }


def scheduled_job(
    name: str,
    options: KubernetesOptions,
    command: Sequence[str],
    *,
    schedule: str,
    service_account: str,
    api_version: str = "batch/v1",
) -> dict[str, Any]:
    """Return a CronJob that creates a DaskJob at the times of `schedule`.

    `sxdask.clusters.kubernetes.jobs` does that in the image of the workers, as
    a service account that may create, list and delete DaskJobs and nothing else.
    """
    pod, container = restricted(options.user)
    document = json.dumps(dask_job(name, options, command), sort_keys=True)
    creator = {
        "name": "create",
        "image": options.image,
        "imagePullPolicy": options.pull_policy,
        "args": ["python3", "-m", "sxdask.clusters.kubernetes.jobs"],
        "env": [{"name": "SXDASK_JOB", "value": document}],
        "securityContext": container,
        "resources": {
            "requests": {"cpu": "100m", "memory": "256Mi"},
            "limits": {"cpu": "1", "memory": "512Mi"},
        },
    }
    return cron_job(
        name,
        schedule,
        {
            "restartPolicy": "Never",
            "serviceAccountName": service_account,
            "securityContext": pod,
            "containers": [creator],
        },
        api_version=api_version,
    )


def cron_job(
    name: str, schedule: str, pod: dict[str, Any], *, api_version: str = "batch/v1"
) -> dict[str, Any]:
    """Return a CronJob that runs `pod`, never two at once, and keeps one failure to look at."""
    return {
        "apiVersion": api_version,
        "kind": "CronJob",
        "metadata": {"name": name, "labels": dict(MANAGED)},
        "spec": {
            "schedule": schedule,
            "concurrencyPolicy": "Forbid",
            "successfulJobsHistoryLimit": 1,
            "failedJobsHistoryLimit": 1,
            "startingDeadlineSeconds": 600,
            "jobTemplate": {
                "spec": {
                    "backoffLimit": 3,
                    "activeDeadlineSeconds": 900,
                    "template": {"metadata": {"labels": dict(MANAGED)}, "spec": pod},
                }
            },
        },
    }


def owner_reference(found: dict[str, Any]) -> dict[str, Any]:
    """Return the reference to an object as the API server shows it."""
    return {
        "apiVersion": found["apiVersion"],
        "kind": found["kind"],
        "name": found["metadata"]["name"],
        "uid": found["metadata"]["uid"],
    }


def _parts(name: str, options: KubernetesOptions) -> dict[str, Any]:
    labels = {"dask.org/cluster-name": name, "dask.org/component": "scheduler"}
    ports = {"tcp-comm": SCHEDULER_PORT, "http-dashboard": DASHBOARD_PORT}
    return {
        "worker": {"replicas": options.workers, "spec": worker_pod(options)},
        "scheduler": {
            "spec": scheduler_pod(options),
            "service": {
                "type": "ClusterIP",
                "selector": labels,
                "ports": [
                    {"name": port, "protocol": "TCP", "port": number, "targetPort": port}
                    for port, number in ports.items()
                ],
            },
        },
    }
