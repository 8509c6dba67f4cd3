"""An advisory lock between processes that no crash can leave behind.

The kernel gives a ``flock`` back when its process ends, however it ends. A
process that is stopped holds it; waiters give up after a while, since all that
the lock saves is work: files are replaced atomically with or without it.
"""

from __future__ import annotations

import os
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_PAUSE_S = 0.02


@contextmanager
def file_lock(path: Path, *, timeout_s: float) -> Iterator[bool]:
    """Hold the lock at `path`; gives whether it is held.

    It is not held where the file system has no locks or no room, or where
    another process kept it for `timeout_s` seconds.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o666)
    except OSError:
        yield False
        return
    try:
        yield _acquire(descriptor, time.monotonic() + timeout_s)
    finally:
        os.close(descriptor)  # which also unlocks


def _acquire(descriptor: int, deadline: float) -> bool:
    try:
        import fcntl
    except ImportError:  # Windows
        return False
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(_PAUSE_S)
        except OSError:  # a file system without locks
            return False
        else:
            return True
