"""P8: what a run costs besides reading: partitions that read nothing, by the thousand.

One scheduler and two workers of one thread, each a process of its own. A
request over N partitions is compiled from its indexes, and its partitions are
sent to workers that answer at once. Also the same as one Dask graph, as
``query.dask()`` gives it, which the scheduler holds as a whole.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

import sxdask as sx
from benchmarks.data import folder, one_file
from benchmarks.harness import Row, in_new_process, span
from sxdask.core.events import ReadReport
from sxdask.core.settings import Settings, load_settings
from sxdask.deliver.runners.cluster import ClusterRunner
from sxdask.deliver.stream import run_tasks
from sxdask.deliver.tasks import PieceValue
from sxdask.rootio.store import IndexStore

if TYPE_CHECKING:
    from collections.abc import Iterator

SIZES = (1_000, 10_000, 100_000)
PER_FILE = 10
EVENTS = 1_000


def rows(runs: int) -> list[Row]:
    """Measure each size in a new process, with a scheduler of its own."""
    del runs  # of minutes; growth over two decades says more than repetition
    found = {size: in_new_process("benchmarks.p8_scale", str(size)) for size in SIZES}
    small = found[SIZES[0]]
    listed = []
    for size, facts in found.items():
        times = size / SIZES[0]
        what = f"{size:,} partitions that read nothing"
        ours = (
            f"compile {span(facts['compile'])} (processor {span(facts['compile_cpu'])}), first "
            f"result {span(facts['first'])}, all {span(facts['run'])}, "
            f"{size / facts['run']:,.0f} a second; processor time of client and scheduler "
            f"{facts['cpu'] / size * 1e3:.1f} ms a task; client "
            f"{facts['client'] / 1e6:.0f} MB, scheduler {facts['scheduler'] / 1e6:.0f} MB"
        )
        # Processor time: the machine may have other work to do.
        cost, least = (item["compile_cpu"] + item["cpu"] for item in (facts, small))
        growth = cost / least / times
        ratio, target = (growth, 1.5) if size > SIZES[0] else (None, None)
        name = f"{what}, as a run"
        listed.append(Row("P8", name, ours, "linear", ratio, target, at_most=True))
        graph = (
            f"build {span(facts['build'])}, submit {span(facts['submit'])}, all "
            f"{span(facts['graph'])}, {size / facts['graph']:,.0f} a second; processor time "
            f"{facts['graph_cpu'] / size * 1e3:.1f} ms a task; client "
            f"{facts['graph_client'] / 1e6:.0f} MB, "
            f"scheduler {facts['graph_scheduler'] / 1e6:.0f} MB"
        )
        listed.append(Row("P8", f"{what}, as one Dask graph", graph, ""))
    return listed


def answer(item: Any) -> PieceValue:
    """Stand in for reading a partition."""
    del item
    return PieceValue(0, ReadReport(entries_in=EVENTS // PER_FILE))


def _measure(size: int) -> dict[str, float]:
    from distributed import Client, wait

    settings = _settings()
    names = _files(size // PER_FILE, settings)
    _pieces(names[:1], settings)  # imports
    me = psutil.Process()
    facts: dict[str, float] = {}
    began, worked = time.perf_counter(), time.process_time()
    pieces = _pieces(names, settings)
    facts["compile"] = time.perf_counter() - began
    facts["compile_cpu"] = time.process_time() - worked
    assert len(pieces) == size, len(pieces)
    with _cluster() as (address, scheduler), Client(address) as client:
        client.wait_for_workers(2)
        began, worked = time.perf_counter(), _worked(me, scheduler)
        runner = ClusterRunner(client)
        peak = 0
        for done, outcome in enumerate(run_tasks(answer, pieces, runner=runner)):
            assert outcome.error is None, outcome.error
            if not done:
                facts["first"] = time.perf_counter() - began
            if done % 1_000 == 0:
                peak = max(peak, scheduler.memory_info().rss)
            if done % (size // 10) == 0:  # how it grows, for whoever does not wait for the end
                spent = _worked(me, scheduler) - worked
                print(
                    f"{done} of {size}: {time.perf_counter() - began:.0f} s, processor time "
                    f"{spent:.1f} s, client {me.memory_info().rss / 1e6:.0f} MB, "
                    f"scheduler {scheduler.memory_info().rss / 1e6:.0f} MB",
                    file=sys.stderr,
                    flush=True,
                )
        facts["run"] = time.perf_counter() - began
        facts["cpu"] = _worked(me, scheduler) - worked
        facts["client"], facts["scheduler"] = me.memory_info().rss, peak
    with _cluster() as (address, scheduler), Client(address) as client:
        client.wait_for_workers(2)
        began, worked = time.perf_counter(), _worked(me, scheduler)
        futures = client.map(answer, [[item] for item in pieces], key="answer", pure=False)
        facts["build"] = time.perf_counter() - began
        client.sync(client.scheduler.identity)
        facts["submit"] = time.perf_counter() - began
        wait(futures)
        facts["graph"] = time.perf_counter() - began
        facts["graph_cpu"] = _worked(me, scheduler) - worked
        facts["graph_client"] = me.memory_info().rss
        facts["graph_scheduler"] = scheduler.memory_info().rss
        del futures
    return facts


def _worked(*processes: psutil.Process) -> float:
    """Return the processor time of client and scheduler so far: others do not disturb it."""
    return sum(sum(process.cpu_times()[:2]) for process in processes)


def _pieces(files: list[str], settings: Settings) -> list[Any]:
    data = sx.dataset(files, "Events", settings=settings)
    query = data.select("MET_pt", "Muon_pt")
    (table,) = query._compiled.tables  # noqa: SLF001 - what a run sends to workers
    return list(table.pieces)


def _settings() -> Settings:
    return replace(load_settings(), cache_dir=folder() / "scale-cache", partition_bytes=1)


def _files(count: int, settings: Settings) -> list[str]:
    """Return names that all are one file: only the index tells them apart."""
    original = one_file(EVENTS, extra=0, cluster=EVENTS // PER_FILE)
    place = folder() / "scale-files"
    place.mkdir(exist_ok=True)
    names = [str(place / f"f{number:05d}.root") for number in range(count)]
    store = IndexStore(settings.cache_dir / "index")
    index = store.build(str(original), "Events")
    for name in names:
        with suppress(FileExistsError):
            os.link(original, name)
        if not store.path_of(name, "Events").exists():
            store.put(replace(index, url=name))
    return names


@contextmanager
def _cluster() -> Iterator[tuple[str, psutil.Process]]:
    """Start a scheduler and two workers; yield the address and the process of the scheduler."""
    with tempfile.TemporaryDirectory() as scratch:
        facts = Path(scratch) / "scheduler.json"
        base = [sys.executable, "-W", "ignore", "-m"]
        quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        where = ["--host", "127.0.0.1", "--scheduler-file", str(facts)]
        command = [*base, "distributed.cli.dask_scheduler", *where, "--port", "0", "--no-dashboard"]
        started = [subprocess.Popen(command, cwd=scratch, **quiet)]
        try:
            while not facts.exists():
                time.sleep(0.05)
            options = ["--nthreads", "1", "--no-nanny", "--no-dashboard", "--memory-limit", "0"]
            worker = [*base, "distributed.cli.dask_worker", *where, *options]
            started += [subprocess.Popen(worker, cwd=scratch, **quiet) for _ in range(2)]
            time.sleep(0.1)
            address = json.loads(facts.read_text())["address"]
            yield address, psutil.Process(started[0].pid)
        finally:
            for process in reversed(started):
                process.terminate()
            for process in started:
                with suppress(subprocess.TimeoutExpired):
                    process.wait(20)
                process.kill()
                process.wait()


if __name__ == "__main__":
    print(json.dumps(_measure(int(sys.argv[1]))))
