"""Processors on a real cluster: the same accumulators, merged there, whoever dies."""

from __future__ import annotations

import gc
import os
import time

import awkward as ak
import hist
import numpy as np
import pytest
from coffea.processor import ProcessorABC
from distributed import SchedulerPlugin

import sxdask as sx
from sxdask.clusters.backends.local import LocalBackend
from sxdask.core.errors import UserFunctionError
from tests.processors import DimuonMass

pytestmark = pytest.mark.filterwarnings("ignore:Missing cross-reference:RuntimeWarning")


@pytest.fixture(scope="module")
def client():
    with LocalBackend(2, threads_per_worker=1) as client:
        yield client


def fileset_of(files):
    return {"data": {"files": [str(path) for path in files], "treename": "Events"}}


def tasks_on(client):
    """Return the keys that the scheduler knows, once nothing moves any more."""
    deadline = time.monotonic() + 10
    while True:
        gc.collect()
        keys = client.run_on_scheduler(
            lambda dask_scheduler: sorted(map(str, dask_scheduler.tasks))
        )
        if not keys or time.monotonic() > deadline:
            return keys
        time.sleep(0.05)


def test_a_cluster_gives_what_one_thread_gives_and_keeps_nothing(client, nanoaod_files):
    fileset = fileset_of(nanoaod_files)
    wanted = sx.run_processor(DimuonMass(), fileset, scheduler="sync", chunksize=250)
    found, report = sx.run_processor(
        DimuonMass(), fileset, client=client, chunksize=250, savemetrics=True
    )
    assert found == wanted
    assert (report["chunks"], report["ttree_opens"]) == (40, 0)
    assert tasks_on(client) == []


def test_lists_come_in_the_order_of_the_files_whatever_ends_first(client, nanoaod_files):
    def slow_at_first(events):
        begin = events.metadata["entrystart"]
        time.sleep(0.1 if begin == 0 else 0)
        return [(os.path.basename(events.metadata["filename"]), begin)]  # noqa: PTH119

    found = sx.run_processor(slow_at_first, fileset_of(nanoaod_files), client=client, chunksize=250)
    assert found == sorted(found)
    assert len(found) == 40


class _Merges(SchedulerPlugin):  # type: ignore[misc]
    """Notes the tasks that ended."""

    name = "merges"

    def __init__(self):
        self.finished = []

    def transition(self, key, start, finish, *args, **kwargs):  # noqa: ARG002 - Dask's protocol
        if finish == "memory":
            self.finished.append(str(key))


def test_accumulators_are_merged_on_the_workers_and_one_comes_back(client, nanoaod_files):
    def large(events):
        filled = hist.Hist.new.Reg(50_000, 0, 500).Double()
        return {"met": filled.fill(ak.to_numpy(events.MET.pt))}

    client.register_plugin(_Merges())
    try:
        found = sx.run_processor(large, fileset_of(nanoaod_files), client=client, chunksize=250)
        finished = client.run_on_scheduler(
            lambda dask_scheduler: dask_scheduler.plugins["merges"].finished
        )
    finally:
        client.unregister_scheduler_plugin("merges")
    assert found["met"].sum(flow=True) == 10_000
    assert sum("merge-" in key for key in finished) == 6  # 40 chunks: five by eight, and these five
    assert sum("facts-" in key for key in finished) == 40


def test_a_worker_that_dies_costs_time_and_no_event(nanoaod_files, tmp_path):
    mark = tmp_path / "died"

    class Deadly(ProcessorABC):  # type: ignore[misc]
        """Takes its worker down once, when that holds accumulators already."""

        def process(self, events):
            if events.metadata["entrystart"] >= 2_000 and not mark.exists():
                mark.touch()
                os._exit(1)
            return {"n": len(events), "sum": int(np.sum(events.event.to_numpy()))}

    fileset = fileset_of(nanoaod_files)
    with LocalBackend(2, threads_per_worker=1) as client:
        found = sx.run_processor(Deadly(), fileset, client=client, chunksize=500)
    assert mark.exists()
    assert found == {"n": 10_000, "sum": 10_000 * 10_001 // 2}


def test_errors_of_workers_come_to_the_client_and_leave_it_clean(client, nanoaod_files):
    def fails(events):
        if "002" in events.metadata["filename"] or "2.root" in events.metadata["filename"]:
            raise KeyError("no such correction")
        return {"n": len(events)}

    def differs(events):
        return {"n": len(events) if events.metadata["entrystart"] else "text"}

    fileset = fileset_of(nanoaod_files)
    with pytest.raises(UserFunctionError, match="no such correction"):
        sx.run_processor(fails, fileset, client=client, chunksize=500)
    with pytest.raises(UserFunctionError, match="cannot be added"):
        sx.run_processor(differs, fileset, client=client, chunksize=500)
    assert tasks_on(client) == []
    assert sx.run_processor(len, fileset, client=client) == 10_000
