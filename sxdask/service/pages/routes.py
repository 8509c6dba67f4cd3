"""All pages as one router, and what an application needs beside it to show them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fastapi import APIRouter, Response

from sxdask.core.errors import FileMissingError
from sxdask.service.auth.sessions import add_sessions
from sxdask.service.pages import (
    actions,
    dashboard,
    datasets,
    files,
    log,
    profile,
    request,
    signing,
    users,
)
from sxdask.service.pages.plans import Plans
from sxdask.service.pages.render import assets
from sxdask.service.pages.visitor import PageRoute

if TYPE_CHECKING:
    from fastapi import FastAPI

    from sxdask.service.rest.parts import Parts

ROUTER: Final = APIRouter(route_class=PageRoute, include_in_schema=False)
for module in (dashboard, request, files, log, actions, datasets, profile, signing, users):
    ROUTER.include_router(module.ROUTER)


def add_pages(app: FastAPI) -> None:
    """Let `app`, which has its `Parts`, show the pages."""
    parts: Parts = app.state.parts
    app.state.plans = Plans()
    app.include_router(ROUTER)
    https = parts.policy.public_url.startswith("https://")
    add_sessions(app, parts.tokens.secret, https=https)


@ROUTER.get("/static/{name}")
def show_asset(name: str) -> Response:
    """Return style sheet, script or icon; browsers may keep them for ever."""
    for asset in assets().values():
        if asset.url == f"/static/{name}":
            headers = {"cache-control": "public, max-age=31536000, immutable"}
            return Response(asset.content, media_type=asset.kind, headers=headers)
    raise FileMissingError("there is no such file")


@ROUTER.get("/favicon.ico")
def show_icon() -> Response:
    """Return the icon to browsers that do not read the page for it."""
    return show_asset(assets()["icon.svg"].url.rpartition("/")[2])
