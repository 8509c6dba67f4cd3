"""What the measurements ran on: processor, what its cores are worth together, versions."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

PACKAGES = ("awkward", "uproot", "dask", "dask-awkward", "coffea", "numpy", "pyarrow", "zstandard")

_SPIN = (
    "import time; t = time.perf_counter(); sum(range(30_000_000)); print(time.perf_counter() - t)"
)


def describe() -> str:
    """Return one paragraph on machine and versions."""
    cores = os.cpu_count() or 1
    versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    return (
        f"{_processor()}, {cores} cores that together do {work_of_all_cores():.1f} times the work "
        f"of one; {platform.system()}, Python {platform.python_version()}, {versions}."
    )


def work_of_all_cores() -> float:
    """Return how much more all cores do at once than one: less than their number if shared."""
    cores = os.cpu_count() or 1
    alone = min(_spin(1)[0] for _ in range(2))
    return sum(alone / seconds for seconds in _spin(cores))


def _spin(count: int) -> list[float]:
    command = [sys.executable, "-c", _SPIN]
    started = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(count)]
    return [float(process.communicate()[0]) for process in started]


def _processor() -> str:
    place = Path("/proc/cpuinfo")
    if place.exists():
        for line in place.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
