"""Answers go before work: both are in one process, and Python runs one thread at a time."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

_MOST_SECONDS: Final = 0.05
"""That a step of the work waits: where somebody always asks, the work goes on, more slowly."""


class Precedence:
    """Lets steps of work wait for a moment while questions are answered.

    A service that publishes files as fast as it can has its process busy all the
    time, and clients would wait for each answer as long as for some files.
    """

    def __init__(self, most_seconds: float = _MOST_SECONDS) -> None:
        self._most_seconds = most_seconds
        self._count = 0
        self._lock = threading.Lock()
        self._is_quiet = threading.Event()
        self._is_quiet.set()

    @contextmanager
    def answering(self) -> Iterator[None]:
        """Work waits while the block runs."""
        with self._lock:
            self._count += 1
            self._is_quiet.clear()
        try:
            yield
        finally:
            with self._lock:
                self._count -= 1
                if not self._count:
                    self._is_quiet.set()

    def let_by(self) -> None:
        """Wait until nothing is being answered, or some hundredths of a second."""
        self._is_quiet.wait(self._most_seconds)
