"""What pages show of the database: lists in pieces, each with few queries whatever their length.

Long columns (selections, tracebacks) are read only where one of them is shown.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from sqlalchemy import ColumnElement, Engine, Select, and_, case, func, or_, select

from sxdask.service.database.connect import reading
from sxdask.service.database.rows import STATE, dataset_of, file_of, state_of
from sxdask.service.database.tables import DATASETS, EVENTS, FILES, RESULTS, TRANSFORMS, USERS
from sxdask.service.transforms.states import Status

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import datetime

    from sxdask.service.transforms.ports import DatasetFile, DatasetRecord
    from sxdask.service.transforms.states import State

Kind = Literal["all", "active", "complete", "failures", "canceled", "broken"]
Order = Literal["created", "file", "seconds", "rows", "bytes", "rate"]

_ACTIVE: Final = [item.value for item in Status if not item.is_final]
_KINDS: Final[dict[Kind, ColumnElement[bool]]] = {
    "active": TRANSFORMS.c.status.in_(_ACTIVE),
    "complete": and_(TRANSFORMS.c.status == Status.COMPLETE.value, TRANSFORMS.c.failed == 0),
    "failures": TRANSFORMS.c.failed > 0,
    "canceled": TRANSFORMS.c.status == Status.CANCELED.value,
    "broken": TRANSFORMS.c.status.in_([Status.FATAL.value, Status.BAD_DATASET.value]),
}
_ORDERS: Final[dict[Order, Any]] = {
    "created": RESULTS.c.created,
    "file": RESULTS.c.file_path,
    "seconds": RESULTS.c.seconds,
    "rows": RESULTS.c.rows,
    "bytes": RESULTS.c.bytes,
    "rate": case((RESULTS.c.seconds > 0, RESULTS.c.rows / RESULTS.c.seconds), else_=0.0),
}
_LISTED: Final = [
    TRANSFORMS.c[name]
    for name in (
        *("request_id", "number", "title", "did", "did_id", "codegen", "result_format"),
        *("submitted_by", "submitted", "finished", "last_result", *STATE),
    )
]


@dataclass(frozen=True, slots=True)
class Choice:
    """Which transforms are listed: whose, of what kind, with what in title, dataset or id."""

    submitted_by: int | None = None
    kind: Kind = "all"
    text: str = ""


@dataclass(frozen=True, slots=True)
class Listed:
    """A transform as lists show it, without its selection. `owner` is a name for people."""

    request_id: str
    number: int
    title: str
    did: str
    did_id: int
    codegen: str
    result_format: str
    submitted_by: int | None
    submitted: datetime
    finished: datetime | None
    last_result: datetime | None
    state: State
    owner: str


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums over the good results of a transform; `seconds` are of work, on all workers."""

    results: int = 0
    rows: int = 0
    bytes: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class ResultLine:
    """A result as the table shows it, without its traceback."""

    id: int
    file_path: str
    ok: bool
    object: str
    rows: int
    bytes: int
    seconds: float
    code: str
    message: str
    created: datetime


@dataclass(frozen=True, slots=True)
class LoggedEvent:
    """An event of a transform's life, as it was stored."""

    at: datetime
    kind: str
    facts: dict[str, Any]


