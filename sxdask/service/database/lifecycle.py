"""What ages out of the database; each method is one short transaction, for a few rows.

A transform goes in two steps, so that nothing is lost on the way and nothing
stays behind: it is archived, which clients see at once; its row is forgotten
later, when its objects are gone for sure.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Engine, delete, func, select, update

from sxdask.service.database.connect import reading, writing
from sxdask.service.database.steps import locked_or_none
from sxdask.service.database.tables import DATASETS, EVENTS, FILES, RESULTS, TRANSFORMS
from sxdask.service.transforms.states import Status

if TYPE_CHECKING:
    from sqlalchemy import Row

_FINAL = [item.value for item in Status if item.is_final]


class Lifecycle:
    """The part of `SqlStore` that is about what nobody needs any more."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def unused(self, before: datetime, most: int = 100) -> list[str]:
        """Return transforms that ended, and were last given to somebody, before a time."""
        query = select(TRANSFORMS.c.request_id).where(
            TRANSFORMS.c.used < before, TRANSFORMS.c.status.in_(_FINAL), ~TRANSFORMS.c.archived
        )
        with reading(self.engine) as connection:
            found = connection.execute(query.order_by(TRANSFORMS.c.used).limit(most))
            return list(found.scalars())

    def over_size(self, most_bytes: int, before: datetime) -> list[str]:
        """Return what to archive so that all results together have `most_bytes` again.

        The longest unused go first; none that ran or was used after `before`.
        """
        own = (TRANSFORMS.c.bytes > 0, ~TRANSFORMS.c.archived)
        query = (
            select(TRANSFORMS.c.request_id, TRANSFORMS.c.bytes)
            .where(*own, TRANSFORMS.c.used < before, TRANSFORMS.c.status.in_(_FINAL))
            .order_by(TRANSFORMS.c.used)
        )
        found: list[str] = []
        with reading(self.engine) as connection:
            total = connection.execute(
                select(func.sum(TRANSFORMS.c.bytes)).where(*own)
            ).scalar_one()
            excess = int(total or 0) - most_bytes
            for row in connection.execute(query):
                if excess <= 0:
                    break
                found.append(row.request_id)
                excess -= row.bytes
        return found

    def archive_unused(self, request_id: str, before: datetime) -> bool:
        """Archive a transform; False if it runs, or was used after `before`."""
        with writing(self.engine) as connection:
            row = locked_or_none(connection, request_id)
            if row is None or not Status(row.status).is_final or row.used >= before:
                return False
            archive_row(connection, row)
            return True

    def archived(self, after: int = 0, most: int = 100) -> list[tuple[int, str, str]]:
        """Return number, id and destination of archived transforms, of those after a number."""
        query = (
            select(TRANSFORMS.c.number, TRANSFORMS.c.request_id, TRANSFORMS.c.destination)
            .where(TRANSFORMS.c.archived, TRANSFORMS.c.number > after)
            .order_by(TRANSFORMS.c.number)
            .limit(most)
        )
        with reading(self.engine) as connection:
            return [(number, name, where) for number, name, where in connection.execute(query)]

    def forget(self, request_id: str, before: datetime) -> bool:
        """Remove the row of a transform that was archived before a time, and its log."""
        condition = (
            TRANSFORMS.c.request_id == request_id,
            TRANSFORMS.c.archived,
            TRANSFORMS.c.used < before,
        )
        with writing(self.engine) as connection:
            return connection.execute(delete(TRANSFORMS).where(*condition)).rowcount > 0

    def stale_datasets(self, before: datetime) -> int:
        """Let datasets that were looked up before a time be looked up anew; return how many.

        A list of files says what is in it, and stays.
        """
        condition = (
            ~DATASETS.c.stale,
            DATASETS.c.lookup_status == "complete",
            DATASETS.c.last_updated < before,
            DATASETS.c.did_finder != "user",
        )
        with writing(self.engine) as connection:
            return connection.execute(
                update(DATASETS).where(*condition).values(stale=True)
            ).rowcount

    def remove_dataset(self, before: datetime) -> bool:
        """Remove one dataset that nobody asked for since a time and no transform is of."""
        is_used = select(TRANSFORMS.c.number).where(TRANSFORMS.c.did_id == DATASETS.c.id).exists()
        query = (
            select(DATASETS.c.id)
            .where(DATASETS.c.last_used < before, DATASETS.c.lookup_status != "looking", ~is_used)
            .order_by(DATASETS.c.last_used)
            .limit(1)
            .with_for_update(skip_locked=True)
        )
        with writing(self.engine) as connection:
            found = connection.execute(query).scalar()
            if found is None:
                return False
            connection.execute(delete(FILES).where(FILES.c.dataset_id == found))
            connection.execute(delete(DATASETS).where(DATASETS.c.id == found))
            return True

    def trim_events(self, before: datetime, most: int = 1000) -> int:
        """Remove log entries of transforms that have ended, from before a time; return how many."""
        old = (
            select(EVENTS.c.id)
            .join(TRANSFORMS, TRANSFORMS.c.request_id == EVENTS.c.request_id)
            .where(EVENTS.c.at < before, TRANSFORMS.c.status.in_(_FINAL))
            .limit(most)
        )
        with writing(self.engine) as connection:
            return connection.execute(delete(EVENTS).where(EVENTS.c.id.in_(old))).rowcount

    def compact(self) -> None:
        """Give room that is free back to the file system, where the database does not itself."""
        if self.engine.dialect.name == "sqlite":
            with reading(self.engine) as connection:
                connection.rollback()  # neither works in a transaction
                driver: Any = connection.connection.driver_connection
                # `execute` would free a single page.
                driver.executescript("PRAGMA incremental_vacuum; PRAGMA optimize;")
                driver.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def archive_row(connection: Connection, row: Row[Any]) -> None:
    """Archive the transform in `row`, which is locked; it counts as used now."""
    connection.execute(delete(RESULTS).where(RESULTS.c.request_id == row.request_id))
    connection.execute(
        update(TRANSFORMS)
        .where(TRANSFORMS.c.number == row.number)
        .values(archived=True, bytes=0, used=datetime.now(UTC))
    )
