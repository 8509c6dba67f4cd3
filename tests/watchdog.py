"""A limit on the time that a test may take: what hangs is a failure, not a pause."""

from __future__ import annotations

import gc
import os
import signal
import sys
import time
from contextlib import contextmanager
from threading import Timer
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

# Compiled code that never comes back hears no signal; the process ends then.
_GRACE_S = 30


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Fail the block if it takes longer; to be used in the main thread."""

    def late(*_: object) -> None:
        raise AssertionError(f"no end within {seconds} s")

    def end() -> None:
        sys.__stderr__.write(f"no end within {seconds + _GRACE_S} s, in compiled code\n")  # type: ignore[union-attr]
        os._exit(70)

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    last = Timer(seconds + _GRACE_S, end)
    last.daemon = True
    last.start()
    try:
        yield
    finally:
        last.cancel()
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """Fail the block if it works longer, whatever else the machine and this process do.

    What counts is the processor time of this thread, without collections of
    garbage, which take as long as the tests before have left objects behind.
    """
    collects = gc.isenabled()
    gc.disable()
    begin = time.thread_time()
    try:
        yield
        worked = time.thread_time() - begin
    finally:
        if collects:
            gc.enable()
    assert worked < seconds, f"{worked:.2f} s of work, {seconds} s are enough"
