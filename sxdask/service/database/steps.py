"""A step of a transform's life, in the transaction of what brought it."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from functools import reduce
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Connection, bindparam, insert, select, update

from sxdask.core.errors import RequestError
from sxdask.service.database.rows import STATE, state_of, state_values
from sxdask.service.database.tables import EVENTS, TRANSFORMS
from sxdask.service.transforms.states import step

if TYPE_CHECKING:
    from sqlalchemy import Row

    from sxdask.service.transforms.states import Event, State


# A selection may have megabytes, and a step has no use for it.
STEP_COLUMNS: Final = [
    TRANSFORMS.c[name]
    for name in ("number", "request_id", "did_id", "archived", "last_result", "used", *STATE)
]

# Made once: to make it takes longer than to answer it, and each report asks it.
_LOCKED: Final = (
    select(*STEP_COLUMNS)
    .where(TRANSFORMS.c.request_id == bindparam("request_id"), ~TRANSFORMS.c.archived)
    .with_for_update()
)


def locked_or_none(connection: Connection, request_id: str) -> Row[Any] | None:
    """Return a transform's `STEP_COLUMNS` as `locked` does, None if it is gone."""
    return connection.execute(_LOCKED, {"request_id": request_id}).first()


def locked(connection: Connection, request_id: str) -> Row[Any]:
    """Return a transform's `STEP_COLUMNS`; nobody else changes it until this transaction ends.

    Raises
    ------
    RequestError
        If there is none, or it is archived.
    """
    row = locked_or_none(connection, request_id)
    if row is None:
        raise RequestError(f"there is no transform {request_id!r}", hint="look at the list")
    return row


def step_row(connection: Connection, row: Row[Any], *events: Event, **also: Any) -> State:
    """Store and return the state after `events` of the transform in `row`, which is locked.

    `also` are values of other columns, stored with it.
    """
    before = state_of(row)
    after = reduce(step, events, before)
    values = dict(also)
    if after != before:
        values |= state_values(after)
    if after.status.is_final != before.status.is_final:
        now = datetime.now(UTC)
        values |= {"finished": now if after.status.is_final else None, "used": now}
    if values:
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
