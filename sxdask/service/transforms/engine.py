"""The engine of the service: one thread that decides, a pool that waits, Dask that computes.

What the engine knows changes in its one thread alone, by events that are
posted to it; so no two of them meet. The store is the truth: after a restart,
and every few seconds, the engine asks it what is unfinished.
"""

from __future__ import annotations

import logging
import pickle
import time
import uuid
from collections import defaultdict
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from sxdask.core.errors import SxdaskError, SystemFaultError
from sxdask.service.transforms.cluster import Cluster, is_gone
from sxdask.service.transforms.course import Course, FileWork
from sxdask.service.transforms.ending import Ending, Try
from sxdask.service.transforms.fair import FairQueue
from sxdask.service.transforms.limits import DEFAULT_LIMITS, EngineLimits
from sxdask.service.transforms.loop import EventLoop
from sxdask.service.transforms.orders import Order, work_of
from sxdask.service.transforms.publishing import Publisher
from sxdask.service.transforms.task import failure
from sxdask.service.transforms.upkeep import Upkeep, result_name
from sxdask.service.transforms.watching import overdue, silent, standstill, too_late

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sxdask.service.transforms.ending import Verdict
    from sxdask.service.transforms.lookups import Lookups
    from sxdask.service.transforms.orders import Report
    from sxdask.service.transforms.ports import (
        DatasetFile,
        EngineProgress,
        ObjectStore,
        Transform,
        TransformStore,
    )

_LOG: Final = logging.getLogger(__name__)

_POLL_SECONDS: Final = 5.0
_WATCH_SECONDS: Final = 0.5
_TROUBLE_SECONDS: Final = 1.0
_LOOKUP_SECONDS: Final = 30.0
_MOST_LOSSES: Final = 20  # of one file
_SWEEP_AGAIN_SECONDS: Final = 15.0


