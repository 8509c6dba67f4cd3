"""Figures for Prometheus. Labels have few values each: routes, states, outcomes; no names of users.

Counts of files come from the database when somebody asks, so that they need
nothing of the engine; files are counted once, since this process began.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from threading import Lock
from typing import TYPE_CHECKING, Final

from fastapi import APIRouter, Request
from fastapi.responses import Response
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from sxdask.service.transforms.states import Status

if TYPE_CHECKING:
    from sxdask.service.rest.parts import Parts

ROUTER: Final = APIRouter(tags=["service"])
_TASKS: Final = ("queued", "reading", "computing", "uploading")
_OVERLAP: Final = timedelta(seconds=30)
"""Results may be committed a little later than they are stamped."""


@ROUTER.get(
    "/metrics",
    summary="Figures for Prometheus",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
def show_metrics(request: Request) -> Response:
    """Return figures in Prometheus' text format."""
    metrics: Metrics = request.app.state.metrics
    return Response(metrics.text(), media_type=CONTENT_TYPE_LATEST)


class Metrics:
    """The figures of one service."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._lock = Lock()
        self._start = self._since = datetime.now(UTC)
        self._counted: dict[tuple[str, int], datetime] = {}
        self.registry = CollectorRegistry()
        own = self.registry
        self._requests = Histogram(
            "sxdask_http_seconds",
            "Time of requests.",
            ("method", "route", "status"),
            buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10),
            registry=own,
        )
        self._states = Gauge("sxdask_transforms", "Transforms by state.", ("state",), registry=own)
        self._tasks = Gauge("sxdask_tasks", "Files of running transforms.", ("at",), registry=own)
        self._lookups = Gauge("sxdask_lookups", "Lookups of datasets.", ("state",), registry=own)
        self._files = Counter("sxdask_files", "Files done.", ("outcome",), registry=own)
        self._bytes = Counter("sxdask_result_bytes", "Bytes of results.", registry=own)
        self._events = Counter("sxdask_result_events", "Events of results.", registry=own)
        self._seconds = Histogram(
            "sxdask_file_seconds",
            "Time of work on a file.",
            buckets=(0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800),
            registry=own,
        )
        for outcome in ("done", "failed"):
            self._files.labels(outcome)

    def seen(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a request."""
        self._requests.labels(method, route, f"{status // 100}xx").observe(seconds)

    def text(self) -> bytes:
        """Return all figures, those of the database brought up to date."""
        with self._lock:
            self._count_files()
            self._count_transforms()
            return bytes(generate_latest(self.registry))

    def _count_transforms(self) -> None:
        found = self._parts.store.by_status()
        for status in Status:
            self._states.labels(status.value).set(found.get(status.value, 0))
        looked = self._parts.store.lookups()
        for name, state in (("waiting", "created"), ("running", "looking")):
            self._lookups.labels(name).set(looked.get(state, 0))
        at = dict.fromkeys(_TASKS, 0)
        for transform in self._parts.store.unfinished():
            progress = self._parts.engine.progress(transform.request_id)
            for name in _TASKS if progress is not None else ():
                at[name] += getattr(progress, name)
        for name, count in at.items():
            self._tasks.labels(name).set(count)

    def _count_files(self) -> None:
        begin = self._since - _OVERLAP
        counted: dict[tuple[str, int], datetime] = {}
        for file in self._parts.store.finished_since(begin):
            key = file.request_id, file.file_id
            counted[key] = file.created
            # A file that failed and was tried again has a result of a later time.
            if self._counted.get(key) == file.created or file.created <= self._start:
                continue
            self._files.labels("done" if file.ok else "failed").inc()
            self._seconds.observe(file.seconds)
            if file.ok:
                self._bytes.inc(file.bytes)
                self._events.inc(file.rows)
            self._since = max(self._since, file.created)
        self._counted = counted
