"""Whether the process answers, and whether it can work: for Kubernetes and for operators."""

from __future__ import annotations

import logging
import time
from threading import Lock, Thread
from typing import TYPE_CHECKING, Final

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from sxdask.service.rest import replies

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ROUTER: Final = APIRouter(tags=["service"])
_LOG: Final = logging.getLogger(__name__)
_CHECK_SECONDS: Final = 3.0
_GOOD_FOR: Final = 1.0


@ROUTER.get("/healthz", summary="Whether the process answers", response_model=replies.Health)
async def show_health() -> JSONResponse:
    """Say that the process answers; nothing else is asked."""
    return JSONResponse({"status": "ok", "parts": {}})


@ROUTER.get(
    "/readyz",
    summary="Whether all parts work",
    response_model=replies.Health,
    responses={503: {"model": replies.Health, "description": "A part does not work"}},
)
def show_readiness(request: Request) -> JSONResponse:
    """Ask every part whether it works. Why one does not is in the log, not in the reply."""
    readiness: Readiness = request.app.state.readiness
    found = readiness.state()
    good = all(found.values())
    words = {name: "ok" if works else "failed" for name, works in found.items()}
    content = {"status": "ok" if good else "failed", "parts": words}
    return JSONResponse(content, 200 if good else 503)


class Readiness:
    """Asks parts at once, each for a bounded time, and remembers the answer for a second.

    A part that hangs is not asked again before it has answered.
    """

    def __init__(
        self, checks: Mapping[str, Callable[[], object]], seconds: float = _CHECK_SECONDS
    ) -> None:
        self._checks = checks
        self._seconds = seconds
        self._lock = Lock()
        self._asked: dict[str, _Asked] = {}
        self._until = 0.0
        self._found: dict[str, bool] = {}

    def state(self) -> dict[str, bool]:
        """Return for each part whether it works."""
        with self._lock:
            if time.monotonic() < self._until:
                return self._found
            end = time.monotonic() + self._seconds
            for name, check in self._checks.items():
                if name not in self._asked:
                    self._asked[name] = _Asked(name, check)
            self._found = {name: self._works(name, end) for name in self._checks}
            self._until = time.monotonic() + _GOOD_FOR
            return self._found

    def _works(self, name: str, end: float) -> bool:
        asked = self._asked[name]
        asked.thread.join(max(0.0, end - time.monotonic()))
        if asked.thread.is_alive():
            _LOG.warning("%s has not answered for %g s", name, self._seconds)
            return False
        del self._asked[name]
        if asked.error is not None:
            _LOG.warning("%s does not work: %s", name, asked.error)
        return asked.error is None


class _Asked:
    """One question to a part; its thread does not keep the process alive."""

    def __init__(self, name: str, check: Callable[[], object]) -> None:
        self.error: Exception | None = None
        self._check = check
        self.thread = Thread(target=self._run, name=f"sxdask-ready-{name}", daemon=True)
        self.thread.start()

    def _run(self) -> None:
        try:
            self._check()
        except Exception as error:  # noqa: BLE001  each part has exceptions of its own
            self.error = error
