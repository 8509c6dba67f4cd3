"""What the engine knows of a transform that runs: its files, how they fare, and how fast."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from sxdask.service.transforms.ports import EngineProgress

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from sxdask.service.transforms.orders import Report
    from sxdask.service.transforms.ports import DatasetFile, Transform

Phase: TypeAlias = Literal["waiting", "sent", "ending", "pausing", "done"]
"""Waiting for its turn; sent to the cluster; its end is being stored; before another try; done."""

_SPEED_SECONDS: Final = 10.0
_MOST_SAMPLES: Final = 100


@dataclass(eq=False, slots=True)
class FileWork:
    """One file of a transform, over all tries at it.

    `attempt` is the try that counts; reports of others do not. `stage` and
    `heard` are what its worker told last, and when; `seconds` are those of
    tries that failed, `allowed` those that this try may take. `losses` counts
    tries that came to no end.
    """

    request_id: str
    file: DatasetFile
    phase: Phase = "waiting"
    tries: int = 0
    losses: int = 0
    attempt: str = ""
    object: str = ""
    future: Any = None
    seconds: float = 0.0
    allowed: float = 0.0
    stage: str = ""
    started: float | None = None
    heard: float | None = None
    worker: str = ""
    bytes_read: int = 0

    def send(self, attempt: str, name: str, allowed: float) -> None:
        """Begin a try, which may take `allowed` seconds."""
        self.phase, self.attempt, self.object, self.allowed = "sent", attempt, name, allowed
        self.tries += 1
        self.unhear()

    def hear(self, worker: str, stage: str, num_bytes: int, now: float) -> bool:
        """Note what the worker tells; return whether that is news."""
        news = (self.worker, self.stage, self.bytes_read) != (worker, stage, num_bytes)
        self.worker, self.stage, self.bytes_read, self.heard = worker, stage, num_bytes, now
        self.started = now if self.started is None else self.started
        return news

    def unhear(self) -> None:
        """Forget what a worker told: the task is on none, as far as is known."""
        self.stage, self.worker, self.bytes_read = "", "", 0
        self.started = self.heard = None

    def rest(self, phase: Phase) -> None:
        """End a try; what may still come of it does not count."""
        self.phase, self.attempt, self.future = phase, "", None
        self.unhear()


@dataclass(eq=False, slots=True)
class Course:
    """A transform that runs.

    `is_ready` says that its place for results is made, `is_dirty` that there
    may be attempts nobody knows of, `moved` when something of it moved on,
    `trouble` why it could not be made ready, the `troubles`-th time. `done` are
    the files that have a result.
    """

    transform: Transform
    moved: float
    files: dict[int, FileWork] = field(default_factory=dict)
    is_ready: bool = False
    is_preparing: bool = False
    is_dirty: bool = False
    is_ending: bool = False
    trouble: str = ""
    troubles: int = 0
    asked: float = -math.inf
    done: set[int] = field(default_factory=set)
    successes: int = 0
    faults: list[tuple[str, str]] = field(default_factory=list)
    began: float | None = None
    ended: int = 0
    bytes_read: int = 0
    samples: deque[tuple[float, int]] = field(default_factory=lambda: deque(maxlen=_MOST_SAMPLES))

    @property
    def request_id(self) -> str:
        """Of the transform."""
        return self.transform.request_id

    @property
    def left(self) -> int:
        """Files that are known here and not done."""
        return len(self.files) - len(self.done)

    def add(
        self, files: Iterable[DatasetFile], done: Collection[int] = frozenset()
    ) -> list[FileWork]:
        """Take files that have no result; return those that are to be worked on.

        `done` are those that had a result when the store was asked, and so are
        to be tried again. A file that came to have one since is none of them.
        """
        new = []
        for file in files:
            if file.id not in self.files or (file.id in self.done and file.id in done):
                self.files[file.id] = work = FileWork(self.request_id, file)
                self.done.discard(file.id)
                new.append(work)
        return new

    def end(self, work: FileWork, report: Report, now: float) -> None:
        """Note that a file has its result."""
        self.drop(work)
        self.moved = now
        self.ended += 1
        self.bytes_read += report.bytes_read
        if report.ok:
            self.successes += 1
        elif report.of_request:
            paths = sorted(work.file.paths, key=len, reverse=True)
            message = report.message
            for path in paths:
                message = message.replace(path, "<file>")
            self.faults.append((report.code, message))

    def drop(self, work: FileWork) -> None:
        """Note that a file is not to be worked on any more."""
        work.rest("done")
        self.done.add(work.file.id)

    def mistake(self, most: int) -> str | None:
        """Return why no file can be well, if the first `most` of them all say the same."""
        if not most or self.successes or self.ended < most or len(self.faults) < most:
            return None
        if len(self.faults) != self.ended or len(set(self.faults)) > 1:
            return None
        code, message = self.faults[0]
        return f"the first {self.ended} files fail with the same mistake: [{code}] {message}"

    def sample(self, now: float, at_work: Iterable[FileWork]) -> None:
        """Note how much was read until now."""
        live = sum(work.bytes_read for work in at_work)
        self.samples.append((now, self.bytes_read + live))
        while now - self.samples[0][0] > _SPEED_SECONDS:
            self.samples.popleft()

    def progress(self, now: float, at_work: Iterable[FileWork] = ()) -> EngineProgress:
        """Return what is known beyond the store."""
        stages = ["uploading" if work.phase == "ending" else work.stage for work in at_work]
        told = {name: stages.count(name) for name in ("reading", "computing", "uploading")}
        left = None
        if self.ended and self.began is not None and now > self.began:
            left = self.left * (now - self.began) / self.ended
        return EngineProgress(
            queued=self.left - sum(told.values()),
            bytes_per_second=self._speed(now),
            seconds_left=left,
            **told,
        )

    def _speed(self, now: float) -> float:
        if len(self.samples) < 2 or now - self.samples[-1][0] > _SPEED_SECONDS:
            return 0.0
        (began, before), (ended, after) = self.samples[0], self.samples[-1]
        return max(0.0, (after - before) / (ended - began)) if ended > began else 0.0
