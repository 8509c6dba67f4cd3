"""Datasets that were looked up, their files and replicas, and looking again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Final
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from fastapi.responses import RedirectResponse

from sxdask.core.errors import FileMissingError
from sxdask.service.auth.sessions import say
from sxdask.service.database.overview import Overview
from sxdask.service.pages.render import page
from sxdask.service.pages.visitor import OwnForm, PageRoute, VisitorOf, printable
from sxdask.service.rest.parts import PartsOf

PER_PAGE: Final = 50
FILES_PER_PAGE: Final = 100
STATES: Final = {
    "created": ("waits", "wait"),
    "looking": ("being looked up", "run"),
    "complete": ("complete", "good"),
    "does_not_exist": ("does not exist", "bad"),
    "bad_name": ("bad name", "bad"),
    "internal_failure": ("lookup failed", "bad"),
}
"""What is shown of each status of a lookup, and its tone."""

DatasetId = Annotated[int, Path(ge=1, lt=2**31)]

ROUTER: Final = APIRouter(prefix="/datasets", route_class=PageRoute, include_in_schema=False)


@dataclass(frozen=True, slots=True)
class Filters:
    """What is listed, as the address of the page says it."""

    text: Annotated[str, Query(max_length=200)] = ""
    old: Annotated[bool, Query()] = False
    number: Annotated[int, Query(alias="page", ge=1, le=100_000)] = 1

    def query(self, **changes: Any) -> str:
        """Return the part of an address that says this, with `changes`."""
        values = {"text": self.text, "old": "1" if self.old else "", "page": 1, **changes}
        return "?" + urlencode({key: item for key, item in values.items() if item not in ("", 1)})


@ROUTER.get("")
def show_datasets(
    request: Request, parts: PartsOf, who: VisitorOf, filters: Annotated[Filters, Depends()]
) -> Response:
    """Show datasets, the latest used first."""
    del who
    found, total = Overview(parts.users.engine).datasets(
        printable(filters.text),
        with_stale=filters.old,
        limit=PER_PAGE,
        offset=(filters.number - 1) * PER_PAGE,
    )
    return page(
        request,
        "datasets.html",
        datasets=found,
        total=total,
        filters=filters,
        page_query=lambda number: filters.query(page=number),
        pages=max(1, -(-total // PER_PAGE)),
        states=STATES,
    )


@ROUTER.get("/{dataset_id}")
def show_dataset(
    request: Request,
    dataset_id: DatasetId,
    parts: PartsOf,
    who: VisitorOf,
    number: Annotated[int, Query(alias="page", ge=1, le=100_000)] = 1,
) -> Response:
    """Show a dataset with its files."""
    del who
    found = parts.store.dataset(dataset_id)
    if found is None:
        raise FileMissingError(f"there is no dataset {dataset_id}")
    files = Overview(parts.users.engine).dataset_files(
        dataset_id, FILES_PER_PAGE, (number - 1) * FILES_PER_PAGE
    )
    return page(
        request,
        "dataset.html",
        dataset=found,
        files=files,
        number=number,
        first=(number - 1) * FILES_PER_PAGE + 1,
        pages=max(1, -(-found.num_files // FILES_PER_PAGE)),
        states=STATES,
    )


@ROUTER.post("/{dataset_id}/refresh", dependencies=[OwnForm])
def refresh(request: Request, dataset_id: DatasetId, parts: PartsOf, who: VisitorOf) -> Response:
    """Let the next request look the dataset up again."""
    del who
    if parts.store.dataset(dataset_id) is None:
        raise FileMissingError(f"there is no dataset {dataset_id}")
    parts.store.make_stale(dataset_id)
    say(request.session, "The next request for this dataset looks for its files anew.")
    return RedirectResponse(f"/datasets/{dataset_id}", 303)
