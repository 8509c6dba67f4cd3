"""What requests may be: their size, their pace, who calls; and what browsers do with replies."""

from __future__ import annotations

import asyncio
import re
import time
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from starlette.exceptions import HTTPException

from sxdask.service.auth.tokens import TokenRefusedError
from sxdask.service.rest.faults import reply
from sxdask.service.rest.wire import MAX_SELECTION

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

    from sxdask.service.rest.parts import Parts

    Scope = MutableMapping[str, Any]
    App = Callable[[Scope, Any, Any], Awaitable[None]]

MAX_BODY: Final = 4 * MAX_SELECTION
"""JSON may escape each character of a selection; lists of files are shorter."""

MAX_UNKNOWN_BODY: Final = 64 * 1024
"""For who has no good token: bodies are read before anybody asks who sent them."""

BODY_SECONDS: Final = 60.0
"""In which a body has to come; a thousand slow ones would hold as many connections."""

_ASKED_BY_CLIENTS: Final = "/servicex"
"""Paths whose answers a client waits for; pages have streams that stay open."""

_API: Final = re.compile(r"/(servicex|token|users|pending|accept)\b")
_HEADERS: Final = [
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
    (
        b"content-security-policy",
        (
            b"default-src 'self'; img-src 'self' data:; base-uri 'none'; "
            b"frame-ancestors 'none'; form-action 'self'"
        ),
    ),
]


class Limits:
    """Refuse bodies that are too large or too slow, while they come; add headers to replies."""

    def __init__(self, app: App, parts: Parts, seconds: float = BODY_SECONDS) -> None:
        self.app = app
        self._parts = parts
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        """Pass the request on, if it is small enough."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        most = self._most(headers)
        answering = _with_headers(send)
        declared = headers.get(b"content-length", b"0")
        if not declared.isdigit() or len(declared) > 15 or int(declared) > most:
            await reply(413, f"the body is larger than {most} bytes")(scope, receive, answering)
            return
        seen, end, is_whole = 0, 0.0, False

        async def bounded() -> Any:
            nonlocal seen, end, is_whole
            if is_whole:  # what comes now says that the client has gone
                return await receive()
            end = end or time.monotonic() + self._seconds
            try:
                message = await asyncio.wait_for(receive(), max(0.0, end - time.monotonic()))
            except TimeoutError:
                raise HTTPException(408, "the body came too slowly") from None
            seen += len(message.get("body", b""))
            if seen > most:
                raise HTTPException(413, f"the body is larger than {most} bytes")
            is_whole = not message.get("more_body", False)
            return message

        urgent = scope["path"].startswith(_ASKED_BY_CLIENTS)
        with self._parts.precedence.answering() if urgent else nullcontext():
            await self.app(scope, bounded, answering)

    def _most(self, headers: dict[bytes, bytes]) -> int:
        """Return how large a body may be; no database is asked."""
        if not self._parts.policy.auth:
            return MAX_BODY
        _, _, token = headers.get(b"authorization", b"").decode("latin-1").partition(" ")
        try:
            self._parts.tokens.read(token.strip(), "access")
        except TokenRefusedError:
            return MAX_UNKNOWN_BODY
        return MAX_BODY


class OwnSite:
    """Refuse calls that another web site makes a browser send, and foreign names of this service.

    A service without authentication on this machine trusts whoever reaches it,
    and a browser reaches it for any page that it shows. Programs send none of
    these headers and are not concerned.
    """

    def __init__(self, app: App, parts: Parts) -> None:
        self.app = app
        self._names = parts.policy.host_names
        self._public = urlsplit(parts.policy.public_url).netloc.lower()

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        """Pass the request on, if it is one of a program or of our own pages."""
        if scope["type"] == "http":
            headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
            host = headers.get(b"host", "").lower()
            if self._names and _name(host) not in self._names:
                await reply(421, "this service has another name")(scope, receive, send)
                return
            if _API.match(scope["path"]) and self._is_foreign(headers, host):
                await reply(403, "another site may not call this service")(scope, receive, send)
                return
        await self.app(scope, receive, send)

    def _is_foreign(self, headers: dict[bytes, str], host: str) -> bool:
        if headers.get(b"sec-fetch-site", "none") not in {"none", "same-origin"}:
            return True
        origin = headers.get(b"origin")
        if origin is None:
            return False
        site = urlsplit(origin).netloc.lower()
        return not site or site not in {host, self._public}


class OneSlash:
    """Take ``//servicex`` for ``/servicex``: an endpoint may be written with a slash at its end."""

    _SLASHES: Final = re.compile("/{2,}")

    def __init__(self, app: App) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        """Pass the request on."""
        if scope["type"] == "http" and "//" in scope["path"]:
            path = self._SLASHES.sub("/", scope["path"])
            scope["raw_path"] = re.sub(b"/{2,}", b"/", scope.get("raw_path") or path.encode())
            scope["path"] = path  # in place: the log looks at this scope afterwards
        await self.app(scope, receive, send)


def _with_headers(send: Any) -> Any:
    async def with_headers(message: Any) -> None:
        if message["type"] == "http.response.start":
            own = {name.lower() for name, _ in message["headers"]}
            added = [item for item in _HEADERS if item[0] not in own]
            message = {**message, "headers": [*message["headers"], *added]}
        await send(message)

    return with_headers


def _name(host: str) -> str:
    """Return a host without its port."""
    if host.startswith("["):
        return host.partition("]")[0].strip("[")
    return host.partition(":")[0]
