"""What tests ask of processes, which may end while they are asked."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from collections.abc import Iterable


def is_gone(pid: int) -> bool:
    """Whether no process of this number runs; one that nobody waited for yet does not."""
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def command(process: psutil.Process) -> str:
    """Return the command line of a process; nothing of one that has ended."""
    with suppress(psutil.Error):
        return " ".join(process.cmdline())
    return ""


def commands(processes: Iterable[psutil.Process]) -> list[str]:
    """Return the command lines of those of the processes that still run."""
    return [found for process in processes if (found := command(process))]
