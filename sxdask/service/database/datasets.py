"""Datasets and their files in the database."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Connection, Engine, Row, false, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from sxdask.core.errors import RequestError
from sxdask.service.database.connect import reading, writing
from sxdask.service.database.rows import dataset_of, file_of
from sxdask.service.database.steps import STEP_COLUMNS, log_event, step_row
from sxdask.service.database.tables import DATASETS, FILES, TRANSFORMS
from sxdask.service.database.types import storable
from sxdask.service.transforms.states import (
    FilesFound,
    LookupDone,
    LookupFailed,
    LookupStarted,
    Status,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sxdask.service.transforms.ports import DatasetFile, DatasetRecord, LookupStatus
    from sxdask.service.transforms.states import Event

NEVER: Final = datetime(1970, 1, 1, tzinfo=UTC)
"""When a dataset was updated that never was, as clients want no null."""
MAX_NAME: Final = 2_000
"""Most bytes of a path or the name of a dataset: PostgreSQL keeps an index of no more."""
_CHUNK: Final = 500  # paths that one question asks for


class Datasets:
    """The part of `TransformStore` that is about datasets."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def begin_lookup(self, dataset_id: int) -> bool:
        """See `TransformStore.begin_lookup`."""
        with writing(self.engine) as connection:
            row = locked_dataset(connection, dataset_id)
            if row.lookup_status != "created":
                return False
            _set(connection, dataset_id, lookup_status="looking")
            _tell_waiting(connection, dataset_id, LookupStarted())
            return True

    def renew_lookups(self) -> list[int]:
        """Return the datasets whose lookup a service that is gone had begun, to begin anew."""
        with writing(self.engine) as connection:
            condition = DATASETS.c.lookup_status == "looking"
            found = connection.execute(select(DATASETS.c.id).where(condition)).scalars().all()
            connection.execute(update(DATASETS).where(condition).values(lookup_status="created"))
            return list(found)

    def add_files(self, dataset_id: int, files: Iterable[DatasetFile]) -> None:
        """See `TransformStore.add_files`."""
        with writing(self.engine) as connection:
            locked_dataset(connection, dataset_id)
            count = add_files(connection, dataset_id, files)
            if count:
                _tell_waiting(connection, dataset_id, FilesFound(count))

    def end_lookup(
        self, dataset_id: int, status: LookupStatus = "complete", reason: str = ""
    ) -> None:
        """See `TransformStore.end_lookup`; a dataset that cannot be had is stale at once."""
        is_good = status == "complete"
        with writing(self.engine) as connection:
            row = locked_dataset(connection, dataset_id)
            _set(
                connection,
                dataset_id,
                lookup_status=status,
                reason=reason,
                stale=row.stale or not is_good,  # a user may have made it stale meanwhile
                last_updated=datetime.now(UTC),
            )
            event: Event = LookupDone(reason) if is_good else LookupFailed(reason)
            _tell_waiting(connection, dataset_id, event)

    def dataset(self, dataset_id: int) -> DatasetRecord | None:
        """See `TransformStore.dataset`."""
        with reading(self.engine) as connection:
            row = connection.execute(select(DATASETS).where(DATASETS.c.id == dataset_id)).first()
            return None if row is None else dataset_of(row)

    def datasets(
        self, did_finder: str | None = None, *, with_stale: bool = False
    ) -> list[DatasetRecord]:
        """See `TransformStore.datasets`."""
        query = select(DATASETS).order_by(DATASETS.c.last_used.desc(), DATASETS.c.id.desc())
        if did_finder is not None:
            query = query.where(DATASETS.c.did_finder == did_finder)
        if not with_stale:
            query = query.where(~DATASETS.c.stale)
        with reading(self.engine) as connection:
            return [dataset_of(row) for row in connection.execute(query)]

    def dataset_files(self, dataset_id: int) -> list[DatasetFile]:
        """See `TransformStore.dataset_files`."""
        query = select(FILES).where(FILES.c.dataset_id == dataset_id).order_by(FILES.c.position)
        with reading(self.engine) as connection:
            return [file_of(row) for row in connection.execute(query)]

    def make_stale(self, dataset_id: int) -> bool:
        """See `TransformStore.make_stale`."""
        with writing(self.engine) as connection:
            row = locked_dataset(connection, dataset_id)
            _set(connection, dataset_id, stale=True)
            return not row.stale


