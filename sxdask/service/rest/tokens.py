"""Routes of tokens and users."""

from __future__ import annotations

from typing import Any, Final

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

from sxdask.core.errors import FileMissingError
from sxdask.service.auth.tokens import ACCESS_SECONDS, TokenRefusedError
from sxdask.service.rest.faults import UnknownUserError
from sxdask.service.rest.parts import CallerOf, PartsOf, bearer

ROUTER: Final = APIRouter(tags=["users"])


class Acceptance(BaseModel):
    """Whose waiting ends."""

    email: str = Field(max_length=320)


@ROUTER.post("/token/refresh")
def refresh(request: Request, parts: PartsOf) -> dict[str, Any]:
    """Return a new access token for a refresh token.

    Without authentication any token gets one, because clients that have a
    token cannot read any other answer.
    """
    if not parts.policy.auth:
        return {"access_token": parts.tokens.access(0, ACCESS_SECONDS), "auth_disabled": True}
    try:
        claims = parts.tokens.read(bearer(request) or "", "refresh")
    except TokenRefusedError as error:
        raise UnknownUserError("Invalid or outdated refresh token") from error
    user = parts.users.get(claims.user_id)
    if user is None or user.token_id != claims.token_id:
        raise UnknownUserError("Invalid or outdated refresh token")
    return {"access_token": parts.tokens.access(user.id, ACCESS_SECONDS)}


@ROUTER.get("/users")
def list_users(parts: PartsOf, who: CallerOf) -> dict[str, list[dict[str, Any]]]:
    """Return all users."""
    who.require_admin()
    return {"users": [_public(user) for user in parts.users.all()]}


@ROUTER.delete("/users/{user_id}")
def delete_user(user_id: int, parts: PartsOf, who: CallerOf) -> dict[str, str]:
    """Remove a user."""
    who.require_admin()
    if not parts.users.remove(user_id):
        raise FileMissingError(f"User with id {user_id} not found.")
    return {"message": f"User {user_id} has been deleted."}


@ROUTER.get("/pending")
def list_pending(parts: PartsOf, who: CallerOf) -> dict[str, list[dict[str, Any]]]:
    """Return the users that wait for approval."""
    who.require_admin()
    return {"users": [_public(user) for user in parts.users.all(pending=True)]}


@ROUTER.post("/accept")
def accept(body: Acceptance, parts: PartsOf, who: CallerOf) -> dict[str, str]:
    """Let a user in."""
    who.require_admin()
    user = parts.users.by_email(body.email)
    if user is None:
        raise FileMissingError("There is no user with this address.")
    parts.users.approve(user.id)
    return {"message": f"User {user.id} has been approved."}


def _public(user: Any) -> dict[str, Any]:
    names = ("email", "id", "admin", "pending", "name", "institution", "experiment")
    return {name: getattr(user, name) for name in names}
