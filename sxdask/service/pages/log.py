"""What happened to a request, and what was logged about it."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Query, Request, Response

from sxdask.service.database.overview import Overview
from sxdask.service.pages.render import page
from sxdask.service.pages.seen import listed
from sxdask.service.pages.visitor import PageRoute, VisitorOf
from sxdask.service.rest.parts import PartsOf

LINES: Final = 500
"""Lines of a log on one page."""

_STEPS: Final = {
    "LookupStarted": "its dataset is looked up",
    "FilesFound": "files found",
    "LookupDone": "all files are known",
    "LookupFailed": "its dataset cannot be had",
    "CancelAsked": "canceled by the user",
    "Broken": "given up",
    "Resubmitted": "failed files tried again",
}

ROUTER: Final = APIRouter(
    prefix="/transformation-request/{request_id}", route_class=PageRoute, include_in_schema=False
)


@ROUTER.get("/log")
def show_log(
    request: Request,
    request_id: str,
    parts: PartsOf,
    who: VisitorOf,
    after: Annotated[int, Query(ge=0, le=2**53)] = 0,
) -> Response:
    """Show what happened to a request, and what was logged about it."""
    overview = Overview(parts.users.engine)
    item = listed(overview, who, request_id)
    kept = None if parts.logs is None else parts.logs.kept
    lines, following = ([], 0) if kept is None else kept.lines(request_id, after, LINES)
    return page(
        request,
        "log.html",
        item=item,
        events=[] if after else overview.events(request_id),
        words=_STEPS,
        lines=lines,
        after=after,
        following=following if len(lines) == LINES else 0,
    )
