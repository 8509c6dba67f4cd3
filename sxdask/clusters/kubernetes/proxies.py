"""Grid certificates in a cluster, and the proxy made of them again and again. Pure functions.

Three secrets' worth of rights are kept apart: the certificate with its key, which
only the job reads that makes proxies; the proxy, which workers read; and the
right to write the proxy, which is for one service account and that one secret.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from pydantic import BaseModel, ConfigDict, Field

from sxdask.clusters.kubernetes.objects import MANAGED, cron_job
from sxdask.clusters.kubernetes.options import DEFAULT_IMAGE, Name
from sxdask.clusters.kubernetes.pods import restricted

if TYPE_CHECKING:
    from collections.abc import Sequence

DEFAULT_VOMS_IMAGE: Final = "opensciencegrid/voms-clients:23-release"
CERTIFICATES: Final = "/etc/sxdask/grid"
_ACCOUNT: Final = "/var/run/secrets/kubernetes.io/serviceaccount"
PROXY_FOLDER: Final = "/proxy"
PROXY_FILE: Final = f"{PROXY_FOLDER}/x509up"


class ProxyOptions(BaseModel):
    """How a proxy is made and where it goes.

    `hours` is what it is valid for; a new one is made at the times of
    `schedule`, four times in that span by default, so that a VOMS server may be
    down for a while. `command` makes the proxy at ``$X509_USER_PROXY`` from the
    files in ``/etc/sxdask/grid``; by default it is voms-proxy-init for `vo`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Name = "grid-proxy"
    vo: str | None = Field(default=None, pattern=r"^[A-Za-z0-9][-A-Za-z0-9._:/=]*$")
    hours: int = Field(default=24, ge=1, le=24 * 7)
    schedule: str = Field(default="17 */6 * * *", pattern=r"^\S+( \S+){4}$")
    image: str = Field(default=DEFAULT_VOMS_IMAGE, pattern=r"^\S+$")
    writer_image: str = Field(default=DEFAULT_IMAGE, pattern=r"^\S+$")
    command: tuple[str, ...] = ()
    has_password: bool = False
    user: int = Field(default=1000, ge=1)

    @property
    def certificates(self) -> str:
        """Name of the secret that has the certificate and its key."""
        return f"{self.name}-certificates"[:63]

    @property
    def account(self) -> str:
        """Name of the service account that may write the proxy."""
        return f"{self.name}-writer"[:63]


def proxy_command(options: ProxyOptions) -> Sequence[str]:
    """Return the command that makes a proxy, in the image for it."""
    if options.command:
        return options.command
    words = [
        *("voms-proxy-init", "-cert", f"{CERTIFICATES}/usercert.pem"),
        *("-key", "/tmp/userkey.pem", "-out", PROXY_FILE),  # noqa: S108 - in a pod of its own
        *("-valid", f"{options.hours}:00"),
    ]
    if options.vo:
        words += ["-voms", options.vo]
    if options.has_password:
        words += ["-pwstdin"]
    # The key of a mounted secret can be read by its group, which voms-proxy-init refuses.
    prepare = f"umask 077 && cat {CERTIFICATES}/userkey.pem > /tmp/userkey.pem"
    source = f" < {CERTIFICATES}/password" if options.has_password else ""
    return ("/bin/sh", "-c", f'{prepare} && exec "$@"{source}', "sh", *words)


def proxy_objects(options: ProxyOptions, *, api_version: str = "batch/v1") -> list[dict[str, Any]]:
    """Return what refreshes the proxy: account, role, binding, CronJob.

    The secret of the proxy has to be there: its writer may change it, not create any.
    """
    return [
        {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": _metadata(options.account),
            "automountServiceAccountToken": False,
        },
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "Role",
            "metadata": _metadata(options.account),
            "rules": [
                {
                    "apiGroups": [""],
                    "resources": ["secrets"],
                    "resourceNames": [options.name],
                    "verbs": ["patch"],
                }
            ],
        },
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": _metadata(options.account),
            "roleRef": {
                "apiGroup": "rbac.authorization.k8s.io",
                "kind": "Role",
                "name": options.account,
            },
            "subjects": [{"kind": "ServiceAccount", "name": options.account}],
        },
        cron_job(options.name, options.schedule, _pod(options), api_version=api_version),
    ]


def _pod(options: ProxyOptions) -> dict[str, Any]:
    pod, container = restricted(options.user)
    proxy = {"name": "proxy", "mountPath": PROXY_FOLDER}
    temporary = {"name": "tmp", "mountPath": "/tmp"}  # noqa: S108 - in a pod of its own
    limits = {
        "requests": {"cpu": "50m", "memory": "128Mi"},
        "limits": {"cpu": "1", "memory": "512Mi"},
    }
    return {
        "restartPolicy": "Never",
        "serviceAccountName": options.account,
        "automountServiceAccountToken": False,  # only the container that writes gets it
        "enableServiceLinks": False,
        "securityContext": pod,
        "volumes": [
            {
                "name": "grid",
                "secret": {"secretName": options.certificates, "defaultMode": 0o440},
            },
            {"name": "proxy", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}},
            {"name": "tmp", "emptyDir": {"medium": "Memory", "sizeLimit": "8Mi"}},
            {"name": "account", "projected": {"sources": _account_files()}},
        ],
        "initContainers": [
            {
                "name": "make",
                "image": options.image,
                "imagePullPolicy": "IfNotPresent",
                "command": list(proxy_command(options)),
                "env": [{"name": "X509_USER_PROXY", "value": PROXY_FILE}],
                "volumeMounts": [
                    {"name": "grid", "mountPath": CERTIFICATES, "readOnly": True},
                    proxy,
                    temporary,
                ],
                "resources": limits,
                "securityContext": container,
            }
        ],
        "containers": [
            {
                "name": "write",
                "image": options.writer_image,
                "imagePullPolicy": "IfNotPresent",
                "args": ["python3", "-m", "sxdask.clusters.kubernetes.refresh", options.name],
                "env": [{"name": "X509_USER_PROXY", "value": PROXY_FILE}],
                "volumeMounts": [
                    {**proxy, "readOnly": True},
                    {"name": "account", "mountPath": _ACCOUNT, "readOnly": True},
                    temporary,
                ],
                "resources": limits,
                "securityContext": container,
            }
        ],
    }


def _account_files() -> list[dict[str, Any]]:
    """Return what Kubernetes mounts for a service account by itself, token and all."""
    namespace = {"path": "namespace", "fieldRef": {"fieldPath": "metadata.namespace"}}
    return [
        {"serviceAccountToken": {"path": "token", "expirationSeconds": 3600}},
        {
            "configMap": {
                "name": "kube-root-ca.crt",
                "items": [{"key": "ca.crt", "path": "ca.crt"}],
            }
        },
        {"downwardAPI": {"items": [namespace]}},
    ]


def _metadata(name: str) -> dict[str, Any]:
    return {"name": name, "labels": dict(MANAGED)}
