"""Counts made by the database: what metrics and pages of failures ask for again and again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Engine, func, select

from sxdask.service.database.connect import reading
from sxdask.service.database.tables import DATASETS, RESULTS, TRANSFORMS
from sxdask.service.transforms.ports import Cause, Finished

if TYPE_CHECKING:
    from datetime import datetime

_MOST_FINISHED: Final = 100_000


class Figures:
    """The part of `TransformStore` that counts; every method is one query."""

    engine: Engine

    def causes(self, request_id: str, most: int = 100) -> list[Cause]:
        """See `TransformStore.causes`."""
        count = func.count().label("files")
        query = (
            select(RESULTS.c.code, RESULTS.c.message, count, func.min(RESULTS.c.file_path))
            .where(RESULTS.c.request_id == request_id, ~RESULTS.c.ok)
            .group_by(RESULTS.c.code, RESULTS.c.message)
            .order_by(count.desc(), RESULTS.c.message)
            .limit(most)
        )
        with reading(self.engine) as connection:
            return [Cause(*row) for row in connection.execute(query)]

    def by_status(self) -> dict[str, int]:
        """See `TransformStore.by_status`."""
        query = (
            select(TRANSFORMS.c.status, func.count())
            .where(~TRANSFORMS.c.archived)
            .group_by(TRANSFORMS.c.status)
        )
        return self._counts(query)

    def lookups(self) -> dict[str, int]:
        """See `TransformStore.lookups`."""
        query = (
            select(DATASETS.c.lookup_status, func.count())
            .where(DATASETS.c.lookup_status.in_(("created", "looking")), ~DATASETS.c.stale)
            .group_by(DATASETS.c.lookup_status)
        )
        return self._counts(query)

    def finished_since(self, when: datetime) -> list[Finished]:
        """See `TransformStore.finished_since`."""
        columns = [RESULTS.c[name] for name in Finished.__dataclass_fields__]
        # Results are found by their transform: times alone have no index.
        lately = select(TRANSFORMS.c.request_id).where(TRANSFORMS.c.last_result > when)
        query = (
            select(*columns)
            .where(RESULTS.c.request_id.in_(lately), RESULTS.c.created > when)
            .order_by(RESULTS.c.created)
            .limit(_MOST_FINISHED)
        )
        with reading(self.engine) as connection:
            return [Finished(*row) for row in connection.execute(query)]

    def _counts(self, query: Any) -> dict[str, int]:
        with reading(self.engine) as connection:
            return {str(name): int(count) for name, count in connection.execute(query)}