def fresh_dataset(connection: Connection, name: str, did_finder: str) -> Row[Any]:
    """Return the row of the dataset `name` that is not stale, locked; made if there is none."""
    _require_short(name, "the name of the dataset")
    name = storable(name)
    query = select(DATASETS).where(DATASETS.c.name == name, ~DATASETS.c.stale).with_for_update()
    now = datetime.now(UTC)
    while (row := connection.execute(query).first()) is None:
        # Of two who submit it at the same time one makes it, and the other waits for that. It
        # may be stale again when the other sees it: then the other makes the next.
        values = {"name": name, "did_finder": did_finder, "last_used": now, "last_updated": NEVER}
        make = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
        connection.execute(
            make(DATASETS)
            .values(**values)
            .on_conflict_do_nothing(
                index_elements=["name"], index_where=DATASETS.c.stale == false()
            )
        )
    _set(connection, row.id, last_used=now)
    return row


def add_files(connection: Connection, dataset_id: int, files: Iterable[DatasetFile]) -> int:
    """Add the files that are not there yet, known by their first path; return how many.

    The row of the dataset is locked.
    """
    fresh: dict[str, DatasetFile] = {}
    for file in files:
        fresh.setdefault(storable(file.paths[0]), file)
    wanted = list(fresh)
    for path in wanted:
        _require_short(path, "the path of a file")
    for start in range(0, len(wanted), _CHUNK):
        chunk = FILES.c.path.in_(wanted[start : start + _CHUNK])
        known = select(FILES.c.path).where(FILES.c.dataset_id == dataset_id, chunk)
        for path in connection.execute(known).scalars():
            del fresh[path]
    own = DATASETS.c.id == dataset_id
    position = connection.execute(select(DATASETS.c.num_files).where(own)).scalar_one()
    rows = [
        {
            "dataset_id": dataset_id,
            "position": position + number,
            "path": path,
            "replicas": list(file.paths),
            "adler32": file.adler32,
            "size": file.size,
            "events": file.events,
        }
        for number, (path, file) in enumerate(fresh.items())
    ]
    if rows:
        connection.execute(insert(FILES), rows)
        _set(
            connection,
            dataset_id,
            num_files=DATASETS.c.num_files + len(rows),
            size=DATASETS.c.size + sum(row["size"] for row in rows),
            events=DATASETS.c.events + sum(row["events"] for row in rows),
        )
    return len(rows)


def _require_short(name: str, what: str) -> None:
    size = len(name.encode(errors="replace"))
    if size > MAX_NAME:
        raise RequestError(
            f"{what} has {size} bytes, the limit is {MAX_NAME}: {name[:60]!r}...",
            hint="shorten it",
        )


def locked_dataset(connection: Connection, dataset_id: int) -> Row[Any]:
    """Return the row of a dataset; nobody else changes it until this transaction ends.

    Raises
    ------
    RequestError
        If there is none.
    """
    query = select(DATASETS).where(DATASETS.c.id == dataset_id).with_for_update()
    row = connection.execute(query).first()
    if row is None:
        raise RequestError(f"there is no dataset {dataset_id}")
    return row


def _set(connection: Connection, dataset_id: int, **values: Any) -> None:
    connection.execute(update(DATASETS).where(DATASETS.c.id == dataset_id).values(**values))


def _tell_waiting(connection: Connection, dataset_id: int, event: Event) -> None:
    """Take a step with every transform that waits for files of the dataset."""
    query = (
        select(*STEP_COLUMNS)
        .where(
            TRANSFORMS.c.did_id == dataset_id,
            ~TRANSFORMS.c.looked_up,
            TRANSFORMS.c.status.in_([item.value for item in Status if not item.is_final]),
        )
        .order_by(TRANSFORMS.c.number)
        .with_for_update()
    )
    for row in connection.execute(query).all():
        step_row(connection, row, event)
        log_event(connection, row.request_id, event)
