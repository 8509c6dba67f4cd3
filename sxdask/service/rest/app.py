"""The web application, made of parts that can be started and stopped apart from it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fastapi import FastAPI
from fastapi.responses import JSONResponse

from sxdask import __version__
from sxdask.service.rest import (
    datasets,
    health,
    metrics,
    replies,
    tokens,
    transformations,
    wire,
)
from sxdask.service.rest.faults import add_handlers
from sxdask.service.rest.limits import Limits, OneSlash, OwnSite
from sxdask.service.rest.parts import PartsOf
from sxdask.service.rest.trail import Trail
from sxdask.service.transforms.codegens import images

if TYPE_CHECKING:
    from sxdask.service.rest.parts import Parts

_TAGS: Final = [
    {"name": "service", "description": "What the service is, and how it is."},
    {"name": "transforms", "description": "Requests: submit, look, cancel, try again, delete."},
    {"name": "datasets", "description": "Lists of files that were looked up."},
    {"name": "users", "description": "Tokens, and users for administrators."},
]


def make_app(parts: Parts) -> FastAPI:
    """Return the application over `parts`, without pages; nothing is started."""
    app = FastAPI(
        title="sxdask",
        summary="ServiceX's interface over Dask",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        openapi_tags=_TAGS,
    )
    app.state.parts = parts
    app.state.metrics = metrics.Metrics(parts)
    app.state.readiness = health.Readiness({"database": parts.store.by_status, **parts.checks})
    add_handlers(app)

    @app.get(
        "/servicex",
        tags=["service"],
        summary="What this service is and can",
        response_model=replies.Info,
    )
    def show_info(parts: PartsOf) -> JSONResponse:
        """Return the version, the codegens by name, and what clients may rely on."""
        return JSONResponse(wire.info(images(with_python=parts.policy.allow_python)))

    @app.get(
        "/multiple-codegen-list",
        tags=["service"],
        summary="Codegens (as clients before 3.1 ask for them)",
        response_model=dict[str, str],
    )
    def show_codegens(parts: PartsOf) -> JSONResponse:
        """Return the codegens by name."""
        return JSONResponse(images(with_python=parts.policy.allow_python))

    for router in (  # they are looked through in this order
        transformations.ROUTER,
        tokens.ROUTER,
        datasets.ROUTER,
        transformations.SIGNING,
        health.ROUTER,
        metrics.ROUTER,
    ):
        app.include_router(router)
    # The last one is the outermost.
    app.add_middleware(Limits, parts=parts)
    app.add_middleware(OwnSite, parts=parts)
    app.add_middleware(OneSlash)
    app.add_middleware(Trail, seen=app.state.metrics.seen)
    return app
