"""Time two ways of doing the same thing in turn, and say what the ratio is."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
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
    ratio: float | None = None
    target: float | None = None
    at_most: bool = False

    @property
    def is_met(self) -> bool | None:
        """Whether the ratio reaches the target; None without one."""
        if self.target is None or self.ratio is None:
            return None
        return self.ratio <= self.target if self.at_most else self.ratio >= self.target


def span(seconds: float) -> str:
    """Return a time for people."""
    if seconds < 1:
        return f"{seconds * 1000:.3g} ms"
    return f"{seconds:.3g} s" if seconds < 600 else f"{seconds / 60:.0f} min"


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
    before: Callable[[], None] | None = None,
) -> tuple[Times, Times]:
    """Run both in turn, A B A B, after one run of each that is not counted.

    `before` is called ahead of each run and not timed.

    Raises
    ------
    AssertionError
        If the results of the first runs differ: then no time means anything.
    """
    if not is_equal(ours(), peer()):
        raise AssertionError("sxdask and its peer do not give the same")
    taken: tuple[list[float], list[float]] = ([], [])
    for _ in range(runs):
        for seconds, work in zip(taken, (ours, peer), strict=True):
            if before is not None:
                before()
            seconds.append(timed(work)[0])
    return Times(tuple(taken[0])), Times(tuple(taken[1]))


def paired_row(
    group: str,
    what: str,
    times: tuple[Times, Times],
    target: float | None = None,
) -> Row:
    """Return the row of a pair: how many times faster the first is, by medians."""
    ours, peer = times
    return Row(group, what, str(ours), str(peer), peer.middle / ours.middle, target)


def in_new_process(module: str, *arguments: str) -> Any:
    """Run ``python -m module`` with `arguments`; return the JSON it prints last."""
    command = [sys.executable, "-W", "ignore", "-m", module, *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])
