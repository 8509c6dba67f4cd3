"""The administrators' page of users: who waits, who is in."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Path, Request, Response
from fastapi.responses import RedirectResponse

from sxdask.core.errors import FileMissingError, RequestError
from sxdask.service.auth.sessions import say
from sxdask.service.pages.render import page
from sxdask.service.pages.visitor import OwnForm, PageRoute, VisitorOf
from sxdask.service.rest.parts import PartsOf

UserId = Annotated[int, Path(ge=1, lt=2**31)]

ROUTER: Final = APIRouter(prefix="/admin", route_class=PageRoute, include_in_schema=False)


@ROUTER.get("")
def show_users(request: Request, parts: PartsOf, who: VisitorOf) -> Response:
    """Show who waits for approval, and all other users."""
    who.require_admin()
    everybody = parts.users.all()
    return page(
        request,
        "users.html",
        waiting=[user for user in everybody if user.pending],
        members=[user for user in everybody if not user.pending],
    )


@ROUTER.post("/{user_id}/approve", dependencies=[OwnForm])
def approve(request: Request, user_id: UserId, parts: PartsOf, who: VisitorOf) -> Response:
    """Let a user in."""
    who.require_admin()
    user = parts.users.get(user_id)
    if user is None:
        raise FileMissingError(f"there is no user {user_id}")
    parts.users.approve(user_id)
    say(request.session, f"{user.name or user.email or user.subject} may use the service now.")
    return RedirectResponse("/admin", 303)


@ROUTER.post("/{user_id}/remove", dependencies=[OwnForm])
def remove(request: Request, user_id: UserId, parts: PartsOf, who: VisitorOf) -> Response:
    """Remove a user, and with her all sessions and tokens of hers."""
    who.require_admin()
    if user_id == who.user_id:
        raise RequestError("nobody removes herself", hint="ask another administrator")
    if not parts.users.remove(user_id):
        raise FileMissingError(f"there is no user {user_id}")
    say(request.session, "The user is removed. Her requests are kept.")
    return RedirectResponse("/admin", 303)
