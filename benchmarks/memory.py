"""Peak memory of a stream over many partitions, in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys

from benchmarks.data import one_file
from benchmarks.harness import Row

_SCRIPT = """
import json, os, resource, sys
from dataclasses import replace
import sxdask as sx
from sxdask.core.settings import load_settings

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

path, target, kept = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
settings = replace(load_settings(), partition_bytes=target)
data = sx.dataset(path, "Events", settings=settings)
names = [name for name in data.schema if name.startswith(("Muon", "Jet", "Electron", "GenPart"))]
query = data.select(*names)
first = next(iter(data.select("run").stream(scheduler="threads")))  # imports and pools
before, largest, count, total = peak(), 0, 0, 0
for part in query.stream(scheduler="threads"):
    largest = max(largest, part.table.nbytes)
    total += part.table.nbytes
    count += 1
print(json.dumps({"grown": peak() - before, "largest": largest, "count": count, "total": total}))
"""


def rows(_: int) -> list[Row]:
    """Compare the growth of the process with the partitions that are in flight."""
    from sxdask.deliver.runners.threads import ThreadRunner

    path = one_file(1_000_000, extra=40, cluster=10_000)
    session = ThreadRunner().open(abs)
    window = session.window
    session.close()
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT, str(path), str(4 * 1024 * 1024), str(window)],
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(done.stdout)
    flight = window * found["largest"]
    mega = 1024 * 1024
    what = f"{found['count']} partitions streamed, {found['total'] / mega:.0f} MB in all"
    ours = f"{found['grown'] / mega:.0f} MB more at the peak"
    peer = f"{flight / mega:.0f} MB in {window} partitions in flight"
    return [Row("memory", what, ours, peer, found["grown"] / flight, 3.0, at_most=True)]
