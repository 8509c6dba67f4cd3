"""A step of a transform's life, in the transaction of what brought it."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, insert, select, update

from sxdask.core.errors import RequestError
from sxdask.service.database.rows import state_of, state_values
from sxdask.service.database.tables import EVENTS, TRANSFORMS
from sxdask.service.transforms.states import step

if TYPE_CHECKING:
    from sqlalchemy import Row

    from sxdask.service.transforms.states import Event, State


def locked(connection: Connection, request_id: str) -> Row[Any]:
    """Return the row of a transform; nobody else changes it until this transaction ends.

    Raises
    ------
    RequestError
        If there is none, or it is archived.
    """
    query = select(TRANSFORMS).where(TRANSFORMS.c.request_id == request_id, ~TRANSFORMS.c.archived)
    row = connection.execute(query.with_for_update()).first()
    if row is None:
        raise RequestError(f"there is no transform {request_id!r}", hint="look at the list")
    return row


def step_row(connection: Connection, row: Row[Any], event: Event) -> State:
    """Store and return the state after `event` of the transform in `row`, which is locked."""
    before = state_of(row)
    after = step(before, event)
    if after != before:
        values = state_values(after)
        if after.status.is_final != before.status.is_final:
            values["finished"] = datetime.now(UTC) if after.status.is_final else None
        connection.execute(
            update(TRANSFORMS).where(TRANSFORMS.c.number == row.number).values(**values)
        )
    return after


def log_event(connection: Connection, request_id: str, event: Event) -> None:
    """Keep `event` for the transform's log."""
    connection.execute(
        insert(EVENTS).values(
            request_id=request_id,
            at=datetime.now(UTC),
            kind=type(event).__name__,
            facts=asdict(event),
        )
    )
