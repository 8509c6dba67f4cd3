"""What may be said of a Dask cluster on Kubernetes. Secrets are named and never given."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from sxdask._version import __version__
from sxdask.core.errors import RequestError, close_names
from sxdask.requests.quantity import parse_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT_IMAGE: Final = f"ghcr.io/sxdask/worker:{__version__}"

_LABEL: Final = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"  # RFC 1123, as names of objects are
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OWN_VARIABLES: Final = frozenset({"DASK_SCHEDULER_ADDRESS", "DASK_WORKER_NAME"})

Name = Annotated[str, Field(min_length=1, max_length=63, pattern=_LABEL)]
MountPath = Annotated[str, Field(pattern=r"^/[^:,]+$")]


def _bytes(value: object) -> object:
    try:
        return parse_bytes(value) if isinstance(value, str) else value
    except RequestError as error:
        raise ValueError(error.problem) from None


Bytes = Annotated[int, BeforeValidator(_bytes), Field(gt=0)]


class _Values(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class HostMount(_Values):
    """A directory of the node that pods see, such as ``/cvmfs``; read only unless said."""

    host_path: MountPath
    path: MountPath
    read_only: bool = True


class Toleration(_Values):
    """A taint of nodes that workers put up with, in the words of Kubernetes."""

    key: str | None = None
    operator: Literal["Equal", "Exists"] = "Equal"
    value: str | None = None
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    seconds: int | None = Field(default=None, ge=0)


class VolatileNodes(_Values):
    """How nodes are told that may go away at any time; only workers are put there."""

    selector: dict[str, str] = Field(min_length=1)
    tolerations: tuple[Toleration, ...] = ()


def _volatile(key: str, value: str) -> VolatileNodes:
    taint = Toleration(key=key, value=value, effect="NoSchedule")
    return VolatileNodes(selector={key: value}, tolerations=(taint,))


VOLATILE: Final[Mapping[str, VolatileNodes]] = {
    "aks": _volatile("kubernetes.azure.com/scalesetpriority", "spot"),
    "eks": _volatile("eks.amazonaws.com/capacityType", "SPOT"),
    "gke": _volatile("cloud.google.com/gke-spot", "true"),
    "karpenter": _volatile("karpenter.sh/capacity-type", "spot"),
}


def _known_volatile(value: object) -> object:
    if not isinstance(value, str):
        return value
    if value not in VOLATILE:
        raise ValueError(f"{value!r} is none of {', '.join(VOLATILE)}")
    return VOLATILE[value]


class KubernetesOptions(_Values):
    """A Dask cluster on Kubernetes.

    `workers`, `threads_per_worker`, `memory_limit` and `environment` are those
    of every backend; `cores` are the CPUs of a worker, which has as many
    threads unless `threads_per_worker` says otherwise. Sizes are in bytes or
    text such as ``"4GiB"``, times in seconds.

    `proxy_secret` has an X.509 proxy under the key ``x509up``, `token_secret` a
    bearer token under ``token``, `s3_secret` an S3 key pair under
    ``access-key`` and ``secret-key``; `ca_bundle` is a config map with
    certificates under ``ca.crt``. `claims` mounts volume claims: name -> path.
    `owner` is ``Kind/name`` of an object of the namespace with which the
    cluster is removed.
    """

    workers: int = Field(default=2, ge=0)
    cores: float = Field(default=1.0, gt=0)
    threads_per_worker: int | None = Field(default=None, ge=1)
    memory_limit: Bytes = 2 * 1024**3
    scheduler_cores: float = Field(default=1.0, gt=0)
    scheduler_memory: Bytes = 2 * 1024**3
    image: str = Field(default=DEFAULT_IMAGE, pattern=r"^[^\s]+$")
    pull_policy: Literal["IfNotPresent", "Always", "Never"] = "IfNotPresent"
    pull_secrets: tuple[Name, ...] = ()
    namespace: Name | None = None
    context: str | None = None
    prefix: Annotated[str, Field(max_length=40, pattern=_LABEL)] = "sxdask"
    labels: dict[str, str] = Field(default_factory=dict)
    node_selector: dict[str, str] = Field(default_factory=dict)
    tolerations: tuple[Toleration, ...] = ()
    priority_class: Name | None = None
    volatile: Annotated[VolatileNodes | None, BeforeValidator(_known_volatile)] = None
    proxy_secret: Name | None = None
    token_secret: Name | None = None
    s3_secret: Name | None = None
    ca_bundle: Name | None = None
    host_mounts: tuple[HostMount, ...] = ()
    claims: dict[Name, MountPath] = Field(default_factory=dict)
    scratch: Bytes = 10 * 1024**3
    scratch_class: Name | None = None
    environment: dict[str, str] = Field(default_factory=dict)
    user: int = Field(default=1000, ge=1)
    service_account: Name | None = None
    owner: str | None = Field(default=None, pattern=r"^(Deployment|Pod|ConfigMap)/[-.a-z0-9]+$")
    idle_timeout_s: int = Field(default=1800, ge=0)
    timeout_s: float = Field(default=120.0, gt=0)
    operator_s: float = Field(default=60.0, gt=0)
    unschedulable_s: float = Field(default=30.0, ge=0)
    port_forward: bool | None = None

    @model_validator(mode="after")
    def _sensible(self) -> KubernetesOptions:
        for name in self.environment:
            if not _VARIABLE.fullmatch(name):
                raise ValueError(f"environment: {name!r} is no name of a variable")
            if name in _OWN_VARIABLES:
                raise ValueError(f"environment: {name} is set by the operator")
        paths = [*self.claims.values(), *(mount.path for mount in self.host_mounts)]
        for path in paths:
            if paths.count(path) > 1 or path in {"/scratch", "/tmp"}:  # noqa: S108 - in a pod
                raise ValueError(f"two volumes are mounted at {path}")
        return self

    @property
    def threads(self) -> int:
        """Threads of a worker."""
        return self.threads_per_worker or max(1, math.ceil(self.cores))


def kubernetes_options(values: Mapping[str, Any]) -> KubernetesOptions:
    """Return checked options.

    Raises
    ------
    RequestError
        For the first that is unknown or has a wrong value.
    """
    try:
        return KubernetesOptions.model_validate(dict(values))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        name = ".".join(map(str, first["loc"]))
        if first["type"] == "extra_forbidden":
            known = list(KubernetesOptions.model_fields)
            raise RequestError(
                f"clusters on Kubernetes have no option {name!r}",
                hint=close_names(name, known) or f"there is {', '.join(known)}",
            ) from None
        message = first["msg"].removeprefix("Value error, ")
        raise RequestError(
            f"{name}: {message}" if name else message,
            hint="see docs/how-to/kubernetes.md for the options",
        ) from None
