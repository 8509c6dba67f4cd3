"""What a user does with a request: cancel it, try its failed files again, delete it."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import RedirectResponse

from sxdask.core.errors import RequestError
from sxdask.service.auth.sessions import say
from sxdask.service.pages.visitor import OwnForm, PageRoute, VisitorOf, is_local_path
from sxdask.service.rest.parts import PartsOf, transform_of
from sxdask.service.rest.transformations import cancel_one, forget, try_failed_again

ROUTER: Final = APIRouter(
    prefix="/transformation-request/{request_id}", route_class=PageRoute, include_in_schema=False
)


@ROUTER.post("/cancel", dependencies=[OwnForm])
def cancel(
    request: Request,
    request_id: str,
    parts: PartsOf,
    who: VisitorOf,
    back: Annotated[str, Form(max_length=2_000)] = "",
) -> Response:
    """End a request that runs."""
    transform_of(parts, who, request_id)
    try:
        cancel_one(parts, request_id)
    except RequestError as error:  # it ended while the page was read
        say(request.session, f"Nothing to cancel: {error.problem}", good=False)
    else:
        say(request.session, "The request is canceled. Files that were done are kept.")
    return _back(request_id, back)


@ROUTER.post("/resubmit-failed", dependencies=[OwnForm])
def resubmit_failed(request: Request, request_id: str, parts: PartsOf, who: VisitorOf) -> Response:
    """Try the files that failed again."""
    transform_of(parts, who, request_id)
    try:
        count = try_failed_again(parts, request_id)
    except RequestError as error:
        say(request.session, error.problem.capitalize(), good=False)
    else:
        say(request.session, f"{count} files are tried again.")
    return _back(request_id)


@ROUTER.post("/delete", dependencies=[OwnForm])
def delete(request: Request, request_id: str, parts: PartsOf, who: VisitorOf) -> Response:
    """Forget a request that has ended, and remove its results."""
    found = transform_of(parts, who, request_id)
    if not found.state.status.is_final:
        say(request.session, "A request that runs is not deleted: cancel it first.", good=False)
        return _back(request_id)
    forget(parts, found)
    say(request.session, "The request and its results are deleted.")
    return RedirectResponse("/dashboard", 303)


def _back(request_id: str, path: str = "") -> RedirectResponse:
    own = f"/transformation-request/{request_id}"
    return RedirectResponse(path if is_local_path(path) else own, 303)
