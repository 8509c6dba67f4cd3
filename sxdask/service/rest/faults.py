"""Errors as replies: a status code and one readable message, never a traceback."""

from __future__ import annotations

import logging
import uuid
from typing import TYPE_CHECKING, Final

from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from sxdask.core.errors import AccessDeniedError, FileMissingError, SxdaskError, SystemFaultError

if TYPE_CHECKING:
    from fastapi import FastAPI, Request

_LOG: Final = logging.getLogger(__name__)


class UnknownUserError(Exception):
    """Nobody who may: status 401."""


class ForbiddenError(Exception):
    """Somebody who may not: status 403."""


def reply(status: int, message: str, *, code: str = "") -> JSONResponse:
    """Return a reply that ServiceX's client can read: JSON with a message."""
    content = {"message": message} | ({"code": code} if code else {})
    return JSONResponse(content, status)


def status_of(error: SxdaskError) -> int:
    """Return the status code of one of our errors."""
    if isinstance(error, FileMissingError):
        return 404
    if isinstance(error, AccessDeniedError):
        return 403
    return 503 if isinstance(error, SystemFaultError) else 400


def add_handlers(app: FastAPI) -> None:
    """Let `app` answer errors so."""

    @app.exception_handler(UnknownUserError)
    def _unknown(request: Request, error: Exception) -> JSONResponse:
        del request
        answer = reply(401, str(error))
        answer.headers["WWW-Authenticate"] = "Bearer"
        return answer

    @app.exception_handler(ForbiddenError)
    def _forbidden(request: Request, error: Exception) -> JSONResponse:
        del request
        return reply(403, str(error))

    @app.exception_handler(SxdaskError)
    def _ours(request: Request, error: Exception) -> JSONResponse:
        del request
        assert isinstance(error, SxdaskError)  # noqa: S101  that is what is handled here
        text = error.problem + (f" (hint: {error.hint})" if error.hint else "")
        return reply(status_of(error), text, code=error.code)

    @app.exception_handler(RequestValidationError)
    def _malformed(request: Request, error: Exception) -> JSONResponse:
        del request
        assert isinstance(error, RequestValidationError)  # noqa: S101
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"] if part not in {"body", "query"})
        return reply(400, f"{where or 'the request'}: {first['msg']}", code="SX100")

    @app.exception_handler(HTTPException)
    def _http(request: Request, error: Exception) -> JSONResponse:
        del request
        assert isinstance(error, HTTPException)  # noqa: S101
        return reply(error.status_code, str(error.detail))

    @app.exception_handler(Exception)
    def _defect(request: Request, error: Exception) -> JSONResponse:
        number = uuid.uuid4().hex[:8]
        _LOG.error("defect %s in %s %s", number, request.method, request.url.path, exc_info=error)
        return reply(500, f"a defect in the service; its log has it as {number}")
