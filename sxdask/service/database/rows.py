"""Rows of the tables as the values that the service works with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sxdask.service.transforms.ports import (
    DatasetFile,
    DatasetRecord,
    FileResult,
    NewTransform,
    StoredResult,
    Transform,
)
from sxdask.service.transforms.states import State, Status

if TYPE_CHECKING:
    from sqlalchemy import Row

STATE = ("status", "files", "completed", "failed", "looked_up", "reason")


def state_of(row: Row[Any]) -> State:
    """Return the state in a row of `TRANSFORMS`."""
    values = {name: getattr(row, name) for name in STATE}
    return State(**{**values, "status": Status(values["status"])})


def state_values(state: State) -> dict[str, Any]:
    """Return what a row of `TRANSFORMS` holds of a state."""
    return {name: getattr(state, name) for name in STATE} | {"status": state.status.value}


def transform_of(row: Row[Any]) -> Transform:
    """Return the transform in a row of `TRANSFORMS`."""
    new = NewTransform(
        title=row.title,
        selection=row.selection,
        codegen=row.codegen,
        result_format=row.result_format,
        destination=row.destination,
        content_key=row.content_key,
        submitted_by=row.submitted_by,
        did=row.did,
        tree_name=row.tree_name,
        workers=row.workers,
        priority=row.priority,
    )
    return Transform(
        row.request_id,
        row.number,
        new,
        row.did,
        row.did_id,
        state_of(row),
        row.submitted,
        row.finished,
        row.archived,
    )


def dataset_of(row: Row[Any]) -> DatasetRecord:
    """Return the dataset in a row of `DATASETS`."""
    names = DatasetRecord.__dataclass_fields__
    values = {name: getattr(row, name) for name in names if name != "is_stale"}
    return DatasetRecord(**values, is_stale=row.stale)


def file_of(row: Row[Any]) -> DatasetFile:
    """Return the file in a row of `FILES`."""
    replicas = tuple(row.replicas)
    return DatasetFile(row.id, replicas, row.adler32, row.size, row.events)


def result_of(row: Row[Any]) -> StoredResult:
    """Return the result in a row of `RESULTS`."""
    values = {name: getattr(row, name) for name in FileResult.__dataclass_fields__}
    return StoredResult(row.id, row.request_id, FileResult(**values), row.created)
