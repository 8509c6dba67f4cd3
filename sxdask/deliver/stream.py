"""The engine: drive tasks through a bounded window and hand results out as they come.

One loop for every runner. The consumer's pace is the engine's pace: a task is
submitted only when fewer than `window` results are running, waiting for
another try, or waiting to be taken, and what they take in memory fits into a
budget.
"""

from __future__ import annotations

import heapq
import time
from collections import deque
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeAlias, TypeVar

from sxdask.core.errors import SxdaskError, SystemFaultError
from sxdask.deliver.attempt import Completion, Job
from sxdask.deliver.budget import Budget, Gated, bytes_to_read
from sxdask.deliver.runner import Runner, Session, choose_runner

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Generator, Iterable, Iterator

T = TypeVar("T")
R = TypeVar("R")
OnError: TypeAlias = Literal["raise", "skip"]

FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 5.0
# How soon a set `cancel` event and a lost scheduler are noticed.
_POLL_S = 0.1


@dataclass(frozen=True, slots=True)
class Outcome(Generic[R]):
    """How one item ended: its value, or the error of its last try.

    `position` is the item's place in the input, `attempts` the number of
    tries, `seconds` the time of all of them on their workers. Where there is
    an `error`, `value` is None.
    """

    position: int
    value: R
    error: SxdaskError | None
    attempts: int
    seconds: float


