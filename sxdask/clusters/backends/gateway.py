"""A cluster of a dask-gateway server: for users without rights on the machines behind it."""

from __future__ import annotations

import math
import time
import warnings
from contextlib import suppress
from typing import TYPE_CHECKING, Any, ClassVar, Final

import dask
from aiohttp import ClientError
from dask_gateway import Gateway, GatewayClusterError, GatewayServerError

from sxdask.clusters.backend import ClusterBackend
from sxdask.core.errors import ClusterError, RequestError, close_names
from sxdask.requests.quantity import parse_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping

# What requests ask for in general terms -> names that servers give the option, the usual first.
_NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "threads_per_worker": ("worker_cores", "cores", "threads"),
    "memory_limit": ("worker_memory", "memory"),
    "image": ("image",),
    "environment": ("environment",),
}
_GIB: Final = 2**30
_POLL_S: Final = 0.5
_COMING: Final = frozenset({"PENDING", "STARTING"})
_EXPECTED = (
    ClientError,
    GatewayClusterError,
    GatewayServerError,
    OSError,
    TimeoutError,
    ValueError,
)


class GatewayBackend(ClusterBackend):
    """A cluster that a dask-gateway server starts, or one of its running ones.

    Who asks is told by Dask's own configuration (``gateway.auth``, or
    ``DASK_GATEWAY__AUTH__*`` in the environment, or the token of JupyterHub), never
    by an option.

    Parameters
    ----------
    address
        Of the server; by default ``gateway.address`` of Dask's configuration.
    proxy_address
        Of its proxy for schedulers, where it is another one.
    name
        A running cluster to join, which goes on after `close`.
    workers
        Workers to start; without it and without bounds they follow the queue, up to
        what the server allows.
    threads_per_worker, memory_limit, image, environment
        Go into the options of that kind that the server has.
    options
        Further options of the server, by its own names.
    timeout_s
        Most seconds until the cluster runs.
    """

    elastic: ClassVar[bool] = True

    def __init__(  # noqa: PLR0913 - options by keyword
        self,
        address: str | None = None,
        *,
        proxy_address: str | None = None,
        name: str | None = None,
        workers: int | None = None,
        threads_per_worker: int | None = None,
        memory_limit: str | int | None = None,
        image: str | None = None,
        environment: Mapping[str, str] | None = None,
        options: Mapping[str, Any] | None = None,
        timeout_s: float = 300.0,
    ) -> None:
        self.address = address
        self.proxy_address = proxy_address
        self.name = name
        self.owned = name is None
        self.workers = workers
        self.timeout_s = timeout_s
        self.general = {
            "threads_per_worker": threads_per_worker,
            "memory_limit": memory_limit,
            "image": image,
            "environment": dict(environment) if environment else None,
        }
        self.options = dict(options or {})
        self._gateway: Any = None
        self._client: Any = None

    def start(self) -> Any:
        """Ask the server for a cluster, or join one; return a client that is the active one.

        Raises
        ------
        RequestError
            If the server has no such option or refuses its value.
        ClusterError
            If it does not answer, refuses the user, or the cluster does not start.
        """
        if self._client is not None:
            return self._client
        try:
            self._gateway = self._connect()
            self.cluster = self._cluster(self._gateway)
            self._client = self.cluster.get_client()
            if self.workers is not None:
                self.cluster.scale(self.workers)
        except BaseException as error:
            self.close()
            if isinstance(error, _EXPECTED):
                raise self._explained(error) from error
            raise
        return self._client

    def close(self) -> None:
        """Disconnect, and shut the cluster down if it was asked for here."""
        client, self._client = self._client, None
        cluster, self.cluster = self.cluster, None
        gateway, self._gateway = self._gateway, None
        if client is not None:
            client.close()
        if cluster is not None:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                with suppress(*_EXPECTED):
                    cluster.close(shutdown=self.name is None)
            _forget(cluster.gateway)
        if gateway is not None:
            gateway.close()
            _forget(gateway)

    def attachment(self) -> tuple[str, dict[str, Any]]:
        """Return how another process of the same user joins the cluster."""
        self.start()
        found = {"address": self.address, "proxy_address": self.proxy_address}
        options = {key: value for key, value in found.items() if value is not None}
        return "gateway", options | {"name": self.cluster.name}

    def problem(self) -> str:
        """Return what the server says of the cluster, as far as it is not well."""
        if self._gateway is None or self.cluster is None:
            return ""
        try:
            report = self._gateway.get_cluster(self.cluster.name)
        except _EXPECTED as error:
            return f"the gateway says: {_text(error)}"
        return (
            f"the gateway calls the cluster {report.status.name.lower()} and has no worker for it"
        )

    def _connect(self) -> Any:
        try:
            return Gateway(address=self.address, proxy_address=self.proxy_address)
        except ValueError as error:  # no address anywhere, or an authentication without its token
            raise RequestError(
                f"no dask-gateway: {_text(error)}",
                hint="give address=, or set gateway.address in Dask's configuration",
            ) from error

    def _cluster(self, gateway: Any) -> Any:
        if self.name is not None:
            self._await_running(gateway, self.name)
            return gateway.connect(self.name)
        options = gateway.cluster_options()
        for key, value in mapped(self.general, self.options, dict(options)).items():
            try:
                options[key] = value
            except (TypeError, ValueError) as error:
                raise RequestError(
                    f"the gateway's option {key!r} is not {value!r}: {_text(error)}",
                    hint="correct it in the cluster's options or in the request's resources",
                ) from None
        name = gateway.submit(options)
        try:
            self._await_running(gateway, name)
        except BaseException:
            with suppress(*_EXPECTED):
                gateway.stop_cluster(name)
            raise
        return gateway.connect(name, shutdown_on_close=True)

    def _await_running(self, gateway: Any, name: str) -> None:
        deadline = time.monotonic() + self.timeout_s
        while True:
            status = gateway.get_cluster(name).status.name
            if status == "RUNNING":
                return
            if status not in _COMING:
                raise ClusterError(
                    f"the gateway's cluster {name} is {status.lower()}",
                    hint="its operator finds the reason in the gateway's log",
                    cluster=name,
                )
            if time.monotonic() > deadline:
                raise ClusterError(
                    f"the gateway's cluster {name} is {status.lower()} "
                    f"after {self.timeout_s:g} s, and not running",
                    hint="it waits for room: ask for less, or wait longer (timeout_s)",
                    cluster=name,
                )
            time.sleep(_POLL_S)

    def _explained(self, error: BaseException) -> Exception:
        where = self.address or dask.config.get("gateway.address", None)
        text = _text(error)
        status = getattr(error, "status", 0)
        if status in {401, 403}:
            return ClusterError(
                f"the gateway at {where} does not let this user in ({status})",
                hint="set gateway.auth in Dask's configuration, or DASK_GATEWAY__AUTH__TYPE "
                "and DASK_GATEWAY__AUTH__KWARGS__... in the environment",
                address=where,
            )
        if isinstance(error, ValueError):  # what the server refuses
            return RequestError(
                f"the gateway refuses: {text}", hint="see its options", gateway=where
            )
        return ClusterError(
            f"no cluster of the gateway at {where}: {text}",
            hint="see whether it runs and can be reached from here",
            address=where,
        )