class DaskEngine:
    """Drives lookups and files of all transforms on a Dask cluster; see `Engine`.

    Parameters
    ----------
    store, objects, lookups
        Transforms, destinations by name, and what finds the files of datasets.
    client
        Makes a ``distributed.Client``; called again when its scheduler is lost.
    limits
        What is allowed.
    let_by
        Called before each step of the work; it may wait a moment for what is more urgent.
    """

    def __init__(
        self,
        *,
        store: TransformStore,
        objects: Mapping[str, ObjectStore],
        lookups: Lookups,
        client: Callable[[], Any],
        limits: EngineLimits = DEFAULT_LIMITS,
        let_by: Callable[[], None] = lambda: None,
    ) -> None:
        self._limits = limits
        self._publisher = Publisher(objects)
        self._loop = EventLoop(self._turn, self._woken, let_by=let_by)
        self._upkeep = Upkeep(store, self._publisher, lookups, self._loop.stopping)
        self._ending = Ending(store, self._publisher, self._loop.stopping, let_by)
        self._cluster = Cluster(
            client, post=self._loop.post, run=self._loop.run, on_beat=self._beat
        )
        self._courses: dict[str, Course] = {}
        self._sent: dict[str, FileWork] = {}  # by attempt, while its task may run
        self._closing: set[tuple[str, int]] = set()  # files that are being published
        self._queue: FairQueue[FileWork] = FairQueue(limits.shares(0), limits.weights)
        self._is_woken, self._is_looking, self._is_first_look = True, False, True
        self._next_poll = self._next_watch = 0.0
        self._moved = time.monotonic()
        self._shown: dict[str, EngineProgress] = {}

    def start(self) -> None:
        """See `Engine.start`."""
        self._loop.start()

    def wake(self) -> None:
        """See `Engine.wake`."""
        self._loop.post(self._woken)

    def stop(self) -> None:
        """See `Engine.stop`."""
        self._loop.stop()
        self._loop.finish()
        self._cluster.close([work.future for work in self._sent.values()])

    def progress(self, request_id: str) -> EngineProgress | None:
        """See `Engine.progress`."""
        return self._shown.get(request_id)

    @property
    def is_well(self) -> bool:
        """Whether the engine's thread lives and takes its turns."""
        return self._loop.is_well

    def _woken(self) -> None:
        self._is_woken = True

    def _turn(self) -> None:
        now = time.monotonic()
        if self._cluster.look(is_needed=bool(self._sent)):
            for work in [item for item in self._sent.values() if item.phase == "sent"]:
                self._forgotten(work)
        if (self._is_woken or now >= self._next_poll) and not self._is_looking:
            self._is_woken, self._is_looking = False, True
            self._next_poll = now + _POLL_SECONDS
            self._loop.run(self._look)
        self._fill(now)
        if now >= self._next_watch:
            self._next_watch = now + _WATCH_SECONDS
            self._watch(now)

    def _look(self) -> None:
        found = self._upkeep.unfinished()
        self._loop.post(lambda: self._looked(found))

    def _looked(self, found: list[Transform] | None) -> None:
        self._is_looking = False
        if found is None:
            return
        now = time.monotonic()
        for gone in self._courses.keys() - {item.request_id for item in found}:
            self._over(self._courses[gone])
        for transform in found:
            self._attend(transform, now)
        self._is_first_look = False

    def _attend(self, transform: Transform, now: float) -> None:
        course = self._courses.get(transform.request_id)
        if course is None:
            course = Course(transform, now, is_dirty=self._is_first_look)
            self._courses[transform.request_id] = course
        if course.transform.state != transform.state:
            course.moved = now
        course.transform, state = transform, transform.state
        if not state.looked_up and now - course.asked > _LOOKUP_SECONDS:
            course.asked = now
            self._loop.run(lambda: self._upkeep.look_up(transform))
        needs = not course.is_ready or state.remaining > course.left
        if needs and not course.is_preparing:
            course.is_preparing = True
            done = frozenset(course.done)
            self._loop.run(lambda: self._prepare(course, done))

    def _prepare(self, course: Course, done: frozenset[int]) -> None:
        files: list[DatasetFile] = []
        trouble = "something failed that should not: see the log"
        try:
            files = self._upkeep.prepare(course)
            trouble = ""
        except SxdaskError as error:
            trouble = error.problem
            _LOG.warning("transform %s cannot begin yet: %s", course.request_id, trouble)
        finally:
            self._loop.post(lambda: self._prepared(course, files, done, trouble))

    def _prepared(
        self, course: Course, files: list[DatasetFile], done: frozenset[int], trouble: str
    ) -> None:
        course.is_preparing, course.trouble = False, trouble
        if self._courses.get(course.request_id) is not course or course.is_ending:
            return
        if trouble:
            course.troubles += 1
            self._loop.later(min(30.0, 2.0 ** (course.troubles - 1)), self._woken)
            return
        course.is_ready = True
        free = [item for item in files if (course.request_id, item.id) not in self._closing]
        if len(free) < len(files):  # an earlier try is being published, or was
            self._loop.later(_TROUBLE_SECONDS, self._woken)
        new = course.add(free, done)
        if new:
            course.moved = now = time.monotonic()
            self._enqueue(course, new)
            self._shown[course.request_id] = course.progress(now)

    def _enqueue(self, course: Course, works: list[FileWork]) -> None:
        new = course.transform.new
        self._queue.add(course.request_id, works, user=new.submitted_by, priority=new.priority)

    def _fill(self, now: float) -> None:
        self._queue.limits = self._limits.shares(self._cluster.threads)
        while self._cluster.is_ready and (taken := self._queue.take()):
            if not self._send(self._courses[taken[0]], taken[1], now):
                return

    def _send(self, course: Course, work: FileWork, now: float) -> bool:
        transform, limits = course.transform, self._limits
        attempt = uuid.uuid4().hex
        try:
            order = Order(
                attempt,
                work_of(transform, limits),
                work.file.paths,
                result_name(transform, work.file),
                *self._publisher.place(transform),
                limits.still_seconds,
                max(1.0, limits.file_seconds - work.seconds),
            )
            work.send(attempt, order.object, order.seconds)
            self._sent[attempt] = work
            work.future = self._cluster.send(
                attempt, pickle.dumps(order), lambda: self._done(work, attempt)
            )
        except SystemFaultError:  # the cluster is lost
            self._forgotten(work)
            return False
        except SxdaskError as error:
            self._sent.pop(attempt, None)
            course.drop(work)
            self._queue.done(course.request_id)
            self._break(course, error.problem)
        course.began = course.began or now
        return True

    def _beat(self, worker: str, attempts: Mapping[str, tuple[str, int]]) -> None:
        now = time.monotonic()
        for attempt, (stage, num_bytes) in attempts.items():
            work = self._sent.get(attempt)
            if work and work.phase == "sent" and work.hear(worker, stage, num_bytes, now):
                self._moved = self._courses[work.request_id].moved = now

    def _done(self, work: FileWork, attempt: str) -> None:
        """Take notice that a task has ended; its end is worked out in the pool."""
        if work.attempt != attempt or work.phase != "sent":
            return  # given up: what it stored is swept away
        if is_gone(work.future):
            self._forgotten(work)
            return
        course, future = self._courses[work.request_id], work.future
        work.phase = "ending"
        self._closing.add((work.request_id, work.file.id))
        this = Try(course.transform, work.file, work.object, work.seconds)
        self._loop.run(lambda: self._end(work, attempt, this, future))

    def _end(self, work: FileWork, attempt: str, this: Try, future: Any) -> None:
        verdict: Verdict = "failed"
        report: Report | None = None
        try:
            verdict, report = self._ending.of_future(this, future)
        except Exception as error:
            report = failure(this.file.paths[0], error)
            raise
        finally:
            self._loop.post(lambda: self._judge(work, attempt, verdict, report))

    def _store_failure(self, work: FileWork, attempt: str, this: Try, report: Report) -> None:
        verdict: Verdict = "lost"
        try:
            verdict = self._ending.store(this, report)
        finally:
            self._loop.post(lambda: self._judge(work, attempt, verdict, report))

    def _judge(self, work: FileWork, attempt: str, verdict: Verdict, report: Report | None) -> None:
        self._closing.discard((work.request_id, work.file.id))
        if work.attempt != attempt or verdict == "stopped":
            return
        course, now = self._courses[work.request_id], time.monotonic()
        if verdict == "lost" or report is None:
            self._forgotten(work)
            return
        self._moved = course.moved = now
        if verdict == "failed":
            self._failed(course, work, report)
            return
        del self._sent[attempt]
        self._queue.done(course.request_id)
        course.end(work, report, now)
        reason = course.mistake(self._limits.fail_fast) if verdict == "stored" else None
        if reason and (course.left or not course.transform.state.looked_up):
            self._break(course, reason)
        if verdict == "refused" or not course.left:
            self._woken()

    def _failed(self, course: Course, work: FileWork, report: Report) -> None:
        """Try a file again after a pause, or store that it failed."""
        limits = self._limits
        work.seconds += report.seconds
        course.is_dirty = True
        if report.stuck >= limits.stuck_threads and report.worker:
            self._cluster.restart(report.worker)
        if report.transient and work.tries < limits.tries and work.seconds < limits.file_seconds:
            del self._sent[work.attempt]
            work.rest("pausing")
            self._queue.done(course.request_id)
            pause = limits.pause_seconds * 2 ** (work.tries - 1)
            self._loop.later(pause, lambda: self._again(course, work))
            return
        this, attempt = Try(course.transform, work.file, work.object, work.seconds), work.attempt
        self._loop.run(lambda: self._store_failure(work, attempt, this, report))

    def _again(self, course: Course, work: FileWork) -> None:
        is_over = course.is_ending or self._courses.get(course.request_id) is not course
        if work.phase == "pausing" and not is_over:
            work.phase = "waiting"
            self._enqueue(course, [work])

    def _forgotten(self, work: FileWork) -> None:
        """Send a file again whose task is lost; that is no try of its own."""
        course = self._courses[work.request_id]
        self._sent.pop(work.attempt, None)
        course.is_dirty = True
        work.tries -= 1
        work.losses += 1
        work.rest("waiting")
        self._queue.again(work.request_id, work)
        self._queue.done(work.request_id)
        if work.losses > _MOST_LOSSES:
            self._break(course, f"what became of {work.file.paths[0]!r} cannot be had or stored")

    def _over(self, course: Course) -> None:
        """Forget a transform that has ended, however it did."""
        request_id = course.request_id
        del self._courses[request_id]
        self._shown.pop(request_id, None)
        self._queue.remove(request_id)
        at_work = [work for work in course.files.values() if work.attempt]
        self._cluster.cancel([work.future for work in at_work])
        for work in at_work:
            self._sent.pop(work.attempt, None)
            course.drop(work)
            self._queue.done(request_id)
        course.is_dirty |= bool(at_work)
        sweep = partial(self._upkeep.sweep, course)
        self._loop.run(sweep)
        if course.is_dirty:  # a task that was canceled may have been writing
            self._loop.later(_SWEEP_AGAIN_SECONDS, lambda: self._loop.run(sweep))

    def _break(self, course: Course, reason: str) -> None:
        """End a transform that cannot go on."""
        if course.is_ending:
            return
        course.is_ending = True
        self._queue.remove(course.request_id)
        self._loop.run(lambda: self._break_off(course, reason))

    def _break_off(self, course: Course, reason: str) -> None:
        try:
            self._upkeep.break_off(course, reason)
        finally:
            self._loop.post(lambda: self._broken(course))

    def _broken(self, course: Course) -> None:
        course.is_ending = False  # should it not be stored, the watch says so again
        self._woken()

    def _watch(self, now: float) -> None:
        """Look after what says nothing, and tell how far each transform is."""
        at_work: defaultdict[str, list[FileWork]] = defaultdict(list)
        for work in list(self._sent.values()):
            if work.phase == "sent" and is_gone(work.future):
                self._forgotten(work)
                continue
            if work.phase == "sent" and overdue(work, now):
                self._give_up(work)
            at_work[work.request_id].append(work)
        for worker, works in silent(self._sent.values(), now).items():
            for work in works:
                work.unhear()
                self._courses[work.request_id].is_dirty = True
            self._cluster.restart(worker)
        limit, trouble = self._limits.transform_still_seconds, self._cluster.trouble(now)
        for request_id, course in self._courses.items():
            own = at_work[request_id]
            course.sample(now, own)
            self._shown[request_id] = course.progress(now, own)
            reason = standstill(course, own, (now, self._moved), limit, trouble)
            if reason:
                self._break(course, reason)

    def _give_up(self, work: FileWork) -> None:
        """Fail a file whose worker did not end it in time, as it should have."""
        course = self._courses[work.request_id]
        self._cluster.cancel([work.future])
        work.phase, work.seconds = "ending", self._limits.file_seconds
        self._failed(course, work, failure(work.file.paths[0], too_late(work.seconds)))
