"""Who looks at a page, forms that are this service's own, and errors as pages."""

from __future__ import annotations

import logging
import uuid
from typing import TYPE_CHECKING, Annotated, Any, Final
from urllib.parse import quote

from fastapi import Depends, Form, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import RedirectResponse, Response
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from sxdask.core.errors import SxdaskError
from sxdask.service.auth.sessions import is_own_form, user_of
from sxdask.service.pages.render import page
from sxdask.service.rest.faults import ForbiddenError, UnknownUserError, status_of
from sxdask.service.rest.parts import Caller, parts_of

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine


_LOG: Final = logging.getLogger(__name__)


class SignInNeededError(Exception):
    """Nobody is signed in, and the page is somebody's."""


class WaitingError(Exception):
    """Who is signed in waits for approval."""


class ForeignFormError(Exception):
    """A form that was not made for this session."""


def visitor(request: Request) -> Caller:
    """Return who looks at the page, by the session.

    Raises
    ------
    SignInNeededError
        If nobody is signed in and the service asks who one is.
    WaitingError
        If the user was not let in yet.
    """
    parts = parts_of(request)
    found = Caller(None)
    if parts.policy.auth:
        user = user_of(request.session, parts.users)
        if user is None:
            raise SignInNeededError
        if user.pending:
            raise WaitingError
        found = Caller(user)
        request.state.user = user.id  # for the log
    request.state.caller = found
    return found


def own_form(request: Request, csrf: Annotated[str, Form(max_length=100)] = "") -> None:
    """Refuse a form that another site made, or an old session.

    Raises
    ------
    ForeignFormError
        If the form's token is not the session's.
    """
    if not is_own_form(request.session, csrf):
        raise ForeignFormError


VisitorOf = Annotated[Caller, Depends(visitor)]
OwnForm = Depends(own_form)


class PageRoute(APIRoute):
    """A route whose errors are pages, or a way to the sign-in page."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the handler, with errors turned into pages."""
        handler = super().get_route_handler()

        async def handle(request: Request) -> Response:
            try:
                return await handler(request)
            except SignInNeededError:
                return _to_sign_in(request)
            except (
                *(WaitingError, ForeignFormError, ForbiddenError, UnknownUserError, SxdaskError),
                *(RequestValidationError, HTTPException),
            ) as error:
                return _error_page(request, error)
            except Exception as error:  # noqa: BLE001  a reader gets a page, the log all of it
                return _defect(request, error)

        return handle


def is_local_path(path: str) -> bool:
    """Tell whether `path` leads to a page of this service, as browsers read it."""
    return path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable()


def printable(text: str) -> str:
    """Return `text` of a form without what cannot be shown; a database keeps no NUL."""
    return "".join(character for character in text if character.isprintable()).strip()


def _to_sign_in(request: Request) -> Response:
    if request.method != "GET":
        return RedirectResponse("/sign-in", 303)
    if "application/json" in request.headers.get("accept", ""):
        return Response(status_code=401)
    query = f"?{request.url.query}" if request.url.query else ""
    return RedirectResponse(f"/sign-in?next={quote(request.url.path + query, safe='')}", 303)


def _defect(request: Request, error: Exception) -> Response:
    number = uuid.uuid4().hex[:8]
    _LOG.error("defect %s of a page: %s", number, request.url.path, exc_info=error)
    hint = f"It is a defect of the service; its log has it as {number}."
    return page(request, "error.html", code=500, title="This page cannot be shown", hint=hint)


def _error_page(request: Request, error: Exception) -> Response:
    status, title, hint = _described(error)
    request.state.refused = title  # for the log
    return page(request, "error.html", code=status, title=title, hint=hint)


def _described(error: Exception) -> tuple[int, str, str]:
    match error:
        case WaitingError():
            hint = "An administrator lets new users in. Look again later."
            return 403, "You are signed in and wait for approval", hint
        case ForeignFormError():
            hint = "Go back, load the page again and repeat it. Nothing was changed."
            return 403, "This form is too old", hint
        case ForbiddenError() | UnknownUserError():
            return 403, str(error).capitalize(), "Its owner or an administrator may see it."
        case SxdaskError():
            return status_of(error), error.problem, error.hint or ""
        case RequestValidationError():
            status = 404 if error.errors()[0]["loc"][0] == "path" else 400
            return status, "The address of this page is not right", "Go on from the list."
        case HTTPException():
            return error.status_code, str(error.detail), ""
    raise error
