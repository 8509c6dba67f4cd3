"""A request as its owner and administrators see it, without its long columns."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sxdask.core.errors import FileMissingError
from sxdask.service.database.overview import Totals
from sxdask.service.pages.live import view_of

if TYPE_CHECKING:
    from sxdask.service.database.overview import Listed, Overview
    from sxdask.service.pages.live import View
    from sxdask.service.rest.parts import Caller, Parts


def listed(overview: Overview, who: Caller, request_id: str) -> Listed:
    """Return a request for lists.

    Raises
    ------
    FileMissingError
        If there is none of that id.
    ForbiddenError
        If it is another user's.
    """
    item = overview.transform(request_id) if request_id.isprintable() else None
    if item is None:
        raise FileMissingError(f"there is no request {request_id[:40]!r}")
    who.require(item.submitted_by)
    return item


def seen(overview: Overview, parts: Parts, who: Caller, request_id: str) -> tuple[Listed, View]:
    """Return a request and what a page shows of it now."""
    item = listed(overview, who, request_id)
    totals = overview.totals([request_id]).get(request_id, Totals())
    return item, view_of(item, parts.engine.progress(request_id), totals)
