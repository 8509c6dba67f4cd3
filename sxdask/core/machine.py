"""What this machine offers: cores and memory, within the limits of a container."""

from __future__ import annotations

import ctypes
import os
from functools import cache
from pathlib import Path
from typing import Any

_CGROUPS = Path("/sys/fs/cgroup")


def num_cores(root: Path = _CGROUPS) -> float:
    """Return the cores that this process may use: affinity, then the control group's quota."""
    affinity = getattr(os, "sched_getaffinity", None)
    cores = float(len(affinity(0)) if affinity else os.cpu_count() or 1)
    quota = _cpu_quota(root)
    return min(cores, quota) if quota else cores


def memory_limit(root: Path = _CGROUPS) -> tuple[int, str]:
    """Return the bytes of memory that this process may use, and what sets the limit."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    # Version 2, then version 1; the kernel's documents admin-guide/cgroup-v2.rst
    # and cgroup-v1/memory.rst. Without a limit there is "max", or a huge number.
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        text = _read(root / name)
        if text.isdigit() and int(text) < total:
            return int(text), "control group"
    return total, "machine"


def trim_memory() -> bool:
    """Give memory that is free back to the system; return whether any was.

    glibc keeps what large arrays leave behind for the thread that freed it: with
    many threads as much again as is in use. Other C libraries have no such call.
    """
    trim = _malloc_trim()
    return bool(trim(0)) if trim is not None else False


@cache
def _malloc_trim() -> Any:
    try:
        return getattr(ctypes.CDLL(None), "malloc_trim", None)  # malloc_trim(3)
    except (OSError, TypeError):  # no library to look into, as on Windows
        return None


def _cpu_quota(root: Path) -> float | None:
    quota, _, period = _read(root / "cpu.max").partition(" ")
    if not period:
        quota = _read(root / "cpu/cpu.cfs_quota_us")
        period = _read(root / "cpu/cpu.cfs_period_us")
    if quota.isdigit() and period.isdigit() and int(period):
        return int(quota) / int(period)
    return None


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
