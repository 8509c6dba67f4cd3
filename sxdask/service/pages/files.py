"""The files of a request that are done: a table in pieces, and why files failed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Final, Literal
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from fastapi.responses import PlainTextResponse

from sxdask.core.errors import FileMissingError
from sxdask.service.database.overview import Order, Overview
from sxdask.service.pages.render import page
from sxdask.service.pages.seen import listed, seen
from sxdask.service.pages.visitor import PageRoute, VisitorOf
from sxdask.service.rest.parts import PartsOf

PER_PAGE: Final = 100
Outcome = Literal["all", "success", "failure"]
_OK: Final[dict[Outcome, bool | None]] = {"all": None, "success": True, "failure": False}
_LARGEST_FIRST: Final = {"rows", "bytes", "seconds", "rate"}


@dataclass(frozen=True, slots=True)
class Piece:
    """Which part of the table of files is shown, as the address of the page says it."""

    status: Annotated[Outcome, Query()] = "all"
    sort: Annotated[Order, Query()] = "created"
    down: Annotated[bool, Query()] = False
    number: Annotated[int, Query(alias="page", ge=1, le=1_000_000)] = 1

    def page(self, number: int) -> str:
        """Return the part of an address that leads to another page of it."""
        return self._query(self.sort, number, down=self.down)

    def sorted_by(self, sort: Order) -> str:
        """Return the part of an address that sorts it so; the other way round if it is."""
        down = not self.down if sort == self.sort else sort in _LARGEST_FIRST
        return self._query(sort, 1, down=down)

    def _query(self, sort: Order, number: int, *, down: bool) -> str:
        found = {"status": self.status, "sort": sort} | ({"down": 1} if down else {})
        return "?" + urlencode(found | ({"page": number} if number > 1 else {}))


ROUTER: Final = APIRouter(
    prefix="/transformation-request/{request_id}", route_class=PageRoute, include_in_schema=False
)


@ROUTER.get("/results")
def show_results(
    request: Request,
    request_id: str,
    parts: PartsOf,
    who: VisitorOf,
    piece: Annotated[Piece, Depends()],
) -> Response:
    """Show the files of a request that are done."""
    overview = Overview(parts.users.engine)
    item, view = seen(overview, parts, who, request_id)
    state = item.state
    counts = {
        "all": state.completed + state.failed,
        "success": state.completed,
        "failure": state.failed,
    }
    rows = overview.results(
        request_id,
        ok=_OK[piece.status],
        order=piece.sort,
        descending=piece.down,
        limit=PER_PAGE,
        offset=(piece.number - 1) * PER_PAGE,
    )
    return page(
        request,
        "results.html",
        item=item,
        view=view,
        results=rows,
        piece=piece,
        counts=counts,
        pages=max(1, -(-counts[piece.status] // PER_PAGE)),
    )


@ROUTER.get("/results/{result_id}/traceback")
def show_traceback(
    request_id: str, result_id: Annotated[int, Path(le=2**53)], parts: PartsOf, who: VisitorOf
) -> PlainTextResponse:
    """Return where a file failed, as text."""
    overview = Overview(parts.users.engine)
    listed(overview, who, request_id)
    text = overview.tracebacks(request_id, [result_id]).get(result_id)
    if text is None:
        raise FileMissingError("there is no such result of this request")
    return PlainTextResponse(text or "no traceback was kept")
