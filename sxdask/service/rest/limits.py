"""Bodies are bounded, and replies say what browsers may do with them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from starlette.requests import ClientDisconnect

from sxdask.service.rest.faults import reply
from sxdask.service.rest.wire import MAX_SELECTION

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

    Scope = MutableMapping[str, Any]
    App = Callable[[Scope, Any, Any], Awaitable[None]]

MAX_BODY: Final = 4 * MAX_SELECTION
"""JSON may escape each character of a selection; lists of files are shorter."""

_HEADERS: Final = [
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
    (
        b"content-security-policy",
        b"default-src 'self'; img-src 'self' data:; frame-ancestors 'none'; form-action 'self'",
    ),
]


class Limits:
    """Refuse bodies that are too large, while they come; add headers to replies."""

    def __init__(self, app: App) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        """Pass the request on, if it is small enough."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        declared = dict(scope["headers"]).get(b"content-length", b"0")
        if not declared.isdigit() or int(declared) > MAX_BODY:
            answer = reply(413, f"the body is larger than {MAX_BODY} bytes")
            await answer(scope, receive, send)
            return
        seen = 0

        async def bounded() -> Any:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > MAX_BODY:
                raise ClientDisconnect
            return message

        async def with_headers(message: Any) -> None:
            if message["type"] == "http.response.start":
                own = {name for name, _ in message["headers"]}
                added = [item for item in _HEADERS if item[0] not in own]
                message = {**message, "headers": [*message["headers"], *added]}
            await send(message)

        await self.app(scope, bounded, with_headers)
