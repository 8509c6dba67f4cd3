"""Peak memory of a stream over many partitions, in a process of its own."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import sxdask as sx
from benchmarks.data import one_file
from benchmarks.harness import Row, in_new_process
from sxdask.core.settings import load_settings

_RESET = Path("/proc/self/clear_refs")
_MIB = 1024 * 1024
_COLLECTIONS = ("Muon", "Jet", "Electron", "GenPart")


def rows(_: int) -> list[Row]:
    """Compare the growth of the process with the partitions that are in flight (Linux only)."""
    if not _RESET.exists():
        return []
    from sxdask.deliver.runners.threads import ThreadRunner

    session = ThreadRunner().open(abs)
    window = session.window
    session.close()
    path = one_file(1_000_000, extra=40, cluster=10_000)
    return [_row(path, partition_mib, window) for partition_mib in (4, 16)]


def _row(path: Path, partition_mib: int, window: int) -> Row:
    found = in_new_process("benchmarks.memory", str(path), str(partition_mib * _MIB))
    flight = window * found["largest"]
    what = (
        f"{found['count']} partitions streamed, {found['total'] / _MIB:.0f} MiB decoded in all, "
        f"{found['largest'] / _MIB:.0f} MiB the largest"
    )
    ours = f"{found['grown'] / _MIB:.0f} MiB more at the peak"
    peer = f"{flight / _MIB:.0f} MiB in {window} partitions in flight"
    return Row("memory", what, ours, peer, found["grown"] / flight, 3.0, at_most=True)


def _stream(path: str, partition_bytes: int) -> dict[str, int]:
    settings = replace(load_settings(), partition_bytes=partition_bytes)
    data = sx.dataset(path, "Events", settings=settings)
    query = data.select(*(name for name in data.schema if name.startswith(_COLLECTIONS)))
    for _ in data.where("event < 0").select("run").stream(scheduler="threads"):
        pass  # imports everything that a stream needs
    # "5" sets the peak to what is resident now (Linux, Documentation/filesystems/proc.rst).
    # getrusage has no such thing, and begins with the peak of the parent process.
    _RESET.write_text("5")
    before = _peak()
    largest = count = total = 0
    for part in query.stream(scheduler="threads"):
        largest = max(largest, part.table.nbytes)
        total += part.table.nbytes
        count += 1
    return {"grown": _peak() - before, "largest": largest, "count": count, "total": total}


def _peak() -> int:
    status = Path("/proc/self/status").read_text()
    (line,) = (item for item in status.splitlines() if item.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


if __name__ == "__main__":
    print(json.dumps(_stream(sys.argv[1], int(sys.argv[2]))))
