"""How a try ends: its object is published, checked and reported, or its failure is.

These steps talk to workers, the storage and the database, and may take long;
they run in the engine's pool. What came of them goes back to the engine.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from sxdask.core.errors import SxdaskError
from sxdask.deliver.part import public_url
from sxdask.service.transforms.asking import StoppedError, answered
from sxdask.service.transforms.cluster import outcome
from sxdask.service.transforms.ports import FileResult
from sxdask.service.transforms.task import failure

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable
    from typing import Any

    from sxdask.service.transforms.orders import Report
    from sxdask.service.transforms.ports import DatasetFile, StoredResult, Transform, TransformStore
    from sxdask.service.transforms.publishing import Publisher

Verdict: TypeAlias = Literal["stored", "refused", "failed", "lost", "stopped"]
"""The result is stored; the store has one or wants none; the try failed; the cluster forgot it;
the engine stops."""


_LOG: Final = logging.getLogger(__name__)


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
        self,
        store: TransformStore,
        publisher: Publisher,
        stopping: threading.Event,
        let_by: Callable[[], None],
    ) -> None:
        self._store = store
        self._publisher = publisher
        self._stopping = stopping
        self._let_by = let_by

    def of_future(self, this: Try, future: Any) -> tuple[Verdict, Report | None]:
        """End a try whose task has ended: publish and store, or say why not."""
        report = outcome(future, this.file.paths[0])
        if report is None:
            return "lost", None
        if not report.ok:
            return "failed", report
        self._let_by()
        try:
            self._publisher.publish(this.transform, this.object, report.staged, report.bytes)
        except SxdaskError as error:
            return "failed", failure(report.path, error)
        self._let_by()
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
            seconds=this.seconds + report.seconds,
            code=report.code,
            message=report.message,
            traceback=report.traceback,
        )
        request_id = this.transform.request_id
        try:
            stored = answered(
                lambda: self._store.report(request_id, result),
                refused=False,
                stopping=self._stopping,
            )
            if not stored:
                return self._refused(this, report)
        except StoppedError:
            return "stopped"
        _told(request_id, result)
        return "stored"

    def _refused(self, this: Try, report: Report) -> Verdict:
        """Remove an object that no result names: the transform is over, or was deleted."""
        request_id = this.transform.request_id
        none: list[StoredResult] = []
        rows = answered(
            lambda: self._store.results(request_id), refused=none, stopping=self._stopping
        )
        own = [item.result for item in rows if item.result.file_id == this.file.id]
        if report.ok and not any(item.object == this.object for item in own):
            with suppress(SxdaskError):
                self._publisher.remove(this.transform, this.object)
        # The answer to a report that was stored may have been lost: then it is here.
        return "stored" if own else "refused"


def _told(request_id: str, result: FileResult) -> None:
    """Write a line of the transform's log about a file."""
    facts = {
        "transform": request_id,
        "file": public_url(result.file_path),
        "seconds": round(result.seconds, 3),
        "events": result.rows,
        "bytes": result.bytes,
    }
    if result.ok:
        _LOG.info("file done", extra=facts)
    else:
        _LOG.warning("file failed: %s", result.message, extra=facts | {"code": result.code})
