"""What says nothing for too long: tries, workers, transforms. Pure functions of the time."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Final

from sxdask.core.errors import SystemFaultError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from sxdask.service.transforms.course import Course, FileWork

SILENT_SECONDS: Final = 60.0
"""A worker whose tries told nothing for so long hangs as a whole: it tells once a second."""

_GRACE_SECONDS: Final = 120.0


def overdue(work: FileWork, now: float) -> bool:
    """Tell whether the worker of a try should have ended it long ago."""
    return work.started is not None and now - work.started > work.allowed + _GRACE_SECONDS


def silent(works: Iterable[FileWork], now: float) -> dict[str, list[FileWork]]:
    """Return the tries of workers that told nothing for too long, by worker."""
    heard: defaultdict[str, list[FileWork]] = defaultdict(list)
    for work in works:
        if work.phase == "sent" and work.heard is not None:
            heard[work.worker].append(work)
    return {
        worker: own
        for worker, own in heard.items()
        if all(item.heard is None or now - item.heard > SILENT_SECONDS for item in own)
    }


def standstill(
    course: Course,
    at_work: Collection[FileWork],
    times: tuple[float, float],
    limit: float,
    cluster: str,
) -> str | None:
    """Return why a transform is not to be waited for any longer, None if it is.

    A transform none of whose files is at work waits for its turn, and for the
    lookup of its dataset; then it is the engine as a whole that must move on.

    Parameters
    ----------
    course, at_work
        The transform, and its files that are at work.
    times
        The time, and when something moved on last, in any transform.
    limit
        Seconds.
    cluster
        What is wrong with the cluster, empty if nothing is.
    """
    now, engine_moved = times
    has_begun = any(work.phase == "ending" or work.heard is not None for work in at_work)
    moved = course.moved if has_begun else max(course.moved, engine_moved)
    if now - moved <= limit:
        return None
    if course.trouble:
        return f"it could not begin for {limit:g} s: {course.trouble}"
    if not course.left and not course.transform.state.looked_up:
        return f"no file of its dataset was found for {limit:g} s"
    return f"nothing of it moved on for {limit:g} s{': ' if cluster else ''}{cluster}"


def too_late(seconds: float) -> SystemFaultError:
    """Return the error of a file whose worker did not end it in time, as it should have."""
    return SystemFaultError(
        f"the file took more than {seconds:g} s, and its worker says nothing",
        hint="look at the log of the worker",
    )
