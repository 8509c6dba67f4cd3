"""The list of requests, and what moves in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Query, Request, Response

from sxdask.service.database.overview import Choice, Kind, Listed, Overview
from sxdask.service.pages.live import View, summary, view_of
from sxdask.service.pages.render import page
from sxdask.service.pages.visitor import PageRoute, VisitorOf, printable
from sxdask.service.rest.parts import Parts, PartsOf

PER_PAGE: Final = 25
MOST_PAGES: Final = 100_000
KINDS: Final[dict[Kind, str]] = {
    "all": "All",
    "active": "Running",
    "complete": "Complete",
    "failures": "With failures",
    "canceled": "Canceled",
    "broken": "Broken",
}

ROUTER: Final = APIRouter(route_class=PageRoute, include_in_schema=False)


@dataclass(frozen=True, slots=True)
class Filters:
    """What is listed, as the address of the page says it."""

    kind: Annotated[Kind, Query()] = "all"
    text: Annotated[str, Query(max_length=200)] = ""
    whose: Annotated[Literal["own", "all"], Query()] = "own"
    number: Annotated[int, Query(alias="page", ge=1, le=MOST_PAGES)] = 1

    def query(self, **changes: Any) -> str:
        """Return the part of an address that says this, with `changes`."""
        values = {"kind": self.kind, "text": self.text, "whose": self.whose, "page": self.number}
        usual = {"kind": "all", "text": "", "whose": "own", "page": 1}
        found = {**values, "page": 1, **changes}
        return "?" + urlencode({key: item for key, item in found.items() if item != usual[key]})


FiltersOf = Annotated[Filters, Depends()]


@ROUTER.get("/")
@ROUTER.get("/dashboard")
def show_requests(request: Request, parts: PartsOf, who: VisitorOf, filters: FiltersOf) -> Response:
    """Show requests, newest first."""
    overview = Overview(parts.users.engine)
    choice = _choice(filters, who.user_id, may_all=who.may_all)
    counts = overview.count(choice)
    items = _items(overview, choice, filters)
    return page(
        request,
        "dashboard.html",
        rows=_rows(parts, items),
        counts=counts,
        kinds=KINDS,
        filters=filters,
        page_query=lambda number: filters.query(page=number),
        pages=max(1, -(-counts[filters.kind] // PER_PAGE)),
        all_users=choice.submitted_by is None,
        dask=parts.dask_link() if parts.dask_link and who.may_all else "",
        summary=summary(parts.engine, overview.active(choice.submitted_by)),
    )


@ROUTER.get("/dashboard/live")
def show_changes(parts: PartsOf, who: VisitorOf, filters: FiltersOf) -> dict[str, Any]:
    """Return what has changed in the list, for the script of its page."""
    overview = Overview(parts.users.engine)
    choice = _choice(filters, who.user_id, may_all=who.may_all)
    active = overview.active(choice.submitted_by)
    rows = _rows(parts, _items(overview, choice, filters))
    return {
        "running": bool(active),
        "cells": {f"sum-{name}": text for name, text in summary(parts.engine, active).items()},
        "views": {view.request_id: view.as_json() for _, view in rows},
    }


def _choice(filters: Filters, user_id: int | None, *, may_all: bool) -> Choice:
    everybody = may_all and filters.whose == "all"
    return Choice(None if everybody else user_id, filters.kind, printable(filters.text))


def _items(overview: Overview, choice: Choice, filters: Filters) -> list[Listed]:
    return overview.transforms(choice, PER_PAGE, (filters.number - 1) * PER_PAGE)


def _rows(parts: Parts, items: list[Listed]) -> list[tuple[Listed, View]]:
    return [(item, view_of(item, parts.engine.progress(item.request_id))) for item in items]
