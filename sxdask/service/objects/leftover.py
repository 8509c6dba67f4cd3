"""Processes that outlive the service that started them: found by a record, ended if ours."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Final

import psutil

if TYPE_CHECKING:
    from pathlib import Path

_TOLERANCE_S: Final = 2.0
"""Start times are computed from the machine's clock, which may be corrected."""


@dataclass(frozen=True, slots=True)
class Record:
    """A process: its id alone may be another's by now."""

    pid: int
    started: float
    mark: str

    @classmethod
    def of(cls, pid: int, mark: str) -> Record:
        """Return the record of a running process that has `mark` among its arguments."""
        return cls(pid, psutil.Process(pid).create_time(), mark)

    def write(self, file: Path) -> None:
        """Keep it in `file`."""
        file.write_text(json.dumps(asdict(self)), encoding="utf-8")

    @classmethod
    def read(cls, file: Path) -> Record | None:
        """Return what `file` holds, None if there is nothing that can be used."""
        try:
            found = json.loads(file.read_text(encoding="utf-8"))
            return cls(int(found["pid"]), float(found["started"]), str(found["mark"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def process(self) -> psutil.Process | None:
        """Return the process if it still runs and is the one that was recorded."""
        with suppress(psutil.Error):
            found = psutil.Process(self.pid)
            is_same = abs(found.create_time() - self.started) < _TOLERANCE_S
            if is_same and self.mark in found.cmdline() and found.status() != psutil.STATUS_ZOMBIE:
                return found
        return None


def end(process: psutil.Process, patience_s: float) -> None:
    """Ask `process` to end, and end it if it does not in `patience_s`."""
    with suppress(psutil.NoSuchProcess):
        process.terminate()
        try:
            process.wait(patience_s)
        except psutil.TimeoutExpired:
            process.kill()
            with suppress(psutil.TimeoutExpired):
                process.wait(patience_s)
