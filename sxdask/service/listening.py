"""The socket and the web server of a service."""

from __future__ import annotations

import asyncio
import socket
import ssl
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import uvicorn

from sxdask.core.errors import RequestError, SystemFaultError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from threading import Event

    from sxdask.service.settings import ServiceSettings

_GRACE_S: Final = 5
"""How long requests that are being answered may take when the service ends."""
_BACKLOG: Final = 2048
# Longer than clients keep a connection (httpx: 5 s, as long as ServiceX's client waits between two
# questions): who closes while the other asks breaks the question off.
_KEEP_ALIVE_S: Final = 75


@contextmanager
def listening(host: str, port: int) -> Iterator[socket.socket]:
    """Give a socket that listens; port 0 takes a free one.

    Raises
    ------
    SystemFaultError
        If the address cannot be listened on.
    """
    bare = host.strip("[]")
    try:
        family = socket.AF_INET6 if ":" in bare else socket.AF_INET
        found = socket.create_server((bare, port), family=family, backlog=_BACKLOG)
        # Connections inherit it. asyncio leaves it out for a socket that was made before, and
        # a reply of two parts then waits 40 ms for the client to acknowledge the first.
        found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except OSError as error:
        raise SystemFaultError(
            f"cannot listen on {host}:{port}: {error.strerror or error}",
            hint="is another server there? --port 0 takes a free port",
        ) from error
    with found:
        yield found


class WebServer(uvicorn.Server):
    """Answers until `stop` is set; signals are its caller's."""

    def __init__(
        self, app: Any, settings: ServiceSettings, stop: Event, on_ready: Callable[[], None]
    ) -> None:
        try:
            config = uvicorn.Config(
                app,
                log_config=None,
                access_log=False,
                server_header=False,
                forwarded_allow_ips=settings.proxies,
                timeout_keep_alive=_KEEP_ALIVE_S,
                timeout_graceful_shutdown=_GRACE_S,
                ssl_certfile=settings.tls_cert,
                ssl_keyfile=settings.tls_key,
            )
            config.load()
        except (OSError, ssl.SSLError) as error:
            raise RequestError(
                f"the certificate or its key cannot be used: {error}",
                hint="check tls_cert and tls_key: PEM files that belong together",
            ) from error
        super().__init__(config)
        self._stop = stop
        self._on_ready = on_ready

    def answer(self, listener: socket.socket) -> None:
        """Answer requests that come to `listener`; return when all is over."""
        with asyncio.Runner() as runner:
            runner.run(self.serve([listener]))

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals alone."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then say so."""
        await super().startup(sockets)
        if self.started:
            self._on_ready()

    async def on_tick(self, counter: int) -> bool:
        """Tell whether to end."""
        return self._stop.is_set() or await super().on_tick(counter)
