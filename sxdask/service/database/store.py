"""The `TransformStore` in a database: every method is one transaction."""

from __future__ import annotations

import json
import uuid
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Connection, bindparam, delete, func, insert, select, update

from sxdask.core.errors import RequestError
from sxdask.service.database.connect import reading, writing
from sxdask.service.database.datasets import Datasets, add_files, fresh_dataset, locked_dataset
from sxdask.service.database.figures import Figures
from sxdask.service.database.lifecycle import Lifecycle, archive_row
from sxdask.service.database.rows import file_of, result_of, state_values, transform_of
from sxdask.service.database.steps import locked, locked_or_none, log_event, step_row
from sxdask.service.database.tables import DATASETS, FILES, RESULTS, TRANSFORMS
from sxdask.service.transforms.ports import DatasetFile, Statistics, Transform
from sxdask.service.transforms.states import (
    FileDone,
    FilesFound,
    LookupDone,
    LookupFailed,
    LookupStarted,
    Resubmitted,
    State,
    Status,
    step,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sqlalchemy import Row, Select

    from sxdask.service.transforms.ports import FileResult, NewTransform, StoredResult
    from sxdask.service.transforms.states import Event

_MICROSECOND: Final = timedelta(microseconds=1)
# Questions of polls and reports are made once: that takes longer than to answer them.
_HAS_RESULT: Final = select(RESULTS.c.id).where(
    RESULTS.c.request_id == bindparam("request_id"), RESULTS.c.file_id == bindparam("file_id")
)
_ONE: Final = select(TRANSFORMS).where(
    TRANSFORMS.c.request_id == bindparam("request_id"), ~TRANSFORMS.c.archived
)
_UNFINISHED: Final = [item.value for item in Status if not item.is_final]
USER_FILES: Final = "user"
"""The finder of datasets that are a list of files."""


class SqlStore(Datasets, Lifecycle, Figures):
    """See `TransformStore`. Several processes may share one database."""

    def submit(self, new: NewTransform) -> Transform:
        """See `TransformStore.submit`."""
        with writing(self.engine) as connection:
            row, state = _dataset_for(connection, new)
            request_id = str(uuid.uuid4())
            now = datetime.now(UTC)
            values = asdict(replace(new, did=row.name))
            del values["files"]
            values |= state_values(state) | {"request_id": request_id, "did_id": row.id}
            values |= {"submitted": now, "used": now, "finished": _end(state, now)}
            query = insert(TRANSFORMS).values(**values).returning(TRANSFORMS.c.number)
            return Transform(
                request_id,
                connection.execute(query).scalar_one(),
                replace(new, did=row.name, files=()),
                row.name,
                row.id,
                state,
                now,
                _end(state, now),
            )

    def same_answer(self, content_key: str, submitted_by: int | None) -> Transform | None:
        """See `TransformStore.same_answer`; it counts as used now, and does not age out."""
        query = (
            select(TRANSFORMS)
            .join(DATASETS, DATASETS.c.id == TRANSFORMS.c.did_id)
            .where(
                TRANSFORMS.c.content_key == content_key,
                TRANSFORMS.c.submitted_by.is_not_distinct_from(submitted_by),
                TRANSFORMS.c.status == Status.COMPLETE.value,
                TRANSFORMS.c.failed == 0,
                ~TRANSFORMS.c.archived,
                ~DATASETS.c.stale,
            )
            .order_by(TRANSFORMS.c.number.desc())
            .limit(1)
        )
        if not self._transforms(query):
            return None  # as most often: nobody waits for the turn to write
        with writing(self.engine) as connection:
            row = connection.execute(query.with_for_update(of=TRANSFORMS)).first()
            if row is None:
                return None
            own = TRANSFORMS.c.number == row.number
            connection.execute(update(TRANSFORMS).where(own).values(used=datetime.now(UTC)))
            return transform_of(row)

    def transform(self, request_id: str) -> Transform | None:
        """See `TransformStore.transform`."""
        return next(iter(self._transforms(_ONE, {"request_id": request_id})), None)

    def transforms(
        self, submitted_by: int | None = None, *, most: int | None = None, before: int | None = None
    ) -> list[Transform]:
        """See `TransformStore.transforms`."""
        query = select(TRANSFORMS).where(~TRANSFORMS.c.archived)
        if submitted_by is not None:
            query = query.where(TRANSFORMS.c.submitted_by == submitted_by)
        if before is not None:
            query = query.where(TRANSFORMS.c.number < before)
        return self._transforms(query.order_by(TRANSFORMS.c.number.desc()).limit(most))

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
        done = select(RESULTS.c.id).where(
            RESULTS.c.file_id == FILES.c.id, RESULTS.c.request_id == request_id
        )
        own = select(TRANSFORMS.c.did_id).where(
            TRANSFORMS.c.request_id == request_id, ~TRANSFORMS.c.archived
        )
        query = (
            select(FILES)
            .where(FILES.c.dataset_id == own.scalar_subquery(), ~done.exists())
            .order_by(FILES.c.position)
        )
        with reading(self.engine) as connection:
            return [file_of(row) for row in connection.execute(query)]

    def report(self, request_id: str, result: FileResult) -> bool:
        """See `TransformStore.report`.

        The row is stamped later than every row before it, in the transaction that
        counts it, so that no client misses it or waits for one that it has seen. The
        time is read when the row of the transform is locked, and who waits for the
        lock sees what was stamped before: stamps grow in the order of commits.
        """
        with writing(self.engine) as connection:
            return report_row(connection, request_id, result)

    def report_all(self, results: Iterable[tuple[str, FileResult]]) -> list[bool]:
        """See `TransformStore.report_all`."""
        with writing(self.engine) as connection:
            # Always in the same order, so that no two wait for each other.
            found = sorted(enumerate(results), key=lambda item: item[1][0])
            told = {place: report_row(connection, *item) for place, item in found}
            return [told[place] for place in sorted(told)]

    def resubmit_failed(self, request_id: str) -> int:
        """See `TransformStore.resubmit_failed`."""
        own = TRANSFORMS.c.request_id == request_id
        with writing(self.engine) as connection:
            # The dataset first, as in lookups, so that no two wait for each other.
            of = connection.execute(select(TRANSFORMS.c.did_id).where(own)).scalar()
            dataset = None if of is None else locked_dataset(connection, of)
            row = locked(connection, request_id)
            event = Resubmitted(row.failed)
            step_row(connection, row, event, *_missed(row, dataset))
            log_event(connection, request_id, event)
            failed = delete(RESULTS).where(RESULTS.c.request_id == request_id, ~RESULTS.c.ok)
            connection.execute(failed)
            return event.count

    def results(
        self, request_id: str, later_than: datetime | None = None, *, ok: bool | None = None
    ) -> list[StoredResult]:
        """See `TransformStore.results`."""
        wanted = {"request_id": request_id, "later_than": later_than, "ok": ok}
        given = {name: value for name, value in wanted.items() if value is not None}
        with reading(self.engine) as connection:
            return [result_of(row) for row in connection.execute(_results(*given), given)]

    def statistics(self, request_id: str) -> Statistics | None:
        """See `TransformStore.statistics`."""
        seconds = RESULTS.c.seconds
        query = select(
            func.count(),
            func.min(seconds),
            func.max(seconds),
            func.sum(seconds),
            func.sum(RESULTS.c.rows),
            func.sum(RESULTS.c.bytes),
        ).where(RESULTS.c.request_id == request_id, RESULTS.c.ok)
        with reading(self.engine) as connection:
            count, least, most, total, rows, size = connection.execute(query).one()
        if not count:
            return None
        return Statistics(count, float(least), float(most), float(total), int(rows), int(size))

    def archive(self, request_id: str) -> None:
        """See `TransformStore.archive`."""
        with writing(self.engine) as connection:
            row = locked(connection, request_id)
            if not Status(row.status).is_final:
                raise RequestError(
                    f"transform {request_id} is still {row.status}", hint="cancel it first"
                )
            archive_row(connection, row)

    def _transforms(self, query: Any, values: Mapping[str, Any] | None = None) -> list[Transform]:
        with reading(self.engine) as connection:
            return [transform_of(row) for row in connection.execute(query, values)]


@cache
def _results(*given: str) -> Select[Any]:
    """Return the question for results by these values."""
    conditions = {
        "request_id": RESULTS.c.request_id == bindparam("request_id"),
        "later_than": RESULTS.c.created > bindparam("later_than"),
        "ok": RESULTS.c.ok == bindparam("ok"),
    }
    wanted = [conditions[name] for name in given]
    return select(RESULTS).where(*wanted).order_by(RESULTS.c.created)


def _dataset_for(connection: Connection, new: NewTransform) -> tuple[Row[Any], State]:
    """Return the dataset of a new transform and the state that it begins in."""
    if new.files:
        name = _name_of_list(new.files)
        row = fresh_dataset(connection, name, USER_FILES)
        if row.lookup_status != "complete":
            add_files(connection, row.id, [DatasetFile(0, (path,)) for path in new.files])
            _complete(connection, row.id)
    else:
        row = fresh_dataset(connection, new.did, new.did.partition("://")[0])
    row = connection.execute(select(DATASETS).where(DATASETS.c.id == row.id)).one()
    state = State()
    if row.lookup_status == "looking":
        state = step(state, LookupStarted(shared=True))
    if row.num_files:
        state = step(state, FilesFound(row.num_files))
    if row.lookup_status == "complete":
        state = step(state, LookupDone(row.reason))
    return row, state


def _name_of_list(files: tuple[str, ...]) -> str:
    """Return ServiceX's name of a list; a path with a space in it might be two of another list."""
    text = json.dumps(files) if any(" " in path for path in files) else " ".join(files)
    return sha256(text.encode(errors="surrogatepass")).hexdigest()


def _complete(connection: Connection, dataset_id: int) -> None:
    values = {"lookup_status": "complete", "last_updated": datetime.now(UTC)}
    connection.execute(update(DATASETS).where(DATASETS.c.id == dataset_id).values(**values))


def _missed(row: Row[Any], dataset: Row[Any] | None) -> list[Event]:
    """Return what a transform was not told of its dataset's lookup after it had ended."""
    if dataset is None or row.looked_up:
        return []
    more = dataset.num_files - row.files
    found: list[Event] = [FilesFound(more)] if more else []
    if dataset.lookup_status == "complete":
        return [*found, LookupDone(dataset.reason)]
    if dataset.lookup_status in {"created", "looking"}:
        return found
    return [LookupFailed(dataset.reason)]


def _end(state: State, now: datetime) -> datetime | None:
    return now if state.status.is_final else None


def report_row(connection: Connection, request_id: str, result: FileResult) -> bool:
    """Do what `TransformStore.report` says in a transaction that is open."""
    row = locked_or_none(connection, request_id)
    if row is None or Status(row.status).is_final:
        return False  # canceled, broken or removed meanwhile
    if _has_result(connection, request_id, result.file_id):
        return False
    now = datetime.now(UTC)
    created = now if row.last_result is None else max(now, row.last_result + _MICROSECOND)
    values = asdict(result) | {"request_id": request_id, "created": created}
    connection.execute(insert(RESULTS), values)
    size = TRANSFORMS.c.bytes + (result.bytes if result.ok else 0)
    step_row(connection, row, FileDone(result.ok), last_result=created, bytes=size)
    return True


def _has_result(connection: Connection, request_id: str, file_id: int) -> bool:
    wanted = {"request_id": request_id, "file_id": file_id}
    return connection.execute(_HAS_RESULT, wanted).first() is not None
