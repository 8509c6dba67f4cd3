"""A server from its first to its last moment: where it may listen, and how it ends."""

from __future__ import annotations

import socket
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pyarrow import lib

from sxdask.core.errors import RequestError, SystemFaultError
from sxdask.service.addresses import is_loopback
from sxdask.service.flight.server import FlightServer, Parts

if TYPE_CHECKING:
    from collections.abc import Iterator

GRACE_S: Final = 3.0
"""How long streams get to end when the server does; a client that reads nothing gets no more."""


@dataclass
class Running:
    """A server that answers at `url`; `has_ended` once all its calls are over."""

    url: str
    port: int
    has_ended: bool = False


def require_safe(host: str, parts: Parts, *, insecure: bool) -> None:
    """Refuse to be reached from elsewhere without a token and encryption.

    Raises
    ------
    RequestError
        Unless `insecure` says that this is meant.
    """
    if insecure or is_loopback(host):
        return
    missing = [
        name
        for name, has in (("a token", len(parts.tokens) > 0), ("TLS", parts.tls is not None))
        if not has
    ]
    if missing:
        raise RequestError(
            f"{host!r} lets other machines in, without {' and without '.join(missing)}",
            hint="give --token-file, --tls-cert and --tls-key; or say --insecure if it is meant",
        )


@contextmanager
def flight_service(host: str, port: int, parts: Parts) -> Iterator[Running]:
    """Listen while the context lasts; port 0 takes a free one.

    Raises
    ------
    SystemFaultError
        If the address cannot be listened on.
    """
    scheme = "grpc+tls" if parts.tls else "grpc"
    name = f"[{host.strip('[]')}]" if ":" in host else host
    try:
        _require_free(host.strip("[]"), port)
        server = FlightServer(f"{scheme}://{name}:{port}", parts)
    except (OSError, ValueError, lib.ArrowException) as error:
        raise SystemFaultError(
            f"cannot listen on {name}:{port}",
            hint="is another server there? --port 0 takes a free port; "
            "with TLS, see that certificate and key belong together",
        ) from error
    running = Running(f"{scheme}://{name}:{server.port}", server.port)
    try:
        yield running
    finally:
        server.end_streams()
        # Waits for the calls that are under way, and for ever if a client does not read.
        ending = threading.Thread(target=server.shutdown, name="sxdask-flight-end", daemon=True)
        ending.start()
        ending.join(GRACE_S)
        running.has_ended = not ending.is_alive()


def _require_free(host: str, port: int) -> None:
    """Fail if a server has this port already.

    gRPC would share it with another one of the same user, and each client
    would get to either.
    """
    if port:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.socket(family) as probe:
            # What was closed just now does not count as taken.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
