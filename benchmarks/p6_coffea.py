"""P6: three coffea processors over files of about 1 500 branches, against coffea's own Runner.

Both run on one local cluster of two processes with one thread each, the
Runner in its virtual mode with its Dask executor, over files that both know.
Accumulators are compared in the first run, whose times do not count if they
differ: counts must be equal, weighted sums to twelve digits, since they are
added in another order.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from contextlib import redirect_stderr
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from coffea.nanoevents import NanoAODSchema, PHYSLITESchema
from coffea.processor import DaskExecutor, Runner
from distributed import Client, LocalCluster

import sxdask as sx
from benchmarks.data import folder, one_file
from benchmarks.harness import Row, Times, timed
from benchmarks.processors import Dimuon, PhysliteZ, TopPairs, corrections
from sxdask.testing import sample_files

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CHUNKS = int(os.environ.get("SXDASK_BENCH_CHUNKS", "100"))
WORKERS = 2
TARGET = 5.0
# A hundred chunks of the Runner take a minute and more.
MOST_RUNS = 2

NanoAODSchema.warn_missing_crossrefs = False


@dataclass(frozen=True, slots=True)
class Case:
    """A processor over files that make `CHUNKS` chunks."""

    what: str
    processor: Any
    schema: Any
    files: list[Path]
    tree: str
    chunksize: int

    @property
    def fileset(self) -> dict[str, Any]:
        """The files as coffea takes them."""
        return {"data": {"files": {str(path): self.tree for path in self.files}}}

    @property
    def cut(self) -> dict[str, Any]:
        """Options that both take."""
        return {"chunksize": self.chunksize, "maxchunks": CHUNKS}


def cases() -> list[Case]:
    """Return the processors with their files, written and linked where they are not there."""
    wide = one_file(200_000, extra=1_400)
    real = sample_files() / "PHYSLITE_example.root"
    top = TopPairs(corrections())
    nano, many = "Events", _links(wide, 10)
    return [
        Case("dimuon, 2 000 events a chunk", Dimuon(), NanoAODSchema, [wide], nano, 2_000),
        Case("dimuon, 20 000 events a chunk", Dimuon(), NanoAODSchema, many, nano, 20_000),
        Case("top pairs, 2 000 events a chunk", top, NanoAODSchema, [wide], nano, 2_000),
        Case(
            "PHYSLITE Z, 100 events a chunk",
            PhysliteZ(),
            PHYSLITESchema,
            _links(real, CHUNKS),
            "CollectionTree",
            100,
        ),
    ]


def _links(path: Path, count: int) -> list[Path]:
    """Return `count` files that are one on the disk."""
    place = folder() / f"links-{path.stem}"
    place.mkdir(exist_ok=True)
    found = [place / f"{number:03d}.root" for number in range(count)]
    for link in found:
        if not link.exists():
            try:
                os.link(path, link)
            except OSError:  # it lies on another disk
                link.write_bytes(path.read_bytes())
    return found


def rows(runs: int) -> Iterator[Row]:
    """Measure each processor, for a chunk."""
    with (
        LocalCluster(
            n_workers=WORKERS, threads_per_worker=1, dashboard_address=None, memory_limit=0
        ) as cluster,
        Client(cluster) as client,
    ):
        for case in cases():
            ours, peer = measure(case, client, 1 if runs < 5 else MOST_RUNS)
            for what, times in (("wall time", 0), ("CPU time of the workers", 1)):
                pair = ours[times], peer[times]
                ratio = pair[1].middle / pair[0].middle
                name = f"{case.what}, {CHUNKS} chunks, {what} a chunk"
                yield Row("P6", name, str(pair[0]), str(pair[1]), ratio, TARGET)


def measure(case: Case, client: Any, runs: int) -> tuple[tuple[Times, Times], tuple[Times, Times]]:
    """Return wall and CPU seconds for a chunk, of sxdask and of the Runner."""

    def used() -> float:
        return float(sum(client.run(time.process_time).values()))

    def ours() -> Any:
        return sx.run_processor(
            case.processor, case.fileset, case.schema, client=client, **case.cut
        )

    def peer() -> Any:
        executor = DaskExecutor(client=client, status=False)
        run = Runner(executor, schema=case.schema, **case.cut)
        with open(os.devnull, "w", encoding="utf-8") as null, redirect_stderr(null):  # noqa: PTH123
            return run(case.fileset, case.processor)

    # Neither is charged for what it learns of a file once: an index, a number of entries.
    sx.dataset([str(path) for path in case.files], tree=case.tree).index()
    executor = DaskExecutor(client=client, status=False)
    Runner(executor, schema=case.schema).preprocess(case.fileset)
    wall: tuple[list[float], list[float]] = ([], [])
    cpu: tuple[list[float], list[float]] = ([], [])
    for number in range(runs):
        values = []
        for seconds, own, work in zip(wall, cpu, (ours, peer), strict=True):
            before = used()
            spent, value = timed(work)
            own.append((used() - before) / CHUNKS)
            seconds.append(spent / CHUNKS)
            values.append(value)
        if not number and not is_same(*values):
            raise AssertionError(f"{case.what}: sxdask and coffea do not give the same")
    first, second = ((Times(tuple(wall[side])), Times(tuple(cpu[side]))) for side in (0, 1))
    return first, second


def is_same(one: Any, other: Any) -> bool:
    """Say whether two accumulators are the same, weighted sums to twelve digits."""
    if isinstance(one, Mapping):
        return one.keys() == other.keys() and all(is_same(one[key], other[key]) for key in one)
    if hasattr(one, "axes"):
        views = [item.view(flow=True) for item in (one, other)]
        names = views[0].dtype.names or ()
        pairs = [[view[name] for view in views] for name in names] or [views]
        alike = all(np.allclose(first, second, rtol=1e-12, atol=0) for first, second in pairs)
        return bool(one.axes == other.axes and alike)
    return bool(one == other)
