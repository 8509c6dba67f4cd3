"""What the routes are made of, and who is asking."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Final, cast

from fastapi import Depends, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from sxdask.core.errors import FileMissingError
from sxdask.service.auth.attempts import Attempts
from sxdask.service.auth.places import Places
from sxdask.service.auth.tokens import Claims, Kind, TokenRefusedError
from sxdask.service.precedence import Precedence
from sxdask.service.rest.faults import ForbiddenError, TooManyError, UnknownUserError
from sxdask.service.rest.selections import SelectionLimits

if TYPE_CHECKING:
    from sxdask.service.auth.oidc import Oidc
    from sxdask.service.auth.tokens import Tokens
    from sxdask.service.database.users import User, Users
    from sxdask.service.logs.setup import Logs
    from sxdask.service.transforms.ports import Engine, ObjectStore, Transform, TransformStore

_UUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(frozen=True, slots=True)
class Policy:
    """What an operator decides.

    Attributes
    ----------
    auth
        With False everybody may do everything.
    allow_python
        Whether requests may be Python functions.
    default_scheme
        Of a DID without one.
    schemes
        Of DIDs that can be looked up.
    max_files
        Of one list.
    url_seconds
        How long signed URLs are good.
    public_url
        Where users reach the service, without a slash at the end.
    places
        Which files users may have read.
    selections
        How long and deep selections may be; `allow_python` goes first.
    host_names
        Names that this service answers to, without port; empty for any. Without
        authentication they keep web pages of others from talking to a service
        on this machine under a name of theirs.
    """

    auth: bool = False
    allow_python: bool = False
    default_scheme: str = "rucio"
    schemes: frozenset[str] = frozenset()
    max_files: int = 100_000
    url_seconds: int = 365 * 24 * 3600
    public_url: str = ""
    places: Places = field(default_factory=Places)
    max_selection_bytes: int = 1024 * 1024
    max_nesting: int = 200
    host_names: frozenset[str] = frozenset()

    @property
    def selections(self) -> SelectionLimits:
        """What a selection may be."""
        return SelectionLimits(self.max_selection_bytes, self.max_nesting, self.allow_python)


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts that routes work with.

    `checks` are asked by ``/readyz``, by name: each returns, or raises if its
    part does not work. `oidc` is how users sign in to the pages; `dask_link`
    gives the address of the Dask dashboard as browsers reach it, `precedence` hears
    of each request that is being answered.
    """

    store: TransformStore
    users: Users
    engine: Engine
    objects: dict[str, ObjectStore]
    tokens: Tokens
    policy: Policy = field(default_factory=Policy)
    logs: Logs | None = None
    checks: Mapping[str, Callable[[], object]] = field(default_factory=dict)
    attempts: Attempts = field(default_factory=Attempts)
    oidc: Oidc | None = None
    dask_link: Callable[[], str] | None = None
    precedence: Precedence = field(default_factory=Precedence)


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


async def _parts(request: Request) -> Parts:
    # Not `parts_of`, for which a thread would be asked, as for all plain functions.
    return parts_of(request)


PartsOf = Annotated["Parts", Depends(_parts)]
_ACCESS: Final = HTTPBearer(
    bearerFormat="JWT",
    scheme_name="access token",
    description="From /token/refresh, or a file that BEARER_TOKEN_FILE names.",
    auto_error=False,
)
_REFRESH: Final = HTTPBearer(
    bearerFormat="JWT",
    scheme_name="refresh token",
    description="From the profile page, or `sxdask user token`.",
    auto_error=False,
)
Bearer = HTTPAuthorizationCredentials | None


def claims_of(request: Request, parts: Parts, token: Bearer, kind: Kind) -> Claims:
    """Return what the token of `request` says.

    Raises
    ------
    UnknownUserError
        If there is none, or it is no good.
    TooManyError
        If bad ones came from the same address before.
    """
    if token is None:
        raise UnknownUserError(f"there is no {kind} token; get one from your profile page")
    address = request.client.host if request.client else ""
    if seconds := parts.attempts.wait(address, token.credentials):
        raise TooManyError("there were too many bad tokens from your address", seconds)
    try:
        claims = parts.tokens.read(token.credentials, kind)
    except TokenRefusedError as error:
        parts.attempts.failed(address)
        raise UnknownUserError(str(error)) from error
    request.state.user = claims.user_id
    return claims


async def caller(
    request: Request, parts: PartsOf, token: Annotated[Bearer, Depends(_ACCESS)] = None
) -> Caller:
    """Return who is asking, by the access token.

    Raises
    ------
    UnknownUserError
        Without a good token of a user who was let in.
    """
    if not parts.policy.auth:
        return Caller(None)
    claims = claims_of(request, parts, token, "access")
    # Who asks every second is known: a thread and a question would cost as much as the reply.
    user = parts.users.known(claims.user_id)
    if user is None:
        user = await run_in_threadpool(parts.users.get, claims.user_id)
    if user is None:
        raise UnknownUserError("the user of this token is gone")
    if claims.parent and not claims.is_of(user.token_id):
        raise UnknownUserError("this token was revoked")
    if user.pending:
        raise UnknownUserError("this user waits for approval")
    if token is not None:
        parts.attempts.succeeded(token.credentials)
    return Caller(user)


CallerOf = Annotated[Caller, Depends(caller)]
RefreshToken = Annotated[Bearer, Depends(_REFRESH)]


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
