"""Time two ways of doing the same thing in turn, and say what the ratio is."""

from __future__ import annotations

import gc
import time
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True)
class Times:
    """Seconds of several runs."""

    runs: tuple[float, ...]

    @property
    def middle(self) -> float:
        """The median."""
        return median(self.runs)

    def __str__(self) -> str:
        return f"{span(self.middle)} ({span(min(self.runs))} to {span(max(self.runs))})"


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table: `ratio` is compared with `target` (at least, or at most)."""

    group: str
    what: str
    ours: str
    peer: str
    ratio: float
    target: float | None = None
    at_most: bool = False

    @property
    def is_met(self) -> bool | None:
        """Whether the ratio reaches the target; None without one."""
        if self.target is None:
            return None
        return self.ratio <= self.target if self.at_most else self.ratio >= self.target


def span(seconds: float) -> str:
    """Return a time for people."""
    if seconds < 1:
        return f"{seconds * 1000:.3g} ms"
    return f"{seconds:.3g} s"


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """Run `work` once, without garbage of others in it; return seconds and value."""
    gc.collect()
    start = time.perf_counter()
    value = work()
    return time.perf_counter() - start, value


def in_turn(
    ours: Callable[[], Any],
    peer: Callable[[], Any],
    is_equal: Callable[[Any, Any], bool],
    *,
    runs: int,
) -> tuple[Times, Times]:
    """Run both in turn, A B A B, after one run of each that is not counted.

    Raises
    ------
    AssertionError
        If the results of the first runs differ: then no time means anything.
    """
    first, second = ours(), peer()
    if not is_equal(first, second):
        raise AssertionError("sxdask and its peer do not give the same")
    del first, second
    left, right = [], []
    for _ in range(runs):
        seconds, value = timed(ours)
        del value
        left.append(seconds)
        seconds, value = timed(peer)
        del value
        right.append(seconds)
    return Times(tuple(left)), Times(tuple(right))


def paired_row(
    group: str,
    what: str,
    times: tuple[Times, Times],
    target: float | None = None,
) -> Row:
    """Return the row of a pair: how many times faster the first is, by medians."""
    ours, peer = times
    return Row(group, what, str(ours), str(peer), peer.middle / ours.middle, target)
