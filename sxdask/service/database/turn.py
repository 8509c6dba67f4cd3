"""A lock that threads get in the order in which they asked for it.

Python's own goes to whoever is quick: under load a thread that reports file after
file keeps it from one that waits to submit, whose client never asks again.
"""

from __future__ import annotations

from collections import deque
from threading import Lock


class Turn:
    """One thread at a time, in order."""

    def __init__(self) -> None:
        self._guard = Lock()
        self._is_held = False
        self._waiting: deque[Lock] = deque()

    def acquire(self, timeout: float) -> bool:
        """Wait at most `timeout` seconds; return whether it is this thread's turn."""
        with self._guard:
            if not self._is_held:
                self._is_held = True
                return True
            own = Lock()
            own.acquire()
            self._waiting.append(own)
        if own.acquire(timeout=timeout):
            return True
        with self._guard:
            if own in self._waiting:
                self._waiting.remove(own)
                return False
        return True  # it was handed over at the last moment

    def release(self) -> None:
        """Hand it to the next in line."""
        with self._guard:
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._is_held = False
