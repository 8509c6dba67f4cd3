"""Put a user's grid certificate into a cluster, and have proxies made of it from then on."""

from __future__ import annotations

import time
from base64 import b64encode
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from sxdask.clusters.kubernetes.objects import MANAGED
from sxdask.clusters.kubernetes.proxies import proxy_objects
from sxdask.core.errors import AccessDeniedError, ClusterError, FileMissingError, RequestError

if TYPE_CHECKING:
    from pathlib import Path

    from sxdask.clusters.kubernetes.access import Access
    from sxdask.clusters.kubernetes.proxies import ProxyOptions

_POLL_S: Final = 0.5


@dataclass(frozen=True, slots=True)
class GridCertificate:
    """A certificate with its private key, both PEM, and the password of the key if it has one."""

    ends: datetime
    certificate: bytes = field(repr=False)
    key: bytes = field(repr=False)
    password: str = field(default="", repr=False)

    @property
    def data(self) -> dict[str, bytes]:
        """The keys of a secret."""
        files = {"usercert.pem": self.certificate, "userkey.pem": self.key}
        return files | ({"password": self.password.encode()} if self.password else {})


def needs_password(folder: Path) -> bool:
    """Say whether the key in `folder` is encrypted.

    Raises
    ------
    FileMissingError, AccessDeniedError
        If it cannot be read.
    """
    return b"ENCRYPTED" in _read(folder / "userkey.pem")


def grid_certificate(folder: Path, password: str = "") -> GridCertificate:
    """Read ``usercert.pem`` and ``userkey.pem`` of `folder`, and check that they belong together.

    Raises
    ------
    RequestError
        If they do not, or the password is wrong, or the certificate has ended.
    FileMissingError, AccessDeniedError
        If one cannot be read.
    """
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    certificate, key = _read(folder / "usercert.pem"), _read(folder / "userkey.pem")
    try:
        (first, *_) = x509.load_pem_x509_certificates(certificate)
        private = load_pem_private_key(key, password.encode() or None)
    except (TypeError, ValueError):
        raise RequestError(
            f"usercert.pem and userkey.pem in {str(folder)!r} cannot be read as PEM, "
            "or the password is wrong",
            hint="try: openssl rsa -check -noout -in userkey.pem",
        ) from None
    if private.public_key() != first.public_key():
        raise RequestError(
            f"userkey.pem in {str(folder)!r} is not the key of usercert.pem",
            hint="export both from the same certificate",
        )
    ends = first.not_valid_after_utc
    if ends <= datetime.now(UTC):
        raise RequestError(
            f"the certificate in {str(folder)!r} ended on {ends:%Y-%m-%d}",
            hint="ask your authority for a new one",
        )
    return GridCertificate(ends, certificate, key, password)


def install_proxy(access: Access, options: ProxyOptions, grid: GridCertificate) -> None:
    """Create or change all that keeps the proxy fresh. The proxy itself is made by the first run.

    Raises
    ------
    ClusterError
        If Kubernetes refuses.
    """
    access.apply(_secret(options.certificates, grid.data))
    access.apply(_secret(options.name, {}))  # for its writer, who may create none
    version = "batch/v1" if access.serves("batch/v1", "CronJob") else "batch/v1beta1"
    for document in proxy_objects(options, api_version=version):
        access.apply(document)


def run_now(access: Access, options: ProxyOptions, *, timeout_s: float = 120.0) -> str:
    """Make the first proxy without waiting for the schedule; return what the job says.

    Raises
    ------
    ClusterError
        If it fails, or has not ended in time: with its last line.
    """
    (cron,) = (item for item in proxy_objects(options) if item["kind"] == "CronJob")
    name = f"{options.name}-{datetime.now(UTC):%m%d%H%M%S}"[:63]
    template = cron["spec"]["jobTemplate"]
    spec = template["spec"] | {"backoffLimit": 0, "ttlSecondsAfterFinished": 300}
    job: dict[str, Any] = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "labels": dict(MANAGED)},
        "spec": spec,
    }
    access.apply(job)
    try:
        return _result(access, name, timeout_s)
    finally:
        access.remove_job(name)


def _result(access: Access, name: str, timeout_s: float) -> str:
    from sxdask.clusters.kubernetes.faults import find_fault

    selector, end = f"job-name={name}", time.monotonic() + timeout_s
    while time.monotonic() < end:
        pods = access.pods(selector)
        for pod in pods:
            phase = pod.get("status", {}).get("phase")
            if phase == "Succeeded":
                return access.last_line(pod, "write")
            if phase == "Failed":
                raise ClusterError(
                    f"no proxy could be made: {_why(access, pod)}",
                    hint="correct --vo, --image or --command, and run sxdask cluster init again",
                )
        if fault := find_fault(pods, (), access.events()):
            raise ClusterError(f"no proxy can be made: {fault.line}", hint=fault.hint)
        time.sleep(_POLL_S)
    raise ClusterError(
        f"the first proxy is not there after {timeout_s:g} s",
        hint=f"kubectl logs --all-containers --selector {selector}",
    )


def _why(access: Access, pod: dict[str, Any]) -> str:
    """Return the last line of the container that failed."""
    status = pod["status"]
    for item in (*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ())):
        if ((item.get("state") or {}).get("terminated") or {}).get("exitCode"):
            return access.last_line(pod, item["name"]) or f"{item['name']} fails"
    return "the pod failed"


def _secret(name: str, data: dict[str, bytes]) -> dict[str, Any]:
    encoded = {key: b64encode(value).decode() for key, value in data.items()}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "labels": dict(MANAGED)},
        **({"data": encoded} if encoded else {}),
    }


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise FileMissingError(
            f"there is no {str(path)!r}", hint="name the folder of your certificate: --globus"
        ) from None
    except OSError as error:
        raise AccessDeniedError(f"{str(path)!r} cannot be read: {error.strerror}") from None
