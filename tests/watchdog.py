"""A limit on the time that a test may take: what hangs is a failure, not a pause."""

from __future__ import annotations

import os
import signal
import sys
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
