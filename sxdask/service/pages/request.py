"""The page of one request: how it goes, what it asks for, what came and what failed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Form, Query, Request, Response
from fastapi.responses import PlainTextResponse, RedirectResponse

from sxdask.core.errors import FileMissingError, RequestError
from sxdask.service.auth.sessions import say
from sxdask.service.database.overview import Listed, Order, Overview, Totals
from sxdask.service.pages.failures import by_cause
from sxdask.service.pages.live import View, view_of
from sxdask.service.pages.plans import Explained, PlanRequest, Plans
from sxdask.service.pages.render import page
from sxdask.service.pages.selection import pretty
from sxdask.service.pages.visitor import OwnForm, PageRoute, VisitorOf, is_local_path
from sxdask.service.rest.codegens import CODEGENS
from sxdask.service.rest.parts import Caller, Parts, PartsOf, transform_of
from sxdask.service.transforms.states import CancelAsked

PER_PAGE: Final = 100
FAILURES: Final = 5_000
"""Failures that are grouped; of more, the first."""

PLAN_WAIT: Final = 0.3
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


@ROUTER.get("")
def show(request: Request, request_id: str, parts: PartsOf, who: VisitorOf) -> Response:
    """Show a request."""
    found = transform_of(parts, who, request_id)
    overview = Overview(parts.users.engine)
    item, view, totals = _seen(overview, parts, who, request_id)
    failures = overview.results(request_id, ok=False, limit=FAILURES) if found.state.failed else []
    causes = by_cause(failures)
    traces = overview.tracebacks(request_id, [cause.first for cause in causes])
    for cause in causes:
        cause.traceback = traces.get(cause.first, "")
    return page(
        request,
        "request.html",
        item=item,
        view=view,
        totals=totals,
        new=found.new,
        selection=pretty(found.new.codegen, found.new.selection),
        plan=_plan(request, overview, found.new, request_id, wait=PLAN_WAIT),
        causes=causes,
        not_grouped=max(0, found.state.failed - len(failures)),
        results=overview.results(request_id, order="created", descending=True, limit=10),
        dask=parts.dask_link() if parts.dask_link and who.may_all else "",
    )


@ROUTER.get("/live")
def show_changes(request_id: str, parts: PartsOf, who: VisitorOf) -> dict[str, Any]:
    """Return what has changed of a request, for the script of its page."""
    _, view, _ = _seen(Overview(parts.users.engine), parts, who, request_id)
    return {"running": view.may_cancel, "cells": {}, "views": {request_id: view.as_json()}}


@ROUTER.get("/plan")
def show_plan(request: Request, request_id: str, parts: PartsOf, who: VisitorOf) -> Response:
    """Show the plan of a request over a file."""
    found = transform_of(parts, who, request_id)
    plan = _plan(request, Overview(parts.users.engine), found.new, request_id, wait=5.0)
    return page(request, "plan.html", new=found.new, request_id=request_id, plan=plan)


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
    item, view, _ = _seen(overview, parts, who, request_id)
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
    request_id: str, result_id: int, parts: PartsOf, who: VisitorOf
) -> PlainTextResponse:
    """Return where a file failed, as text."""
    overview = Overview(parts.users.engine)
    _listed(overview, who, request_id)
    text = overview.tracebacks(request_id, [result_id]).get(result_id)
    if text is None:
        raise FileMissingError("there is no such result of this request")
    return PlainTextResponse(text or "no traceback was kept")


@ROUTER.get("/log")
def show_log(request: Request, request_id: str, parts: PartsOf, who: VisitorOf) -> Response:
    """Show what happened to a request."""
    overview = Overview(parts.users.engine)
    item = _listed(overview, who, request_id)
    return page(request, "log.html", item=item, events=overview.events(request_id))


@ROUTER.post("/cancel", dependencies=[OwnForm])
def cancel(
    request: Request,
    request_id: str,
    parts: PartsOf,
    who: VisitorOf,
    back: Annotated[str, Form(max_length=2_000)] = "",
) -> Response:
    """End a request that runs."""
    transform_of(parts, who, request_id)
    try:
        parts.store.apply(request_id, CancelAsked())
    except RequestError as error:  # it ended while the page was read
        say(request.session, f"Nothing to cancel: {error.problem}", good=False)
    else:
        parts.engine.wake()
        say(request.session, "The request is canceled. Files that were done are kept.")
    return _back(request_id, back)


@ROUTER.post("/resubmit-failed", dependencies=[OwnForm])
def resubmit_failed(request: Request, request_id: str, parts: PartsOf, who: VisitorOf) -> Response:
    """Try the files that failed again."""
    transform_of(parts, who, request_id)
    try:
        count = parts.store.resubmit_failed(request_id)
    except RequestError as error:
        say(request.session, error.problem.capitalize(), good=False)
    else:
        parts.engine.wake()
        say(request.session, f"{count} files are tried again.")
    return _back(request_id)


@ROUTER.post("/delete", dependencies=[OwnForm])
def delete(request: Request, request_id: str, parts: PartsOf, who: VisitorOf) -> Response:
    """Forget a request that has ended, and remove its results."""
    found = transform_of(parts, who, request_id)
    if not found.state.status.is_final:
        say(request.session, "A request that runs is not deleted: cancel it first.", good=False)
        return _back(request_id)
    parts.objects[found.new.destination].remove(request_id)
    parts.store.archive(request_id)
    say(request.session, "The request and its results are deleted.")
    return RedirectResponse("/dashboard", 303)


def _back(request_id: str, path: str = "") -> RedirectResponse:
    own = f"/transformation-request/{request_id}"
    return RedirectResponse(path if is_local_path(path) else own, 303)


def _listed(overview: Overview, who: Caller, request_id: str) -> Listed:
    item = overview.transform(request_id)
    if item is None:
        raise FileMissingError(f"there is no request {request_id[:40]!r}")
    who.require(item.submitted_by)
    return item


def _seen(
    overview: Overview, parts: Parts, who: Caller, request_id: str
) -> tuple[Listed, View, Totals]:
    item = _listed(overview, who, request_id)
    totals = overview.totals([request_id]).get(request_id, Totals())
    return item, view_of(item, parts.engine.progress(request_id), totals), totals


def _plan(
    request: Request, overview: Overview, new: Any, request_id: str, *, wait: float
) -> Explained | None:
    """Return the explained plan over a file that was read well, None while it is made."""
    if new.codegen == "python" or new.codegen not in CODEGENS:
        return Explained(problem="A Python function reads the file itself; it has no plan.")
    first = overview.results(request_id, ok=True, limit=1)
    if not first:
        return Explained(problem="There is a plan as soon as one file is done.")
    plans: Plans = request.app.state.plans
    wanted = PlanRequest(
        key=new.content_key,
        language=CODEGENS[new.codegen].language,
        selection=new.selection,
        path=first[0].file_path,
        tree=new.tree_name,
    )
    return plans.explain(wanted, wait)
