"""What pages show of a running transform, and update in place.

A page and its updates are made from the same `View`, so that they agree.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, Literal

from sxdask.service.pages.shown import NOTHING, count, duration, percent, size, speed
from sxdask.service.transforms.ports import EngineProgress
from sxdask.service.transforms.states import Status

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sxdask.service.database.overview import Listed, Totals
    from sxdask.service.transforms.ports import Engine

Tone = Literal["wait", "run", "good", "partly", "bad", "off"]

QUIET: Final = timedelta(minutes=1)
"""After so long without a result, a page says how long it has been."""

STEPS: Final = ("queued", "reading", "computing", "uploading")

_TONES: Final[dict[Status, Tone]] = {
    Status.SUBMITTED: "wait",
    Status.PENDING_LOOKUP: "wait",
    Status.LOOKUP: "wait",
    Status.RUNNING: "run",
    Status.CANCELED: "off",
    Status.FATAL: "bad",
    Status.BAD_DATASET: "bad",
}
_WAITING: Final = {
    Status.SUBMITTED: "waits for its turn",
    Status.PENDING_LOOKUP: "its dataset is being looked up for another request",
    Status.LOOKUP: "looking for its files",
}


@dataclass(frozen=True, slots=True)
class View:
    """A transform on a page.

    `done` and `failed` are percent of the bar; `cells` are texts. `is_at_work`
    says that the engine knows what its files do.
    """

    request_id: str
    status: str
    tone: Tone
    done: float
    failed: float
    bar: str
    may_cancel: bool
    is_at_work: bool
    cells: dict[str, str] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Return what the script of the page puts in its place."""
        return {
            "status": self.status,
            "tone": self.tone,
            "done": self.done,
            "failed": self.failed,
            "bar": self.bar,
            "active": self.may_cancel,
            "work": self.is_at_work,
            "cells": self.cells,
        }


def view_of(
    item: Listed,
    progress: EngineProgress | None,
    totals: Totals | None = None,
    now: datetime | None = None,
) -> View:
    """Return what is shown of `item`; with `totals`, sums of its results as well."""
    now = now or datetime.now(UTC)
    state = item.state
    files = f"{count(state.completed)} of {count(state.files)}{'' if _knows(item) else '+'}"
    cells = {
        "files": files if state.files else NOTHING,
        "failed-files": f"{count(state.failed)} failed" if state.failed else "",
        **_work(item, progress, now),
    }
    if totals is not None:
        cells |= _sums(item, totals, now)
    done = percent(state.completed, state.files)
    return View(
        request_id=item.request_id,
        status=state.status.value,
        tone=_tone(item),
        done=done,
        failed=min(percent(state.failed, state.files), 100 - done),
        bar=f"{files} files done, {count(state.failed)} failed" if state.files else "no files yet",
        may_cancel=not state.status.is_final,
        is_at_work=progress is not None and not state.status.is_final,
        cells=cells,
    )


def summary(engine: Engine, request_ids: Iterable[str]) -> dict[str, str]:
    """Return the sums over transforms that have not ended, as texts."""
    ids = list(request_ids)
    known = [found for name in ids if (found := engine.progress(name)) is not None]
    sums = {name: sum(getattr(item, name) for item in known) for name in STEPS}
    return {
        "active": count(len(ids)),
        **{name: count(number) for name, number in sums.items()},
        "speed": speed(sum(item.bytes_per_second for item in known)),
    }


def _knows(item: Listed) -> bool:
    """Tell whether all files of the transform are known."""
    return item.state.looked_up or item.state.status.is_final


def _tone(item: Listed) -> Tone:
    state = item.state
    if state.status is not Status.COMPLETE:
        return _TONES[state.status]
    if not state.failed:
        return "good"
    return "partly" if state.completed else "bad"


def _work(item: Listed, progress: EngineProgress | None, now: datetime) -> dict[str, str]:
    """Return what the tasks do, how fast, and how long it takes yet."""
    status = item.state.status
    if status.is_final:
        took = duration(((item.finished or now) - item.submitted).total_seconds())
        return dict.fromkeys(STEPS, NOTHING) | {"speed": took, "left": "in all", "note": ""}
    note = _WAITING.get(status, "")
    if progress is None:
        found = dict.fromkeys((*STEPS, "speed"), NOTHING)
        return found | {"left": "", "note": note or "waits for workers"}
    quiet = now - (item.last_result or item.submitted)
    if status is Status.RUNNING and quiet > QUIET:
        note = f"no file for {duration(quiet.total_seconds(), 1)}"
    left = progress.seconds_left
    return {
        **{name: count(getattr(progress, name)) for name in STEPS},
        "speed": speed(progress.bytes_per_second),
        "left": "" if left is None else f"{duration(left)} left",
        "note": note,
    }


def _sums(item: Listed, totals: Totals, now: datetime) -> dict[str, str]:
    wall = ((item.finished or now) - item.submitted).total_seconds()
    return {
        "rows": count(totals.rows),
        "bytes": size(totals.bytes),
        "average": speed(totals.bytes / wall) if wall > 0 and totals.bytes else NOTHING,
        "elapsed": duration(wall),
        "worked": duration(totals.seconds) if totals.results else NOTHING,
        "per-file": duration(totals.seconds / totals.results) if totals.results else NOTHING,
    }
