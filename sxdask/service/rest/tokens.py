"""Routes of tokens and users."""

from __future__ import annotations

import logging
from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Request
from fastapi.responses import JSONResponse

from sxdask.core.errors import FileMissingError
from sxdask.service.auth.tokens import ACCESS_SECONDS
from sxdask.service.rest import replies, wire
from sxdask.service.rest.faults import UnknownUserError
from sxdask.service.rest.parts import CallerOf, PartsOf, RefreshToken, claims_of
from sxdask.service.rest.replies import problems

ROUTER: Final = APIRouter(tags=["users"])
_LOG: Final = logging.getLogger(__name__)


@ROUTER.post(
    "/token/refresh",
    summary="An access token for a refresh token",
    response_model=replies.AccessToken,
    responses=problems(401, 429, 503),
)
def refresh(request: Request, parts: PartsOf, token: RefreshToken = None) -> JSONResponse:
    """Return a new access token for a refresh token.

    Without authentication any token gets one, because clients that have a
    token cannot read any other answer.
    """
    if not parts.policy.auth:
        made = parts.tokens.access(0, ACCESS_SECONDS)
        return JSONResponse({"access_token": made, "auth_disabled": True})
    claims = claims_of(request, parts, token, "refresh")
    user = parts.users.get(claims.user_id)
    if user is None or not claims.is_of(user.token_id):
        raise UnknownUserError("Invalid or outdated refresh token")
    if token is not None:
        parts.attempts.succeeded(token.credentials)
    made = parts.tokens.access(user.id, ACCESS_SECONDS, parent=user.token_id)
    parts.attempts.succeeded(made)
    return JSONResponse({"access_token": made})


@ROUTER.get(
    "/users",
    summary="List users",
    response_model=replies.UserList,
    responses=problems(401, 429, 503),
)
def list_users(parts: PartsOf, who: CallerOf) -> JSONResponse:
    """Return all users. For administrators."""
    who.require_admin()
    return JSONResponse({"users": [_public(user) for user in parts.users.all()]})


@ROUTER.delete(
    "/users/{user_id}",
    summary="Remove a user",
    response_model=replies.Message,
    responses=problems(401, 404, 429, 503),
)
def delete_user(
    user_id: Annotated[int, Path(ge=0, le=wire.MAX_ID)], parts: PartsOf, who: CallerOf
) -> JSONResponse:
    """Remove a user, whose tokens end with it. For administrators."""
    who.require_admin()
    if not parts.users.remove(user_id):
        raise FileMissingError(f"User with id {user_id} not found.")
    _LOG.info("user removed", extra={"removed_user": user_id})
    return JSONResponse({"message": f"User {user_id} has been deleted."})


@ROUTER.get(
    "/pending",
    summary="List users that wait for approval",
    response_model=replies.UserList,
    responses=problems(401, 429, 503),
)
def list_pending(parts: PartsOf, who: CallerOf) -> JSONResponse:
    """Return the users that wait for approval. For administrators."""
    who.require_admin()
    return JSONResponse({"users": [_public(user) for user in parts.users.all(pending=True)]})


@ROUTER.delete(
    "/pending",
    summary="Remove all users that wait for approval",
    response_model=replies.Message,
    responses=problems(401, 429, 503),
)
def delete_pending(parts: PartsOf, who: CallerOf) -> JSONResponse:
    """Remove the users that wait for approval. For administrators."""
    who.require_admin()
    waiting = parts.users.all(pending=True)
    count = sum(parts.users.remove(user.id) for user in waiting)
    _LOG.info("%d users that waited removed", count)
    return JSONResponse({"message": f"{count} users have been deleted."})


@ROUTER.post(
    "/accept",
    summary="Let a user in",
    response_model=replies.Message,
    responses=problems(400, 401, 404, 429, 503),
)
def accept(body: wire.Acceptance, parts: PartsOf, who: CallerOf) -> JSONResponse:
    """Let the user with an address in. For administrators."""
    who.require_admin()
    user = parts.users.by_email(body.email)
    if user is None:
        raise FileMissingError("There is no user with this address.")
    parts.users.approve(user.id)
    _LOG.info("user approved", extra={"approved_user": user.id})
    return JSONResponse({"message": f"User {user.id} has been approved."})


def _public(user: Any) -> dict[str, Any]:
    names = ("email", "id", "admin", "pending", "name", "institution", "experiment")
    return {name: getattr(user, name) for name in names}
