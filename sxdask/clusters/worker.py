"""What every worker of a cluster is set up with: names of credentials, limits, caches, metrics.

Credentials are named and never carried: a path on the worker, or a profile in a
file there. A secret of Kubernetes that is mounted, and a file in a shared home
directory, are both such a path.
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final

from distributed.diagnostics.plugin import WorkerPlugin
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from sxdask.core.counts import WORKED
from sxdask.core.errors import RequestError, close_names
from sxdask.requests.quantity import parse_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

METRIC: Final = "sxdask"
"""Name of what workers report of their work, among Dask's metrics of a worker."""


def _bytes(value: object) -> object:
    try:
        return parse_bytes(value) if isinstance(value, str) else value
    except RequestError as error:
        raise ValueError(error.problem) from None


Bytes = Annotated[int, BeforeValidator(_bytes), Field(ge=0)]

# What XRootD waits for, in seconds, where the environment says nothing: a server that stalls
# is given up in time for another try (XrdCl's own defaults are two minutes and more, each).
_XROOTD: Final = {
    "XRD_CONNECTIONWINDOW": "15",
    "XRD_CONNECTIONRETRY": "2",
    "XRD_REQUESTTIMEOUT": "60",
    "XRD_STREAMTIMEOUT": "60",
}


class WorkerSettings(BaseModel):
    """What may be said of the workers of a cluster.

    Paths are those of the worker. `threads` are the threads that decompress in
    one task; `memory_limit` is that of a worker whose platform sets none.
    `niceness` (1 to 19) lets other programs of the machine go first.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    x509_proxy: str | None = None
    x509_certificates: str | None = None
    bearer_token_file: str | None = None
    s3_credentials: str | None = None
    s3_profile: str | None = None
    s3_endpoint: str | None = None
    s3_region: str | None = None
    ca_bundle: str | None = None
    threads: int | None = Field(default=None, ge=1)
    memory_limit: Bytes | None = None
    niceness: int = Field(default=0, ge=0, le=19)
    cache_dir: str | None = None
    column_cache: str | None = Field(default=None, pattern="^(auto|on|off)$")
    column_cache_bytes: Bytes | None = None
    result_cache: str | None = None
    result_cache_bytes: Bytes | None = None
    xrootd: dict[str, int] = Field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        """The variables by which every library finds what is named here."""
        found = {
            "X509_USER_PROXY": self.x509_proxy,
            "X509_CERT_DIR": self.x509_certificates,
            "BEARER_TOKEN_FILE": self.bearer_token_file,
            "AWS_SHARED_CREDENTIALS_FILE": self.s3_credentials,
            "AWS_PROFILE": self.s3_profile,
            "AWS_ENDPOINT_URL_S3": self.s3_endpoint,
            "AWS_DEFAULT_REGION": self.s3_region,
            "AWS_CA_BUNDLE": self.ca_bundle,
            "SSL_CERT_FILE": self.ca_bundle,
            "SXDASK_THREADS": self.threads,
            "SXDASK_CACHE_DIR": self.cache_dir,
            "SXDASK_COLUMN_CACHE": self.column_cache,
            "SXDASK_COLUMN_CACHE_BYTES": self.column_cache_bytes,
            "SXDASK_RESULT_CACHE": self.result_cache,
            "SXDASK_RESULT_CACHE_BYTES": self.result_cache_bytes,
            **{f"XRD_{name.upper()}": value for name, value in self.xrootd.items()},
        }
        return {name: str(value) for name, value in found.items() if value is not None}

    @property
    def files(self) -> dict[str, str]:
        """Paths that must be readable on a worker, by the name of their setting."""
        names = ("x509_proxy", "x509_certificates", "bearer_token_file", "s3_credentials")
        found = {name: getattr(self, name) for name in (*names, "ca_bundle")}
        return {name: path for name, path in found.items() if path is not None}


def worker_settings(values: Mapping[str, Any]) -> WorkerSettings:
    """Return checked settings.

    Raises
    ------
    RequestError
        For the first that is unknown or has a wrong value; values are not repeated.
    """
    try:
        return WorkerSettings.model_validate(dict(values))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        name = ".".join(map(str, first["loc"]))
        known = list(WorkerSettings.model_fields)
        if first["type"] == "extra_forbidden":
            raise RequestError(
                f"workers have no setting {name!r}",
                hint=close_names(name, known) or f"there is {', '.join(known)}",
            ) from None
        raise RequestError(f"the worker's setting {name!r}: {first['msg'].lower()}") from None


class WorkerSetup(WorkerPlugin):  # type: ignore[misc]  # distributed has no types
    """Sets up a worker as it starts, also those that come later."""

    name: ClassVar[str] = "sxdask-setup"
    idempotent: ClassVar[bool] = False  # a later cluster of the same workers may say other things

    def __init__(self, settings: WorkerSettings) -> None:
        self.settings = settings
        self.problems: list[str] = []
        self._before: dict[str, str | None] = {}

    def setup(self, worker: Any) -> None:
        """Set environment, limits and metrics. What is wrong is reported, and stops no worker.

        A worker that refused to start would be started again and again, and
        nobody would read why.
        """
        wanted = {name: value for name, value in _XROOTD.items() if name not in os.environ}
        wanted |= self.settings.environment
        self._before = {name: os.environ.get(name) for name in wanted}
        os.environ.update(wanted)
        if self.settings.memory_limit is not None:
            worker.memory_manager.memory_limit = self.settings.memory_limit
        if self.settings.niceness and worker.nanny is not None:  # the process is the worker's own
            os.nice(max(0, self.settings.niceness - os.nice(0)))
        self.problems = [
            f"{name} {path!r} cannot be read"
            for name, path in self.settings.files.items()
            if not os.access(Path(path).expanduser(), os.R_OK)
        ]
        _leave_cores_to_tasks(worker.state.nthreads)
        worker.metrics[METRIC] = self._metric
        _export()
        if self.problems:
            worker.log_event("sxdask-setup", {"problems": self.problems})

    def teardown(self, worker: Any) -> None:
        """Leave the process as it was: workers in threads share it with their client."""
        for name, value in self._before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        worker.metrics.pop(METRIC, None)

    def _metric(self, worker: Any) -> dict[str, Any]:  # noqa: ARG002 - the signature is Dask's
        return WORKED.snapshot() | {"problems": self.problems}


def setup_problems(client: Any) -> dict[str, list[str]]:
    """Return what workers report of their own set-up: address -> problems."""
    found = client.run(_own_problems)
    return {address: problems for address, problems in sorted(found.items()) if problems}


def _own_problems(dask_worker: Any) -> list[str]:
    plugin = dask_worker.plugins.get(WorkerSetup.name)
    return [] if plugin is None else list(plugin.problems)


class _Counters:
    """The counts of this process for Prometheus, on the worker's own page ``/metrics``."""

    def collect(self) -> Iterator[Any]:
        """Yield one counter for each count."""
        from prometheus_client.core import CounterMetricFamily

        for name, value in WORKED.snapshot().items():
            text = f"{name.replace('_', ' ')}, of the tasks of sxdask in this process"
            yield CounterMetricFamily(f"sxdask_worker_{name}", text, value=value)


@cache
def _export() -> None:
    """Add the counts to what Dask's workers tell Prometheus, where its client is installed."""
    try:
        from prometheus_client import REGISTRY
    except ImportError:
        return
    REGISTRY.register(_Counters())


def _leave_cores_to_tasks(threads: int) -> None:
    """Let Arrow have as many threads in all as the worker runs tasks, and not all cores."""
    import pyarrow as pa

    pa.set_cpu_count(max(1, threads))
