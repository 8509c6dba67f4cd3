"""Peak memory of a stream over many partitions, in a process of its own.

In the long stream one file goes by many names, so that as much is decoded as of
a dataset of 20 GB; it is not compressed, so that reading is much faster than
the consumer.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import sxdask as sx
from benchmarks.data import one_file
from benchmarks.harness import Row, in_new_process
from sxdask.core.settings import load_settings

if TYPE_CHECKING:
    from sxdask.api.stream import Stream

_RESET = Path("/proc/self/clear_refs")
_MIB = 1024 * 1024
_BUDGET = 512 * _MIB
_LONG_EVENTS = 500_000
_READERS = 8  # so many that sixteen partitions would be in flight without a budget
_PAUSE_S = 0.02
_COLLECTIONS = ("Muon", "Jet", "Electron", "GenPart")


def rows(runs: int) -> list[Row]:
    """Compare the growth of the process with the partitions that are in flight (Linux only).

    The long stream is a tenth as long where `runs` is for a quick look.
    """
    if not _RESET.exists():
        return []
    from sxdask.deliver.runners.threads import ThreadRunner

    session = ThreadRunner().open(abs)
    window = session.window
    session.close()
    path = one_file(1_000_000, extra=40, cluster=10_000)
    short = [_row(path, partition_mib, window) for partition_mib in (4, 16)]
    return [*short, _long_row(2 if runs <= 3 else 20)]


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


def _long_row(gigabytes: int) -> Row:
    path = one_file(_LONG_EVENTS, extra=40, cluster=10_000, compression="none")
    found = in_new_process("benchmarks.memory", str(path), str(16 * _MIB), str(gigabytes))
    what = (
        f"{found['total'] / 1e9:.1f} GB decoded in {found['count']} partitions of at most "
        f"{found['largest'] / _MIB:.0f} MiB, {_READERS} readers, a consumer that waits "
        f"{1000 * _PAUSE_S:.0f} ms after each"
    )
    ours = f"{found['grown'] / _MIB:.0f} MiB more at the peak"
    peer = f"a budget of {_BUDGET / _MIB:.0f} MiB"
    return Row("memory", what, ours, peer, found["grown"] / _BUDGET, 1.0, at_most=True)


def _long_stream(path: str, partition_bytes: int, gigabytes: int) -> dict[str, int]:
    """Stream one file under as many names as give so many gigabytes, slowly."""
    import dask

    settings = replace(load_settings(), partition_bytes=partition_bytes)
    one = sx.dataset(path, "Events", settings=settings)
    columns = [name for name in one.schema if name.startswith(_COLLECTIONS)]
    index = one.source.index_of_first("Events")
    each = int(index.uncompressed_bytes(columns).sum())
    with TemporaryDirectory(dir=Path(path).parent) as scratch:
        links = [
            Path(scratch) / f"{number:04}.root" for number in range(-(-gigabytes * 10**9 // each))
        ]
        for link in links:
            link.hardlink_to(path)
        query = sx.dataset(links, "Events", settings=settings).select(*columns)
        query.explain()  # indexes all files
        with dask.config.set(num_workers=_READERS):
            with one.select("run").stream(scheduler="threads", cache=False) as warm:
                next(warm)  # imports everything that a stream needs
            return _measured(
                query.stream(scheduler="threads", cache=False, memory=_BUDGET), _PAUSE_S
            )


def _stream(path: str, partition_bytes: int) -> dict[str, int]:
    settings = replace(load_settings(), partition_bytes=partition_bytes)
    data = sx.dataset(path, "Events", settings=settings)
    query = data.select(*(name for name in data.schema if name.startswith(_COLLECTIONS)))
    for _ in data.where("event < 0").select("run").stream(scheduler="threads"):
        pass  # imports everything that a stream needs
    return _measured(query.stream(scheduler="threads"))


def _measured(stream: Stream, pause_s: float = 0.0) -> dict[str, int]:
    # "5" sets the peak to what is resident now (Linux, Documentation/filesystems/proc.rst).
    # getrusage has no such thing, and begins with the peak of the parent process.
    _RESET.write_text("5")
    before = _peak()
    largest = count = total = 0
    for part in stream:
        largest = max(largest, part.table.nbytes)
        total += part.table.nbytes
        count += 1
        time.sleep(pause_s)
    return {"grown": _peak() - before, "largest": largest, "count": count, "total": total}


def _peak() -> int:
    status = Path("/proc/self/status").read_text()
    (line,) = (item for item in status.splitlines() if item.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


if __name__ == "__main__":
    run = _long_stream if len(sys.argv) > 3 else _stream
    print(json.dumps(run(sys.argv[1], *map(int, sys.argv[2:]))))
