"""A user's own page: who she is here, and the token for her clients."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

import yaml
from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import RedirectResponse

from sxdask.core.errors import RequestError
from sxdask.service.auth.sessions import begin_session, say
from sxdask.service.auth.tokens import TokenRefusedError
from sxdask.service.pages.render import page
from sxdask.service.pages.visitor import OwnForm, PageRoute, VisitorOf, printable
from sxdask.service.rest.parts import Parts, PartsOf

if TYPE_CHECKING:
    from sxdask.service.database.users import User

ROUTER: Final = APIRouter(route_class=PageRoute, include_in_schema=False)

Field = Annotated[str, Form(max_length=255)]


@ROUTER.get("/profile")
def show_profile(request: Request, parts: PartsOf, who: VisitorOf) -> Response:
    """Show who one is, and how a client is set up."""
    return _profile(request, parts, who.user)


@ROUTER.post("/profile", dependencies=[OwnForm])
def describe(
    request: Request,
    parts: PartsOf,
    who: VisitorOf,
    name: Field = "",
    institution: Field = "",
    experiment: Field = "",
) -> Response:
    """Change what is known of the user."""
    user = _signed_in(who.user)
    parts.users.describe(
        user.id,
        name=printable(name) or user.name,
        institution=printable(institution),
        experiment=printable(experiment),
    )
    say(request.session, "Your profile is saved.")
    return RedirectResponse("/profile", 303)


@ROUTER.post("/profile/token", dependencies=[OwnForm])
def renew_token(request: Request, parts: PartsOf, who: VisitorOf) -> Response:
    """Make a new refresh token, shown this once; the one before is worthless from now on."""
    user = _signed_in(who.user)
    token_id = parts.users.renew_token(user.id)
    renewed = _signed_in(parts.users.get(user.id))
    begin_session(request.session, renewed)
    return _profile(request, parts, renewed, parts.tokens.refresh(user.id, token_id))


@ROUTER.get("/.servicex")
def show_configuration(request: Request, parts: PartsOf, who: VisitorOf) -> Response:
    """Return the client's configuration, where it needs no token; else lead to one."""
    if who.user is None:
        return _configuration(_endpoint(request, parts))
    say(request.session, "Make a new token here; the file comes with it.")
    return RedirectResponse("/profile", 303)


@ROUTER.post("/.servicex", dependencies=[OwnForm])
def make_configuration(
    request: Request,
    parts: PartsOf,
    who: VisitorOf,
    token: Annotated[str, Form(max_length=4_000)] = "",
) -> Response:
    """Return the client's configuration with the token that was just made."""
    user = _signed_in(who.user)
    try:
        claims = parts.tokens.read(token, "refresh")
    except TokenRefusedError as error:
        raise RequestError("this is no token", hint="make a new one on your profile") from error
    if claims.user_id != user.id or not claims.is_of(user.token_id):
        raise RequestError("this token is not yours", hint="make a new one on your profile")
    return _configuration(_endpoint(request, parts), token)


def _profile(request: Request, parts: Parts, user: User | None, token: str = "") -> Response:
    endpoint = _endpoint(request, parts)
    return page(request, "profile.html", user=user, token=token, yaml=_yaml(endpoint, ""))


def _signed_in(user: User | None) -> User:
    if user is None:
        raise RequestError("this service does not ask who you are", hint="no token is needed")
    return user


def _endpoint(request: Request, parts: Parts) -> str:
    return parts.policy.public_url or str(request.base_url).rstrip("/")


def _configuration(endpoint: str, token: str = "") -> Response:
    headers = {"content-disposition": 'attachment; filename="servicex.yaml"'}
    return Response(_yaml(endpoint, token), media_type="application/yaml", headers=headers)


def _yaml(endpoint: str, token: str) -> str:
    name = "sxdask"
    entry = {"endpoint": endpoint, "name": name} | ({"token": token} if token else {})
    content = {"api_endpoints": [entry], "default_endpoint": name}
    return yaml.safe_dump(content, sort_keys=False, width=100_000)
