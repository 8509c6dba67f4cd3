"""The `TransformStore` in a database: every method is one transaction."""

from __future__ import annotations

import uuid
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Connection, delete, insert, select, update

from sxdask.service.database.connect import reading, writing
from sxdask.service.database.datasets import Datasets, add_files, fresh_dataset
from sxdask.service.database.rows import file_of, result_of, state_values, transform_of
from sxdask.service.database.steps import locked, log_event, step_row
from sxdask.service.database.tables import DATASETS, FILES, RESULTS, TRANSFORMS
from sxdask.service.transforms.ports import DatasetFile
from sxdask.service.transforms.states import (
    FileDone,
    FilesFound,
    LookupDone,
    LookupStarted,
    Resubmitted,
    State,
    Status,
    step,
)

if TYPE_CHECKING:
    from sqlalchemy import Row

    from sxdask.service.transforms.ports import FileResult, NewTransform, StoredResult, Transform
    from sxdask.service.transforms.states import Event

_MICROSECOND: Final = timedelta(microseconds=1)
_UNFINISHED: Final = [item.value for item in Status if not item.is_final]
USER_FILES: Final = "user"
"""The finder of datasets that are a list of files."""


class SqlStore(Datasets):
    """See `TransformStore`. Several processes may share one database."""

    def submit(self, new: NewTransform) -> Transform:
        """See `TransformStore.submit`."""
        with writing(self.engine) as connection:
            row, state = _dataset_for(connection, new)
            request_id = str(uuid.uuid4())
            now = datetime.now(UTC)
            values = asdict(replace(new, did=row.name))
            del values["files"]
            connection.execute(
                insert(TRANSFORMS).values(
                    **values,
                    **state_values(state),
                    request_id=request_id,
                    did_id=row.id,
                    submitted=now,
                    finished=now if state.status.is_final else None,
                )
            )
            return transform_of(locked(connection, request_id))

    def same_answer(self, content_key: str, submitted_by: int | None) -> Transform | None:
        """See `TransformStore.same_answer`."""
        query = (
            select(TRANSFORMS)
            .where(
                TRANSFORMS.c.content_key == content_key,
                TRANSFORMS.c.submitted_by.is_not_distinct_from(submitted_by),
                TRANSFORMS.c.status == Status.COMPLETE.value,
                TRANSFORMS.c.failed == 0,
                ~TRANSFORMS.c.archived,
            )
            .order_by(TRANSFORMS.c.number.desc())
            .limit(1)
        )
        return next(iter(self._transforms(query)), None)

    def transform(self, request_id: str) -> Transform | None:
        """See `TransformStore.transform`."""
        query = select(TRANSFORMS).where(
            TRANSFORMS.c.request_id == request_id, ~TRANSFORMS.c.archived
        )
        return next(iter(self._transforms(query)), None)

    def transforms(self, submitted_by: int | None = None) -> list[Transform]:
        """See `TransformStore.transforms`."""
        query = select(TRANSFORMS).where(~TRANSFORMS.c.archived)
        if submitted_by is not None:
            query = query.where(TRANSFORMS.c.submitted_by == submitted_by)
        return self._transforms(query.order_by(TRANSFORMS.c.number.desc()))

    def unfinished(self) -> list[Transform]:
        """See `TransformStore.unfinished`."""
        query = select(TRANSFORMS).where(
            TRANSFORMS.c.status.in_(_UNFINISHED), ~TRANSFORMS.c.archived
        )
        return self._transforms(query.order_by(TRANSFORMS.c.number))

    def apply(self, request_id: str, event: Event) -> State:
        """See `TransformStore.apply`."""
        with writing(self.engine) as connection:
            row = locked(connection, request_id)
            state = step_row(connection, row, event)
            log_event(connection, request_id, event)
            return state

    def pending_files(self, request_id: str) -> list[DatasetFile]:
        """See `TransformStore.pending_files`."""
        done = select(RESULTS.c.file_id).where(RESULTS.c.request_id == request_id)
        own = select(TRANSFORMS.c.did_id).where(TRANSFORMS.c.request_id == request_id)
        query = (
            select(FILES)
            .where(FILES.c.dataset_id.in_(own), FILES.c.id.not_in(done))
            .order_by(FILES.c.position)
        )
        with reading(self.engine) as connection:
            return [file_of(row) for row in connection.execute(query)]

    def report(self, request_id: str, result: FileResult) -> bool:
        """See `TransformStore.report`.

        The row is stamped later than every row before it, in the transaction that
        counts it, so that no client misses it or waits for one that it has seen.
        """
        with writing(self.engine) as connection:
            row = locked(connection, request_id)
            if Status(row.status).is_final or _has_result(connection, request_id, result.file_id):
                return False
            now = datetime.now(UTC)
            created = now if row.last_result is None else max(now, row.last_result + _MICROSECOND)
            values = asdict(result) | {"request_id": request_id, "created": created}
            connection.execute(insert(RESULTS).values(**values))
            connection.execute(
                update(TRANSFORMS)
                .where(TRANSFORMS.c.number == row.number)
                .values(last_result=created)
            )
            step_row(connection, row, FileDone(result.ok))
            return True

    def resubmit_failed(self, request_id: str) -> int:
        """See `TransformStore.resubmit_failed`."""
        with writing(self.engine) as connection:
            row = locked(connection, request_id)
            event = Resubmitted(row.failed)
            step_row(connection, row, event)
            log_event(connection, request_id, event)
            connection.execute(
                delete(RESULTS).where(RESULTS.c.request_id == request_id, ~RESULTS.c.ok)
            )
            return event.count

    def results(
        self, request_id: str, later_than: datetime | None = None, *, ok: bool | None = None
    ) -> list[StoredResult]:
        """See `TransformStore.results`."""
        query = select(RESULTS).where(RESULTS.c.request_id == request_id)
        if later_than is not None:
            query = query.where(RESULTS.c.created > later_than)
        if ok is not None:
            query = query.where(RESULTS.c.ok == ok)
        with reading(self.engine) as connection:
            return [result_of(row) for row in connection.execute(query.order_by(RESULTS.c.created))]

    def archive(self, request_id: str) -> None:
        """See `TransformStore.archive`."""
        with writing(self.engine) as connection:
            row = locked(connection, request_id)
            connection.execute(delete(RESULTS).where(RESULTS.c.request_id == request_id))
            connection.execute(
                update(TRANSFORMS).where(TRANSFORMS.c.number == row.number).values(archived=True)
            )

    def _transforms(self, query: Any) -> list[Transform]:
        with reading(self.engine) as connection:
            return [transform_of(row) for row in connection.execute(query)]