def mapped(
    general: Mapping[str, Any], own: Mapping[str, Any], offered: Mapping[str, Any]
) -> dict[str, Any]:
    """Return options of a server for what is asked for in general terms and by its names.

    `offered` are the server's options with their defaults. Memory is given as
    the default of its option is: in GiB where that is a number, else as text.

    Raises
    ------
    RequestError
        If the server has no option for something.

    Examples
    --------
    >>> mapped({"memory_limit": "4GiB"}, {}, {"worker_memory": 1.0})
    {'worker_memory': 4.0}
    """
    found: dict[str, Any] = {}
    for wish, value in general.items():
        if value is None:
            continue
        name = next((name for name in _NAMES[wish] if name in offered), None)
        if name is None:
            raise _unknown(wish, offered)
        found[name] = _memory(value, offered[name]) if wish == "memory_limit" else value
    for name, value in own.items():
        if name not in offered:
            raise _unknown(name, offered)
        found[name] = value
    return found


def _memory(value: str | int, default: Any) -> Any:
    if isinstance(default, str):
        return str(value)
    number = parse_bytes(value) / _GIB
    return math.ceil(number) if isinstance(default, int) else number


def _unknown(name: str, offered: Mapping[str, Any]) -> RequestError:
    has = f"it has {', '.join(sorted(offered))}" if offered else "it has no options at all"
    return RequestError(
        f"this gateway lets nobody choose {name!r}", hint=close_names(name, offered) or has
    )


def _forget(gateway: Any) -> None:
    """Keep a closed gateway from being closed again as it is collected, which fails.

    Its ``__del__`` asks for an event loop that is gone by then (dask-gateway 2026.3).
    """
    with suppress(AttributeError):
        del gateway._loop_runner  # noqa: SLF001 - there is no public way


def _text(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
