"""How a try ends: its object is published, checked and reported, or its failure is.

These steps talk to workers, the storage and the database, and may take long;
they run in the engine's pool. What came of them goes back to the engine.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from sxdask.core.errors import RequestError, SxdaskError
from sxdask.service.transforms.cluster import outcome
from sxdask.service.transforms.ports import FileResult
from sxdask.service.transforms.task import failure

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable
    from typing import Any

    from sxdask.service.transforms.orders import Report
    from sxdask.service.transforms.ports import DatasetFile, Transform, TransformStore
    from sxdask.service.transforms.publishing import Publisher

_LOG: Final = logging.getLogger(__name__)
_PAUSE_SECONDS: Final = 1.0
_LONGEST_PAUSE: Final = 30.0

Verdict: TypeAlias = Literal["stored", "refused", "failed", "lost", "stopped"]
"""The result is stored; the store has one or wants none; the try failed; the cluster forgot it;
the engine stops."""


@dataclass(frozen=True, slots=True)
class Try:
    """One try at a file of a transform that is to be ended."""

    transform: Transform
    file: DatasetFile
    object: str
    seconds: float


class Ending:
    """Ends tries; every method may take long and may run in many threads."""

    def __init__(
        self, store: TransformStore, publisher: Publisher, stopping: threading.Event
    ) -> None:
        self._store = store
        self._publisher = publisher
        self._stopping = stopping

    def of_future(self, this: Try, future: Any) -> tuple[Verdict, Report | None]:
        """End a try whose task has ended: publish and store, or say why not."""
        report = outcome(future, this.file.paths[0])
        if report is None:
            return "lost", None
        if not report.ok:
            return "failed", report
        try:
            self._publisher.publish(this.transform, this.object, report.staged, report.bytes)
        except SxdaskError as error:
            return "failed", failure(report.path, error)
        return self.store(this, report), report

    def store(self, this: Try, report: Report) -> Verdict:
        """Store the result of a file: once, however often the database has to be asked."""
        result = FileResult(
            this.file.id,
            this.file.paths[0],
            ok=report.ok,
            object=this.object if report.ok else "",
            rows=report.rows,
            bytes=report.bytes,
            seconds=this.seconds,
            code=report.code,
            message=report.message,
            traceback=report.traceback,
        )
        stored = self._asked(lambda: self._store.report(this.transform.request_id, result))
        if stored is None:
            return "stopped"
        if stored:
            return "stored"
        return self._refused(this, report)

    def _refused(self, this: Try, report: Report) -> Verdict:
        """Remove an object that no result names: the transform is over, or was deleted."""
        request_id = this.transform.request_id
        rows = self._asked(lambda: self._store.results(request_id))
        if rows is None:
            return "stopped"
        own = [item.result for item in rows if item.result.file_id == this.file.id]
        if report.ok and not any(item.object == this.object for item in own):
            with suppress(SxdaskError):
                self._publisher.remove(this.transform, this.object)
        # The answer to a report that was stored may have been lost: then it is here.
        return "stored" if own else "refused"

    def _asked(self, question: Callable[[], Any]) -> Any:
        """Return the store's answer, asked until it has one; None when the engine stops."""
        pause = _PAUSE_SECONDS
        while True:
            try:
                return question()
            except RequestError:  # deleted meanwhile
                return []
            except SxdaskError as error:
                _LOG.warning("the database does not answer, asked again: %s", error.problem)
            if self._stopping.wait(pause):
                return None
            pause = min(2 * pause, _LONGEST_PAUSE)
