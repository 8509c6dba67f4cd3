"""A line of log for each request, and its time: who asked what, and how it ended.

What clients ask every few seconds, and is answered, is a line at the level DEBUG alone.

The line holds the pattern of the route and not the path, no query and no
header, so that it has no secret and no text that somebody chose; what is in the
path of a transform (its id) is a fact of its own. Outermost of all, so that
requests that are refused early are written as well.
"""

from __future__ import annotations

import logging
import re
import time
import uuid
from typing import TYPE_CHECKING, Any, Final

from sxdask.service.logs.lines import facts
from sxdask.service.rest.faults import reply

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

    Scope = MutableMapping[str, Any]
    App = Callable[[Scope, Any, Any], Awaitable[None]]
    Seen = Callable[[str, str, int, float], None]

_LOG: Final = logging.getLogger("sxdask.service.requests")
_ID: Final = re.compile(r"[A-Za-z0-9-]{8,64}")
_METHODS: Final = frozenset({"GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH"})
# What machines ask for again and again, and pages that are open: lines only where it goes wrong.
_QUIET: Final = frozenset(
    {
        *("/servicex/transformation/{request_id}", "/servicex/transformation/{request_id}/results"),
        *("/healthz", "/readyz", "/metrics", "/static/{name}"),
        *("/dashboard/live", "/transformation-request/{request_id}/live"),
    }
)


class Trail:
    """Log each request; tell `seen` its method, route, status and seconds."""

    def __init__(self, app: App, seen: Seen) -> None:
        self.app = app
        self._seen = seen

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        """Pass the request on, and say how it ended."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        number = _number(scope)
        scope.setdefault("state", {})
        begin, status = time.perf_counter(), 0

        async def noting(message: Any) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                own = (b"x-request-id", number.encode())
                message = {**message, "headers": [*message["headers"], own]}
            await send(message)

        with facts(request=number):
            try:
                await self.app(scope, receive, noting)
            except Exception:  # noqa: BLE001  further out a server would log all that it holds
                _LOG.exception("a defect of the service", extra={"defect": number})
                if not status:
                    problem = f"a defect in the service; its log has it as {number}"
                    await reply(500, problem)(scope, receive, noting)
            finally:
                self._write(scope, status or 499, time.perf_counter() - begin)

    def _write(self, scope: Scope, status: int, seconds: float) -> None:
        route = str(getattr(scope.get("route"), "path", "")) or "other"
        method = scope["method"] if scope["method"] in _METHODS else "other"
        self._seen(method, route, status, seconds)
        level = logging.INFO
        if status >= 500:
            level = logging.ERROR
        elif status >= 400:
            level = logging.WARNING
        elif method in {"GET", "HEAD"} and route in _QUIET:
            level = logging.DEBUG
        if not _LOG.isEnabledFor(level):
            return
        state = scope["state"]
        told: dict[str, Any] = {
            "method": method,
            "route": route,
            "status": status,
            "seconds": round(seconds, 4),
            "client": (scope.get("client") or ("",))[0],
        }
        transform = scope.get("path_params", {}).get("request_id")
        for name, value in (
            ("about", transform),
            ("user", state.get("user")),
            ("refused", state.get("refused")),
        ):
            if value is not None:
                told[name] = str(value)[:400] if isinstance(value, str) else value
        _LOG.log(level, "%s %s %d", method, route, status, extra=told)


def _number(scope: Scope) -> str:
    """Return the id of a request: the client's if it is one, else a new one."""
    for name, value in scope["headers"]:
        if name == b"x-request-id":
            text = str(value, "latin-1")
            if _ID.fullmatch(text):
                return text
    return uuid.uuid4().hex