@dataclass(slots=True)
class _Flow:
    """State of one run. An item is held from its submission until its outcome is taken."""

    session: Session
    source: Iterator[tuple[int, Any]]
    window: int | None
    retries: int
    budget: Budget | None = None
    next_item: tuple[int, Any] | None = None
    items: dict[int, Any] = field(default_factory=dict)
    tries: dict[int, tuple[int, float]] = field(default_factory=dict)
    pausing: list[tuple[float, int]] = field(default_factory=list)
    ready: deque[Outcome[Any]] = field(default_factory=deque)
    parked: dict[int, Outcome[Any]] = field(default_factory=dict)
    exhausted: bool = False

    def refill(self) -> None:
        """Submit what the window allows, and items whose pause is over."""
        again = []
        while self.pausing and self.pausing[0][0] <= time.monotonic():
            position = heapq.heappop(self.pausing)[1]
            again.append(Job(position, self.items[position]))
        held = len(self.items) + len(self.ready) + len(self.parked)
        window = self.window or self.session.window
        room = window - held
        if not self.exhausted and room >= min(self.session.batch, max(1, window // 4)):
            again.extend(self.take(room))
        if again:
            self.session.submit(again)

    def take(self, room: int) -> Iterator[Job]:
        """Yield up to `room` new items of the source."""
        for _ in range(room):
            found = self.next_item or next(self.source, None)
            self.next_item = None
            if found is None:
                self.exhausted = True
                return
            position, item = found
            if self.budget is not None:
                if not self.budget.admits(item):
                    self.next_item = found
                    return
                self.budget.start(position, item)
            self.items[position] = item
            yield Job(position, item)

    def settle(self, completion: Completion) -> None:
        """Note a completion: another try after a pause, or the outcome."""
        position = completion.position
        if position not in self.items:
            return  # a task that a lost worker ran as well
        attempts, seconds = self.tries.pop(position, (0, 0.0))
        attempts, seconds = attempts + 1, seconds + completion.seconds
        if completion.transient and attempts <= self.retries:
            self.tries[position] = (attempts, seconds)
            pause = min(FIRST_PAUSE_S * 2 ** (attempts - 1), LONGEST_PAUSE_S)
            heapq.heappush(self.pausing, (time.monotonic() + pause, position))
            return
        del self.items[position]
        if self.budget is not None:
            self.budget.finish(position, completion.value)
        self.ready.append(Outcome(position, completion.value, completion.error, attempts, seconds))

    def release(self, position: int) -> None:
        """Note that the consumer is done with an outcome."""
        if self.budget is not None:
            self.budget.release(position)

    def wait(self) -> None:
        """Settle what completes next; return soon in any case, to look around again."""
        pause = _POLL_S
        if self.pausing:
            pause = min(pause, max(0.0, self.pausing[0][0] - time.monotonic()))
        if len(self.pausing) == len(self.items):
            time.sleep(pause)  # nothing runs
            return
        for completion in self.session.wait(pause):
            self.settle(completion)


def run_tasks(  # noqa: PLR0913 - the options of a run, by keyword
    function: Callable[[T], R],
    items: Iterable[T],
    *,
    runner: Runner | None = None,
    ordered: bool = False,
    window: int | None = None,
    retries: int = 3,
    on_error: OnError = "raise",
    cancel: threading.Event | None = None,
    budget: Budget | None = None,
) -> Generator[Outcome[R]]:
    """Run `function` on every item and yield the outcomes as they come.

    Closing the generator (or an exception in it, KeyboardInterrupt included)
    cancels what is pending; wrap it in ``contextlib.closing`` to be sure that
    this happens at once when the consumer fails.

    Parameters
    ----------
    function
        Called once an item, on the runner's workers. It may run more than once
        for an item (a lost worker, another try) and must bear that.
    items
        Taken lazily, never more than the window ahead of the consumer.
    runner
        Where to run; by default what `choose_runner` finds.
    ordered
        Yield in the order of `items`. A slow item then holds back the others:
        they wait inside the window.
    window
        Most items that may be running or waiting to be taken at any time; by
        default what keeps the runner busy (twice its threads on this machine,
        four times those of a cluster).
    retries
        Further tries after a transient error, with growing pauses. Mistakes of
        the user and bad data are never tried again.
    on_error
        ``"raise"`` ends the run with the first error; ``"skip"`` yields it as
        the outcome of its item.
    cancel
        Ends the run when set, with an error: what was yielded is not all.
    budget
        Bounds the memory of what is in flight; a fresh one for each run.

    Raises
    ------
    SxdaskError
        The first error of an item with ``on_error="raise"``; its context has
        the traceback text of the worker.
    SystemFaultError
        If the run is cancelled or the workers cannot be reached any more.

    Examples
    --------
    >>> from sxdask.deliver.runners.sync import SyncRunner
    >>> [outcome.value for outcome in run_tasks(abs, [-1, 2], runner=SyncRunner())]
    [1, 2]
    """
    chosen = choose_runner() if runner is None else runner
    if budget is not None:
        budget.begin(works_here=not getattr(chosen, "is_remote", False))
        function = Gated(function, budget.limit if budget.stated else 0)
    with closing(chosen.open(function)) as session:
        expect = getattr(session, "expect", None)
        if expect is not None and isinstance(items, Sequence):
            expect(len(items), sum(map(bytes_to_read, items)))
        flow = _Flow(session, enumerate(items), window, retries, budget)
        yield from _drive(flow, ordered=ordered, on_error=on_error, cancel=cancel)


def _drive(
    flow: _Flow, *, ordered: bool, on_error: OnError, cancel: threading.Event | None
) -> Iterator[Outcome[Any]]:
    expected = 0
    while True:
        if cancel is not None and cancel.is_set():
            raise SystemFaultError("the run was cancelled", cancelled=True)
        flow.refill()
        if not flow.items:
            if flow.exhausted:
                return
            continue
        flow.wait()
        while flow.ready:
            outcome = flow.ready.popleft()
            if outcome.error is not None and on_error == "raise":
                raise outcome.error
            position = outcome.position
            if not ordered:
                yield outcome
                del outcome  # or its table would live on while the next is waited for
                flow.release(position)
                continue
            flow.parked[position] = outcome
            del outcome
            while expected in flow.parked:
                yield flow.parked.pop(expected)
                flow.release(expected)
                expected += 1
