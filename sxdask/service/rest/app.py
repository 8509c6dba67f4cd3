"""The web application, made of parts that can be started and stopped apart from it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from fastapi import FastAPI

from sxdask import __version__
from sxdask.service.rest import datasets, tokens, transformations, wire
from sxdask.service.rest.codegens import images
from sxdask.service.rest.faults import add_handlers
from sxdask.service.rest.limits import Limits
from sxdask.service.rest.parts import PartsOf

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

    from sxdask.service.rest.parts import Parts

    Scope = MutableMapping[str, Any]
    App = Callable[[Scope, Any, Any], Awaitable[None]]

_SLASHES: Final = re.compile("/{2,}")


def make_app(parts: Parts) -> FastAPI:
    """Return the application over `parts`; nothing is started."""
    app = FastAPI(title="sxdask", version=__version__, docs_url=None, redoc_url=None)
    app.state.parts = parts
    add_handlers(app)
    app.add_middleware(Limits)
    app.add_middleware(OneSlash)

    @app.get("/servicex", tags=["service"])
    def show_info(parts: PartsOf) -> dict[str, Any]:
        """Return what this service is and can."""
        return wire.info(images(with_python=parts.policy.allow_python))

    @app.get("/healthz", tags=["service"])
    def show_health() -> dict[str, str]:
        """Say that the process answers."""
        return {"status": "ok"}

    for router in (transformations.ROUTER, datasets.ROUTER, tokens.ROUTER):
        app.include_router(router)
    return app


class OneSlash:
    """Take ``//servicex`` for ``/servicex``: an endpoint may be written with a slash at its end."""

    def __init__(self, app: App) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        """Pass the request on."""
        if scope["type"] == "http" and "//" in scope["path"]:
            scope = {**scope, "path": _SLASHES.sub("/", scope["path"])}
        await self.app(scope, receive, send)
