"""The batch queue over clusters of a real gateway, which is restarted and loses a cluster.

``SXDASK_BATCH_RECIPES`` is the number of recipes (docs/reliability.md has the numbers of 20).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import awkward as ak
import pytest
import uproot

from sxdask.clusters.batch.queue import ENDED, Queue
from sxdask.deliver.manifest import Manifest
from tests.processes import command
from tests.services.test_gateway import clusters

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.services.dask_gateway_server import GatewayServer

# Read before a fixture takes the user's settings away.
RECIPES = int(os.environ.get("SXDASK_BATCH_RECIPES", "4"))
PATIENCE_S = 120 + 30 * RECIPES


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[Queue]:
    found = Queue(tmp_path / "queue")
    yield found
    for job in found.jobs():
        found.cancel(job.id)
    wait_for(lambda: slots(found) == 0, 60)


def wait_for(condition: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it does not happen"
        time.sleep(0.2)


def slots(queue: Queue) -> int:
    return queue.slots("gateway", "{}")


def submit(queue: Queue, recipes: list[Path], out: Path, num_clusters: int) -> None:
    command = [sys.executable, "-m", "sxdask.cli", "batch", "submit", *map(str, recipes)]
    options = ["--cluster", "gateway", "--clusters", str(num_clusters), "--to", str(out)]
    subprocess.run([*command, *options, "--folder", str(queue.folder)], check=True, timeout=100)


def write_recipe(path: Path, files: list[Path], cut: float, **more: Any) -> Path:
    values = {
        "title": path.stem,
        "dataset": {"files": [str(file) for file in files]},
        "where": f"MET_pt > {cut}",
        "select": ["event", "MET_pt"],
    }
    path.write_text(json.dumps(values | more))
    return path


def expected(files: list[Path], cut: float) -> ak.Array:
    whole = ak.concatenate(
        [uproot.open({f"{path}": "Events"}).arrays(["event", "MET_pt"]) for path in files]
    )
    return whole[whole.MET_pt > cut]


def check(target: Path, wanted: ak.Array) -> None:
    manifest = Manifest.load(str(target))
    assert manifest.status == "complete"
    assert manifest.verify() == []
    assert ak.array_equal(manifest.to_awkward(), wanted, dtype_exact=False)
    named = {"manifest.json", *(entry.object for entry in manifest.partitions)}
    assert {str(path.relative_to(target)) for path in target.rglob("*")} == named


def test_a_batch_over_two_clusters_goes_on_when_the_gateway_is_restarted(
    alice: GatewayServer, queue: Queue, tmp_path: Path, nanoaod_files: list[Path]
) -> None:
    cuts = [10.0 + number for number in range(RECIPES)]
    recipes = [
        write_recipe(tmp_path / f"cut-{cut:g}.yaml", nanoaod_files, cut, partition_bytes="8 kB")
        for cut in cuts
    ]
    submit(queue, recipes, tmp_path / "out", 2)
    seen: set[int] = set()
    restarted = False
    deadline = time.monotonic() + PATIENCE_S
    while not all(job.state in ENDED for job in queue.jobs()):
        assert time.monotonic() < deadline, [job.state for job in queue.jobs()]
        running = [job.slot for job in queue.jobs() if job.state == "running"]
        assert len(running) == len(set(running)), "a cluster has two recipes at once"
        assert len(running) <= 2
        seen |= {slot for slot in running if slot is not None}
        staged = len(list((tmp_path / "out").rglob("part-*")))
        if not restarted and len(running) == 2 and staged:
            alice.stop()
            time.sleep(1)
            alice.start()
            restarted = True
        time.sleep(0.1)
    jobs = queue.jobs()
    assert restarted
    assert len(seen) == 2
    assert [(job.state, job.error) for job in jobs] == [("done", "")] * RECIPES
    for cut, recipe in zip(cuts, recipes, strict=True):
        check(tmp_path / "out" / recipe.stem, expected(nanoaod_files, cut))
    wait_for(lambda: slots(queue) == 0, 60)
    assert clusters(alice) == []


def test_a_recipe_whose_cluster_vanished_is_run_again_on_a_new_one(
    alice: GatewayServer, queue: Queue, tmp_path: Path, make_nanoaod: Callable[..., Path]
) -> None:
    files = [make_nanoaod(12_000, entries_per_cluster=100)]
    recipe = write_recipe(tmp_path / "long.yaml", files, 10.0, partition_bytes="1 kB")
    submit(queue, [recipe], tmp_path / "out", 1)
    wait_for(lambda: len(list((tmp_path / "out").rglob("part-*"))) > 5, 120)
    killed = [item for item in alice.processes() if "dask-scheduler" in command(item)]
    assert killed
    for process in killed:
        process.kill()
    wait_for(lambda: queue.job(1).state in ENDED, 240)
    job = queue.job(1)
    assert (job.state, job.attempts > 1) == ("done", True), queue.log(1).read_text()
    check(tmp_path / "out" / "long", expected(files, 10.0))
