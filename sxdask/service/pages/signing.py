"""Signing in by the operator's login provider or with a token, and signing out."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Form, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import RedirectResponse
from fastapi.security import HTTPAuthorizationCredentials

from sxdask.service.auth.oidc import LoginError, Oidc, admit
from sxdask.service.auth.sessions import begin_session, end_session, say, user_of
from sxdask.service.database.users import User
from sxdask.service.pages.render import page
from sxdask.service.pages.visitor import OwnForm, PageRoute, is_local_path
from sxdask.service.rest.faults import TooManyError, UnknownUserError
from sxdask.service.rest.parts import Parts, PartsOf, claims_of, parts_of

ROUTER: Final = APIRouter(route_class=PageRoute, include_in_schema=False)

Next = Annotated[str, Query(alias="next", max_length=2_000)]


@ROUTER.get("/sign-in")
def show_sign_in(request: Request, parts: PartsOf, path: Next = "/") -> Response:
    """Show the ways to sign in."""
    if not parts.policy.auth or user_of(request.session, parts.users) is not None:
        return RedirectResponse(_local(path), 303)
    return page(request, "sign-in.html", next=_local(path), oidc=parts.oidc is not None)


@ROUTER.get("/sign-in/provider")
async def begin(request: Request, path: Next = "/") -> Response:
    """Lead to the login provider."""
    parts = parts_of(request)
    if parts.oidc is None:
        return RedirectResponse("/sign-in", 303)
    base = parts.policy.public_url or str(request.base_url).rstrip("/")
    request.session["next"] = _local(path)
    try:
        return await parts.oidc.begin(request, f"{base}/auth-callback")
    except LoginError as error:
        return _refused(request, error)


@ROUTER.get("/auth-callback")
async def finish(request: Request) -> Response:
    """Take who comes back from the login provider."""
    parts = parts_of(request)
    if parts.oidc is None:
        return RedirectResponse("/sign-in", 303)
    path = _local(str(request.session.pop("next", "/")))
    try:
        user = await _identified(request, parts, parts.oidc)
    except LoginError as error:
        return _refused(request, error)
    begin_session(request.session, user)
    return RedirectResponse(path, 303)


@ROUTER.post("/sign-in", dependencies=[OwnForm])
def sign_in_with_token(
    request: Request,
    parts: PartsOf,
    token: Annotated[str, Form(max_length=4_000)] = "",
    path: Annotated[str, Form(alias="next", max_length=2_000)] = "/",
) -> Response:
    """Sign in who has a refresh token."""
    sent = HTTPAuthorizationCredentials(scheme="Bearer", credentials=token.strip())
    try:
        claims = claims_of(request, parts, sent, "refresh")
    except (UnknownUserError, TooManyError) as error:
        say(request.session, str(error).capitalize(), good=False)
        return RedirectResponse("/sign-in", 303)
    user = parts.users.get(claims.user_id)
    if user is None or not claims.is_of(user.token_id):
        say(request.session, "This token was replaced by a newer one.", good=False)
        return RedirectResponse("/sign-in", 303)
    begin_session(request.session, user)
    return RedirectResponse(_local(path), 303)


@ROUTER.post("/sign-out", dependencies=[OwnForm])
def sign_out(request: Request) -> Response:
    """End the session."""
    end_session(request.session)
    say(request.session, "You are signed out.")
    return RedirectResponse("/sign-in", 303)


async def _identified(request: Request, parts: Parts, oidc: Oidc) -> User:
    identity = await oidc.finish(request)
    return await run_in_threadpool(admit, parts.users, identity, oidc.admission)


def _refused(request: Request, error: LoginError) -> Response:
    say(request.session, str(error), good=False)
    return RedirectResponse("/sign-in", 303)


def _local(path: str) -> str:
    return path if is_local_path(path) else "/"
