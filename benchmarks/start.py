"""How long a Python process and the command take before they do anything."""

from __future__ import annotations

import subprocess
import sys
from functools import partial

from benchmarks.harness import Row, Times, timed

_CASES = (
    ("import", ["-c", "import sxdask"], ["-c", "import uproot"]),
    ("command line, --help", ["-m", "sxdask.cli", "--help"], ["-m", "dask", "--help"]),
)


def rows(runs: int) -> list[Row]:
    """Measure new processes; the interpreter's own start is part of each."""
    found = []
    for what, ours, peer in _CASES:
        taken: tuple[list[float], list[float]] = ([], [])
        for _ in range(runs):
            for seconds, arguments in zip(taken, (ours, peer), strict=True):
                seconds.append(timed(partial(_run, arguments))[0])
        mine, theirs = Times(tuple(taken[0])), Times(tuple(taken[1]))
        right = f"{theirs} `{' '.join(peer)}`"
        found.append(Row("start", what, str(mine), right, theirs.middle / mine.middle))
    return found


def _run(arguments: list[str]) -> None:
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
