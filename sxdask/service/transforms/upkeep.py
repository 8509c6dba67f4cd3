"""Before a transform runs and after it is over: its place, its files, what is left behind.

These steps ask the database and the storage and may take long; they run in
the engine's pool.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from sxdask.core.errors import SxdaskError
from sxdask.service.transforms.asking import StoppedError, answered
from sxdask.service.transforms.naming import object_name
from sxdask.service.transforms.states import Broken

if TYPE_CHECKING:
    import threading

    from sxdask.service.transforms.course import Course
    from sxdask.service.transforms.lookups import Lookups
    from sxdask.service.transforms.ports import DatasetFile, Transform, TransformStore
    from sxdask.service.transforms.publishing import Publisher

_LOG: Final = logging.getLogger(__name__)


class Upkeep:
    """Prepares transforms and cleans up after them; methods may run in many threads."""

    def __init__(
        self,
        store: TransformStore,
        publisher: Publisher,
        lookups: Lookups,
        stopping: threading.Event,
    ) -> None:
        self._stopping = stopping
        self._store = store
        self._publisher = publisher
        self._lookups = lookups

    def unfinished(self) -> list[Transform] | None:
        """Return what there is to do, None if the database does not answer."""
        try:
            return self._store.unfinished()
        except SxdaskError as error:
            _LOG.warning("the database does not answer: %s", error.problem)
        except Exception:  # noqa: BLE001  the engine asks again, whatever it was
            _LOG.exception("the database gives no answer that is one")
        return None

    def look_up(self, transform: Transform) -> None:
        """Let the files of a dataset be looked for, unless they are."""
        record = self._store.dataset(transform.did_id)
        if record is not None and record.lookup_status in {"created", "looking"}:
            self._lookups.begin(record)

    def prepare(self, course: Course) -> list[DatasetFile]:
        """Make the place for results and return the files that have none.

        Raises
        ------
        SxdaskError
            If the database or the storage fails.
        """
        if not course.is_ready:
            self._publisher.prepare(course.transform)
        files = self._store.pending_files(course.request_id)
        if not course.is_ready and course.is_dirty and files:
            # What an engine that is gone left: nothing of these files is reported.
            names = {result_name(course.transform, file) for file in files}
            self._publisher.sweep(course.transform, names)
            self._publisher.keep(course.transform, names, ())
        return files

    def sweep(self, course: Course) -> None:
        """Remove what was begun for a transform that is over, and has no result."""
        transform = course.transform
        try:
            now = self._store.transform(transform.request_id)
            if now is None:  # deleted
                self._publisher.forget(transform)
            elif now.state.status.is_final and course.files:
                names = {result_name(transform, work.file) for work in course.files.values()}
                self._publisher.sweep(transform, names)
                if course.is_dirty:
                    results = self._store.results(transform.request_id, ok=True)
                    self._publisher.keep(transform, names, {row.result.object for row in results})
        except SxdaskError as error:
            facts = {"transform": transform.request_id}
            _LOG.warning("leftovers stay: %s", error.problem, extra=facts)

    def break_off(self, course: Course, reason: str) -> None:
        """Store that a transform cannot go on."""
        request_id = course.request_id
        with suppress(StoppedError):
            answered(
                lambda: self._store.apply(request_id, Broken(reason)),
                refused=course.transform.state,
                stopping=self._stopping,
            )
            _LOG.warning("given up: %s", reason, extra={"transform": request_id})


def result_name(transform: Transform, file: DatasetFile) -> str:
    """Return what the result of a file is called, by every engine."""
    return object_name(file.paths[0], file.id, transform.new.result_format)
