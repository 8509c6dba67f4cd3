"""Routes of datasets: what was looked up, and looking again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final

from fastapi import APIRouter, Query

from sxdask.core.errors import FileMissingError, RequestError
from sxdask.service.rest import wire
from sxdask.service.rest.parts import CallerOf, Parts, PartsOf

if TYPE_CHECKING:
    from sxdask.service.transforms.ports import DatasetRecord

ROUTER: Final = APIRouter(prefix="/servicex/datasets", tags=["datasets"])


@ROUTER.get("")
def list_all(
    parts: PartsOf,
    who: CallerOf,
    did_finder: Annotated[str | None, Query(alias="did-finder", max_length=64)] = None,
    show_deleted: Annotated[bool, Query(alias="show-deleted")] = False,  # noqa: FBT002
) -> dict[str, list[dict[str, Any]]]:
    """Return the datasets that were looked up, the latest used first."""
    del who
    found = parts.store.datasets(did_finder, with_stale=show_deleted)
    return {"datasets": [wire.dataset(item) for item in found]}


@ROUTER.get("/{dataset_id}")
def show(dataset_id: int, parts: PartsOf, who: CallerOf) -> dict[str, Any]:
    """Return a dataset with its files."""
    del who
    return wire.dataset(_dataset(parts, dataset_id), parts.store.dataset_files(dataset_id))


@ROUTER.delete("/{dataset_id}")
def make_stale(dataset_id: int, parts: PartsOf, who: CallerOf) -> dict[str, Any]:
    """Let the next submission look the dataset up again."""
    del who
    _dataset(parts, dataset_id)
    if not parts.store.make_stale(dataset_id):
        raise RequestError(f"Dataset with id {dataset_id} has already been deleted.")
    return {"dataset-id": dataset_id, "stale": True}


def _dataset(parts: Parts, dataset_id: int) -> DatasetRecord:
    found = parts.store.dataset(dataset_id)
    if found is None:
        raise FileMissingError(f"Dataset with id {dataset_id} not found.")
    return found
