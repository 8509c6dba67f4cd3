"""Routes of datasets: what was looked up, and looking again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final, TypeAlias

from fastapi import APIRouter, Path, Query
from fastapi.responses import JSONResponse

from sxdask.core.errors import FileMissingError, RequestError
from sxdask.service.rest import replies, wire
from sxdask.service.rest.parts import CallerOf, Parts, PartsOf
from sxdask.service.rest.replies import problems

if TYPE_CHECKING:
    from sxdask.service.transforms.ports import DatasetRecord

ROUTER: Final = APIRouter(prefix="/servicex/datasets", tags=["datasets"])
DatasetId: TypeAlias = Annotated[int, Path(ge=0, le=wire.MAX_ID)]


@ROUTER.get(
    "",
    summary="List datasets",
    response_model=replies.DatasetList,
    responses=problems(400, 401, 429, 503),
)
def list_all(
    parts: PartsOf,
    who: CallerOf,
    did_finder: Annotated[
        str | None, Query(alias="did-finder", max_length=64, description="A scheme, or user.")
    ] = None,
    *,
    show_deleted: Annotated[
        bool, Query(alias="show-deleted", description="Stale ones as well.")
    ] = False,
) -> JSONResponse:
    """Return the datasets that were looked up, the latest used first.

    Datasets are shared by all users; what a user made of them is not shown.
    """
    del who
    found = parts.store.datasets(did_finder, with_stale=show_deleted)
    return JSONResponse({"datasets": [wire.dataset(item) for item in found]})


@ROUTER.get(
    "/{dataset_id}",
    summary="A dataset and its files",
    response_model=replies.Dataset,
    responses=problems(401, 404, 429, 503),
)
def show(dataset_id: DatasetId, parts: PartsOf, who: CallerOf) -> JSONResponse:
    """Return a dataset with its files."""
    del who
    found = _dataset(parts, dataset_id)
    return JSONResponse(wire.dataset(found, parts.store.dataset_files(dataset_id)))


@ROUTER.delete(
    "/{dataset_id}",
    summary="Let a dataset be looked up again",
    response_model=replies.DeletedDataset,
    responses=problems(400, 401, 404, 429, 503),
)
def make_stale(dataset_id: DatasetId, parts: PartsOf, who: CallerOf) -> JSONResponse:
    """Let the next submission look the dataset up again; transforms that have it keep it."""
    del who
    _dataset(parts, dataset_id)
    if not parts.store.make_stale(dataset_id):
        raise RequestError(f"Dataset with id {dataset_id} has already been deleted.")
    return JSONResponse({"dataset-id": dataset_id, "stale": True})


def _dataset(parts: Parts, dataset_id: int) -> DatasetRecord:
    found = parts.store.dataset(dataset_id)
    if found is None:
        raise FileMissingError(f"Dataset with id {dataset_id} not found.")
    return found