def _dataset_for(connection: Connection, new: NewTransform) -> tuple[Row[Any], State]:
    """Return the dataset of a new transform and the state that it begins in."""
    if new.files:
        name = sha256(" ".join(new.files).encode()).hexdigest()
        row = fresh_dataset(connection, name, USER_FILES)
        if row.lookup_status != "complete":
            add_files(connection, row.id, [DatasetFile(0, (path,)) for path in new.files])
            _complete(connection, row.id)
    else:
        row = fresh_dataset(connection, new.did, new.did.partition("://")[0])
    row = _dataset_row(connection, row.id)
    state = State()
    if row.lookup_status == "looking":
        state = step(state, LookupStarted(shared=True))
    if row.num_files:
        state = step(state, FilesFound(row.num_files))
    return row, step(state, LookupDone()) if row.lookup_status == "complete" else state


def _complete(connection: Connection, dataset_id: int) -> None:
    values = {"lookup_status": "complete", "last_updated": datetime.now(UTC)}
    connection.execute(update(DATASETS).where(DATASETS.c.id == dataset_id).values(**values))


def _dataset_row(connection: Connection, dataset_id: int) -> Row[Any]:
    return connection.execute(select(DATASETS).where(DATASETS.c.id == dataset_id)).one()


def _has_result(connection: Connection, request_id: str, file_id: int) -> bool:
    query = select(RESULTS.c.id).where(
        RESULTS.c.request_id == request_id, RESULTS.c.file_id == file_id
    )
    return connection.execute(query).first() is not None
