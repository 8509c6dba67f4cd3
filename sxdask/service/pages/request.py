"""The page of one request: how it goes, what it asks for, what came, what failed and why."""

from __future__ import annotations

from typing import Any, Final

from fastapi import APIRouter, Request, Response

from sxdask.service.database.overview import Overview
from sxdask.service.pages.failures import by_cause
from sxdask.service.pages.plans import Explained, PlanRequest, Plans
from sxdask.service.pages.render import page
from sxdask.service.pages.seen import seen
from sxdask.service.pages.selection import pretty
from sxdask.service.pages.visitor import PageRoute, VisitorOf
from sxdask.service.rest.parts import PartsOf, transform_of
from sxdask.service.transforms.codegens import CODEGENS

FAILURES: Final = 5_000
"""Failures that are grouped; of more, the first."""

CAUSES: Final = 20
"""Causes that are shown, the most frequent."""

PLAN_WAIT: Final = 0.3
"""Seconds that a page waits for a plan."""

ROUTER: Final = APIRouter(
    prefix="/transformation-request/{request_id}", route_class=PageRoute, include_in_schema=False
)


@ROUTER.get("")
def show(request: Request, request_id: str, parts: PartsOf, who: VisitorOf) -> Response:
    """Show a request."""
    found = transform_of(parts, who, request_id)
    overview = Overview(parts.users.engine)
    item, view = seen(overview, parts, who, request_id)
    failures = overview.results(request_id, ok=False, limit=FAILURES) if found.state.failed else []
    causes = by_cause(failures)[:CAUSES]
    traces = overview.tracebacks(request_id, [cause.first for cause in causes])
    for cause in causes:
        cause.traceback = traces.get(cause.first, "")
    return page(
        request,
        "request.html",
        item=item,
        view=view,
        new=found.new,
        selection=pretty(found.new.codegen, found.new.selection),
        plan=_plan(request, overview, found.new, request_id, wait=PLAN_WAIT),
        causes=causes,
        not_shown=max(0, found.state.failed - sum(cause.count for cause in causes)),
        results=overview.results(request_id, order="created", descending=True, limit=10),
        dask=parts.dask_link() if parts.dask_link and who.may_all else "",
    )


@ROUTER.get("/live")
def show_changes(request_id: str, parts: PartsOf, who: VisitorOf) -> dict[str, Any]:
    """Return what has changed of a request, for the script of its page."""
    _, view = seen(Overview(parts.users.engine), parts, who, request_id)
    return {"running": view.may_cancel, "cells": {}, "views": {request_id: view.as_json()}}


@ROUTER.get("/plan")
def show_plan(request: Request, request_id: str, parts: PartsOf, who: VisitorOf) -> Response:
    """Show the plan of a request over a file."""
    found = transform_of(parts, who, request_id)
    plan = _plan(request, Overview(parts.users.engine), found.new, request_id, wait=5.0)
    return page(request, "plan.html", new=found.new, request_id=request_id, plan=plan)


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
