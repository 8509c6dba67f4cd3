"""Which file comes next: users share the workers, whoever asked first and for how much.

Pure bookkeeping, no clock and no threads. A user with fewer files at work for
her weight comes first, of equals the one who waited longest; among a user's
transforms the higher priority, then in turns, so that a small one is not behind
a large one. Nothing is refused: what is over a limit waits.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Mapping

F = TypeVar("F")


@dataclass(frozen=True, slots=True)
class Limits:
    """Most files at work at any time, over all, of one user, of one transform."""

    total: int
    per_user: int
    per_transform: int


@dataclass(slots=True)
class _Line(Generic[F]):
    """The files of one transform that wait, and how many are at work."""

    user: Hashable
    priority: int
    waiting: deque[F]
    at_work: int = 0
    served: int = 0
    is_gone: bool = False


@dataclass
class FairQueue(Generic[F]):
    """Files of transforms that wait for a worker.

    `weights` are of users; one that is not named has 1.
    """

    limits: Limits
    weights: Mapping[Hashable, float] = field(default_factory=dict)
    _lines: dict[str, _Line[F]] = field(default_factory=dict)
    _at_work: dict[Hashable, int] = field(default_factory=dict)
    _served: dict[Hashable, int] = field(default_factory=dict)
    _turn: int = 0

    def add(
        self, request_id: str, files: Iterable[F], *, user: Hashable = None, priority: int = 0
    ) -> None:
        """Let more files of a transform wait."""
        line = self._lines.get(request_id)
        if line is None:
            self._lines[request_id] = _Line(user, priority, deque(files))
        else:
            line.waiting.extend(files)

    def again(self, request_id: str, file: F) -> None:
        """Let a file whose task was lost wait, first of its transform; then tell `done`."""
        line = self._lines.get(request_id)
        if line is not None and not line.is_gone:
            line.waiting.appendleft(file)

    def remove(self, request_id: str) -> list[F]:
        """Drop a transform; return what waited. Files at work still have to be told `done`."""
        line = self._lines.get(request_id)
        if line is None:
            return []
        found, line.waiting = list(line.waiting), deque()
        line.is_gone = True
        if not line.at_work:
            del self._lines[request_id]
        return found

    def take(self) -> tuple[str, F] | None:
        """Return the next file to work on, None if nothing may begin now."""
        if sum(self._at_work.values()) >= self.limits.total:
            return None
        ready = [
            (self._rank(line), request_id)
            for request_id, line in self._lines.items()
            if line.waiting
            and line.at_work < self.limits.per_transform
            and self._at_work.get(line.user, 0) < self.limits.per_user
        ]
        if not ready:
            return None
        _, request_id = min(ready)
        line = self._lines[request_id]
        self._turn += 1
        line.served = self._served[line.user] = self._turn
        line.at_work += 1
        self._at_work[line.user] = self._at_work.get(line.user, 0) + 1
        return request_id, line.waiting.popleft()

    def done(self, request_id: str) -> None:
        """Note that a file of the transform is no longer at work."""
        line = self._lines[request_id]
        line.at_work -= 1
        self._at_work[line.user] -= 1
        if not self._at_work[line.user]:
            del self._at_work[line.user]
        if not line.waiting and not line.at_work:
            del self._lines[request_id]

    def waiting(self, request_id: str) -> int:
        """Return how many files of a transform wait."""
        line = self._lines.get(request_id)
        return 0 if line is None else len(line.waiting)

    def at_work(self, request_id: str) -> int:
        """Return how many files of a transform are at work."""
        line = self._lines.get(request_id)
        return 0 if line is None else line.at_work

    def _rank(self, line: _Line[F]) -> tuple[float, int, int, int]:
        share = self._at_work.get(line.user, 0) / self.weights.get(line.user, 1.0)
        return share, self._served.get(line.user, 0), -line.priority, line.served