class Overview:
    """Reads lists for pages; every method is one transaction of one query or two."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def count(self, choice: Choice) -> dict[Kind, int]:
        """Return how many transforms there are of each kind, for the user and text of `choice`."""
        sums = [
            func.coalesce(func.sum(case((condition, 1), else_=0)), 0).label(kind)
            for kind, condition in _KINDS.items()
        ]
        query = select(func.count().label("all"), *sums).select_from(TRANSFORMS)
        with reading(self.engine) as connection:
            row = connection.execute(query.where(*_conditions(choice))).one()
        return {"all": row.all, **{kind: int(getattr(row, kind)) for kind in _KINDS}}

    def transforms(self, choice: Choice, limit: int, offset: int = 0) -> list[Listed]:
        """Return a piece of the list, newest first."""
        query = _listing().where(*_conditions(choice)).order_by(TRANSFORMS.c.number.desc())
        if choice.kind != "all":
            query = query.where(_KINDS[choice.kind])
        with reading(self.engine) as connection:
            found = connection.execute(query.limit(limit).offset(offset))
            return [_listed(row) for row in found]

    def transform(self, request_id: str) -> Listed | None:
        """Return one transform that is not archived."""
        query = _listing().where(TRANSFORMS.c.request_id == request_id, ~TRANSFORMS.c.archived)
        with reading(self.engine) as connection:
            row = connection.execute(query).first()
            return None if row is None else _listed(row)

    def active(self, submitted_by: int | None = None) -> list[str]:
        """Return the ids of the transforms that have not ended, oldest first."""
        query = select(TRANSFORMS.c.request_id).where(
            _KINDS["active"], *_conditions(Choice(submitted_by))
        )
        with reading(self.engine) as connection:
            return list(connection.execute(query.order_by(TRANSFORMS.c.number)).scalars())

    def totals(self, request_ids: Collection[str]) -> dict[str, Totals]:
        """Return sums over the good results of each transform that has any."""
        query = (
            select(
                RESULTS.c.request_id,
                func.count(),
                func.sum(RESULTS.c.rows),
                func.sum(RESULTS.c.bytes),
                func.sum(RESULTS.c.seconds),
            )
            .where(RESULTS.c.request_id.in_(request_ids), RESULTS.c.ok)
            .group_by(RESULTS.c.request_id)
        )
        with reading(self.engine) as connection:
            return {
                name: Totals(int(count), int(rows), int(size), float(seconds))
                for name, count, rows, size, seconds in connection.execute(query)
            }

    def results(
        self,
        request_id: str,
        *,
        ok: bool | None = None,
        order: Order = "created",
        descending: bool = False,
        limit: int = 100,
        offset: int = 0,
    ) -> list[ResultLine]:
        """Return a piece of the table of results."""
        columns = [RESULTS.c[name] for name in ResultLine.__dataclass_fields__]
        query = select(*columns).where(RESULTS.c.request_id == request_id)
        if ok is not None:
            query = query.where(RESULTS.c.ok == ok)
        by = _ORDERS[order]
        query = query.order_by(by.desc() if descending else by, RESULTS.c.id)
        with reading(self.engine) as connection:
            found = connection.execute(query.limit(limit).offset(offset))
            return [ResultLine(**row) for row in found.mappings()]

    def tracebacks(self, request_id: str, result_ids: Sequence[int]) -> dict[int, str]:
        """Return the tracebacks of some results of a transform, by their ids."""
        query = select(RESULTS.c.id, RESULTS.c.traceback).where(
            RESULTS.c.request_id == request_id, RESULTS.c.id.in_(result_ids)
        )
        with reading(self.engine) as connection:
            return {row.id: row.traceback for row in connection.execute(query)}

    def events(self, request_id: str, limit: int = 1000) -> list[LoggedEvent]:
        """Return what happened to a transform, in order."""
        query = select(EVENTS.c.at, EVENTS.c.kind, EVENTS.c.facts).where(
            EVENTS.c.request_id == request_id
        )
        with reading(self.engine) as connection:
            found = connection.execute(query.order_by(EVENTS.c.id).limit(limit))
            return [LoggedEvent(**row) for row in found.mappings()]

    def datasets(
        self, text: str = "", *, with_stale: bool = False, limit: int = 50, offset: int = 0
    ) -> tuple[list[DatasetRecord], int]:
        """Return a piece of the datasets, the latest used first, and how many there are."""
        conditions = [_contains(DATASETS.c.name, text)] if text else []
        if not with_stale:
            conditions.append(~DATASETS.c.stale)
        query = (
            select(DATASETS)
            .where(*conditions)
            .order_by(DATASETS.c.last_used.desc(), DATASETS.c.id.desc())
        )
        number = select(func.count()).select_from(DATASETS).where(*conditions)
        with reading(self.engine) as connection:
            found = [
                dataset_of(row) for row in connection.execute(query.limit(limit).offset(offset))
            ]
            return found, connection.execute(number).scalar_one()

    def dataset_files(self, dataset_id: int, limit: int, offset: int = 0) -> list[DatasetFile]:
        """Return a piece of a dataset's files, in order."""
        query = (
            select(FILES)
            .where(FILES.c.dataset_id == dataset_id)
            .order_by(FILES.c.position)
            .limit(limit)
            .offset(offset)
        )
        with reading(self.engine) as connection:
            return [file_of(row) for row in connection.execute(query)]


def _listing() -> Select[Any]:
    return select(*_LISTED, USERS.c.name, USERS.c.email).join(
        USERS, USERS.c.id == TRANSFORMS.c.submitted_by, isouter=True
    )


def _conditions(choice: Choice) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = [~TRANSFORMS.c.archived]
    if choice.submitted_by is not None:
        found.append(TRANSFORMS.c.submitted_by == choice.submitted_by)
    if choice.text:
        columns = (TRANSFORMS.c.title, TRANSFORMS.c.did, TRANSFORMS.c.request_id)
        found.append(or_(*(_contains(column, choice.text) for column in columns)))
    return found


def _contains(column: Any, text: str) -> ColumnElement[bool]:
    found: ColumnElement[bool] = func.lower(column).contains(text.lower(), autoescape=True)
    return found


def _listed(row: Any) -> Listed:
    names = [name for name in Listed.__dataclass_fields__ if name not in {"state", "owner"}]
    values = {name: getattr(row, name) for name in names}
    return Listed(**values, state=state_of(row), owner=row.name or row.email or "")
