"""Errors as replies: a status code and one readable message, never a traceback."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from sxdask.core.errors import FileMissingError, SxdaskError, SystemFaultError
from sxdask.service.logs.redaction import Redaction

if TYPE_CHECKING:
    from fastapi import FastAPI, Request

_LOG: Final = logging.getLogger(__name__)
_TOLD: Final = Redaction()


class UnknownUserError(Exception):
    """Nobody who may: status 401."""


class ForbiddenError(Exception):
    """Somebody who may not: status 403."""


class TooManyError(Exception):
    """Somebody who has to wait: status 429."""

    def __init__(self, message: str, seconds: int) -> None:
        super().__init__(message)
        self.seconds = seconds


def reply(
    status: int, message: str, *, code: str = "", headers: dict[str, str] | None = None
) -> JSONResponse:
    """Return a reply that ServiceX's client can read: JSON with a message."""
    content = {"message": message} | ({"code": code} if code else {})
    return JSONResponse(content, status, headers)


def status_of(error: SxdaskError) -> int:
    """Return the status code of one of our errors."""
    if isinstance(error, FileMissingError):
        return 404
    return 503 if isinstance(error, SystemFaultError) else 400


def one_line(error: SxdaskError) -> str:
    r"""Return the problem and the hint of an error in one line.

    The place in a selection, which is a line with a caret under it elsewhere,
    becomes a column.

    Examples
    --------
    >>> one_line(SxdaskError("no such thing\na > b\n  ^", hint="write c"))
    "no such thing, at column 3 of 'a > b' (hint: write c)"
    """
    problem, *place = error.problem.split("\n")
    if len(place) == 2 and place[1].strip() == "^":
        problem += f", at column {place[1].index('^') + 1} of {place[0].strip()!r}"
    elif place:
        problem = " ".join((problem, *place))
    return _TOLD(problem + (f" (hint: {error.hint})" if error.hint else ""))


def _answer(request: Request, status: int, message: str, **more: Any) -> JSONResponse:
    request.state.refused = message  # for the log
    return reply(status, message, **more)


def add_handlers(app: FastAPI) -> None:
    """Let `app` answer errors so."""

    @app.exception_handler(UnknownUserError)
    async def _unknown(request: Request, error: Exception) -> JSONResponse:
        return _answer(request, 401, str(error), headers={"WWW-Authenticate": "Bearer"})

    @app.exception_handler(ForbiddenError)
    async def _forbidden(request: Request, error: Exception) -> JSONResponse:
        return _answer(request, 403, str(error))

    @app.exception_handler(TooManyError)
    async def _too_many(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, TooManyError)  # noqa: S101  that is what is handled here
        return _answer(request, 429, str(error), headers={"Retry-After": str(error.seconds)})

    @app.exception_handler(SxdaskError)
    async def _ours(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, SxdaskError)  # noqa: S101
        status = status_of(error)
        if status == 503:
            _LOG.warning("a part does not answer: %s", one_line(error), extra={"code": error.code})
        return _answer(request, status, one_line(error), code=error.code)

    @app.exception_handler(RequestValidationError)
    async def _malformed(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)  # noqa: S101
        first = error.errors()[0]
        place, *names = first["loc"]
        where = ".".join(str(part) for part in names)
        status = 404 if place == "path" else 400
        return _answer(request, status, f"{where or 'the request'}: {first['msg']}", code="SX100")

    @app.exception_handler(HTTPException)
    async def _http(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)  # noqa: S101
        headers = dict(error.headers or {})
        return _answer(request, error.status_code, str(error.detail), headers=headers)
