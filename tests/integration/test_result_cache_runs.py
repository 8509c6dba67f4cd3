"""Runs around kept results: several processes, a killed one, a full disk, leases of deliveries."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import awkward as ak
import pytest

from sxdask.core.events import PartitionDone
from sxdask.core.settings import load_settings
from sxdask.deliver.cache import open_cache
from sxdask.deliver.cache_upkeep import prune
from tests.kept_results import four_files, keep_results, objects, skim

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def kept(tmp_path, monkeypatch):
    return keep_results(tmp_path, monkeypatch)


@pytest.fixture
def files(tmp_path) -> list[Path]:
    return four_files(tmp_path)


PROGRAM = """
import json, sys
import sxdask as sx
files = sys.argv[1:]
query = sx.dataset(files, "Events").where("(nMuon >= 2) & (MET_pt > 20)")
query = query.select("event", "Muon_pt", "MET_pt", lead="max(Muon_pt)")
rows = query.compute(scheduler="sync")
report = query.summary.report
print(json.dumps([len(rows), report.results_reused, report.results_kept]))
"""


def start(files) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", PROGRAM, *map(str, files)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_processes_share_results(kept, files):
    both = [start(files), start(files)]  # at once
    told = [json.loads(process.communicate(timeout=60)[0]) for process in both]
    assert told[0][0] == told[1][0] == len(skim(files).compute(cache=False))
    assert len(objects(kept)) == 4
    query = skim(files)
    query.compute()
    assert query.summary.report.results_reused == 4


def test_a_process_killed_on_its_way_leaves_nothing_that_is_wrong(kept, files):
    whole = skim(files).compute(cache=False)
    process = start(files)
    for _ in range(2_000):
        if objects(kept) or process.poll() is not None:
            break
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert objects(kept)
    query = skim(files)
    assert ak.array_equal(query.compute(), whole)
    report = query.summary.report
    assert report.results_reused + report.results_kept == 4


FULL_DISK = """
import resource, sys, warnings
warnings.simplefilter("error")
import awkward as ak, sxdask as sx
files = sys.argv[1:]
query = sx.dataset(files, "Events").where("nMuon >= 2").select("event", "Muon_pt", "MET_pt")
plain = query.compute(cache=False)
resource.setrlimit(resource.RLIMIT_FSIZE, (64, 64))  # a write of more fails, as on a full disk
assert ak.array_equal(query.compute(), plain)
assert query.summary.report.results_kept == 0
"""


def test_a_full_disk_changes_nothing(kept, files):
    command = [sys.executable, "-c", FULL_DISK, *map(str, files)]
    subprocess.run(command, check=True, timeout=60)
    left = [path for path in kept.rglob("*") if path.is_file()]
    assert left == []


def leases(folder: Path) -> list[dict[str, object]]:
    return [json.loads(path.read_text()) for path in folder.glob("leases/*.json")]


def test_a_delivery_holds_a_lease_while_it_runs(kept, files, tmp_path):
    seen = []
    query = skim(files)
    query.deliver(tmp_path / "out", progress=lambda _: seen.append(leases(kept)))
    assert all(len(found) == 1 for found in seen)
    assert seen[0][0]["requests"] == [objects(kept)[0].parent.name]
    assert leases(kept) == []


@pytest.mark.parametrize("resume", [True, False])
def test_an_interrupted_delivery_that_can_be_resumed_keeps_its_lease(kept, files, tmp_path, resume):
    def stop(event):
        if isinstance(event, PartitionDone):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        skim(files).deliver(tmp_path / "out", progress=stop, scheduler="sync", resume=resume)
    found = leases(kept)
    assert len(found) == (1 if resume else 0)
    cache = open_cache(load_settings())
    assert cache is not None
    left = prune(cache, everything=True)
    assert (left.objects, left.leased) == ((0, 1) if resume else (1, 0))
    skim(files).deliver(tmp_path / "out", resume=True)
    assert leases(kept) == []
