"""What the routes are made of, and who is asking."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Final, cast

from fastapi import Depends, Request

from sxdask.core.errors import FileMissingError
from sxdask.service.auth.tokens import TokenRefusedError
from sxdask.service.rest.faults import ForbiddenError, UnknownUserError

if TYPE_CHECKING:
    from sxdask.service.auth.tokens import Tokens
    from sxdask.service.database.users import User, Users
    from sxdask.service.transforms.ports import Engine, ObjectStore, Transform, TransformStore

_UUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(frozen=True, slots=True)
class Policy:
    """What an operator decides. With `auth` off everybody may do everything."""

    auth: bool = False
    allow_python: bool = False
    default_scheme: str = "rucio"
    schemes: frozenset[str] = frozenset()
    max_files: int = 100_000
    url_seconds: int = 365 * 24 * 3600
    public_url: str = ""


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts that routes work with."""

    store: TransformStore
    users: Users
    engine: Engine
    objects: dict[str, ObjectStore]
    tokens: Tokens
    policy: Policy = field(default_factory=Policy)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who is asking. Without authentication there is no user, and all is allowed."""

    user: User | None

    @property
    def user_id(self) -> int | None:
        """The user's id."""
        return None if self.user is None else self.user.id

    @property
    def may_all(self) -> bool:
        """Whether the objects of others may be seen and changed."""
        return self.user is None or self.user.admin

    def require(self, owner: int | None) -> None:
        """Refuse who is neither the owner nor an administrator."""
        if not self.may_all and owner != self.user_id:
            raise ForbiddenError("this belongs to another user")

    def require_admin(self) -> None:
        """Refuse who is no administrator."""
        if not self.may_all:
            raise UnknownUserError("this needs an administrator")


def parts_of(request: Request) -> Parts:
    """Return the parts of the application that got `request`."""
    return cast("Parts", request.app.state.parts)


def bearer(request: Request) -> str | None:
    """Return the token in the headers."""
    kind, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if kind.lower() == "bearer" and token.strip() else None


def caller(request: Request) -> Caller:
    """Return who is asking, by the access token.

    Raises
    ------
    UnknownUserError
        Without a good token of a user who was let in.
    """
    parts = parts_of(request)
    if not parts.policy.auth:
        return Caller(None)
    token = bearer(request)
    if token is None:
        raise UnknownUserError("there is no access token; get one from your profile page")
    try:
        claims = parts.tokens.read(token, "access")
    except TokenRefusedError as error:
        raise UnknownUserError(str(error)) from error
    user = parts.users.get(claims.user_id)
    if user is None:
        raise UnknownUserError("the user of this token is gone")
    if user.pending:
        raise UnknownUserError("this user waits for approval")
    return Caller(user)


PartsOf = Annotated["Parts", Depends(parts_of)]
CallerOf = Annotated[Caller, Depends(caller)]


def transform_of(parts: Parts, who: Caller, request_id: str) -> Transform:
    """Return a transform that `who` may see.

    Raises
    ------
    FileMissingError
        If there is none of that id.
    ForbiddenError
        If it is another user's.
    """
    found = parts.store.transform(request_id) if _UUID.fullmatch(request_id) else None
    if found is None:
        raise FileMissingError(f"Transformation request not found with id: {request_id[:40]!r}")
    who.require(found.new.submitted_by)
    return found
