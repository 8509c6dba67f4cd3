"""Deliveries whose workers, nannies and drivers are killed at random moments.

``SXDASK_CAMPAIGN_RUNS`` is the number of runs (docs/reliability.md has the
numbers of 100), ``SXDASK_CAMPAIGN_SEED`` repeats a campaign.
"""

from __future__ import annotations

import os
import random
import sys
import time
from typing import TYPE_CHECKING

import pytest

import sxdask as sx
from sxdask.core.errors import SxdaskError
from sxdask.core.events import Event, PartitionDone
from tests.services.campaign import (
    COLUMNS,
    CUT_GEV,
    Tolls,
    Workers,
    answer,
    check,
    drive,
    expected,
    kill_when,
    recipe,
)

if TYPE_CHECKING:
    from pathlib import Path

# Read before a fixture takes the user's settings away.
RUNS = int(os.environ.get("SXDASK_CAMPAIGN_RUNS", "6"))
SEED = int(os.environ.get("SXDASK_CAMPAIGN_SEED", "2026"))

PARTITION_BYTES = "20000"
KINDS = ("worker", "nanny", "driver", "driver and worker")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    from sxdask.testing import write_nanoaod_files

    folder = tmp_path_factory.mktemp("campaign")
    return write_nanoaod_files(folder, 60_000, 3, entries_per_cluster=1_000)


def test_killed_deliveries_end_complete_and_exact(
    tmp_path: Path,
    files: list[Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    cache = tmp_path / "cache"  # of its own: other tests may leave a delivery to be taken up
    monkeypatch.setenv("SXDASK_CACHE_DIR", str(cache))
    monkeypatch.setenv("SXDASK_PARTITION_BYTES", PARTITION_BYTES)
    wanted = expected(files)
    recipe_file = recipe(tmp_path, files)
    query = sx.load(recipe_file)
    tolls, rng = Tolls(), random.Random(SEED)  # noqa: S311 - to be repeated
    said: list[str] = []
    workers = Workers(tmp_path)
    began = time.monotonic()
    try:
        for number in range(RUNS):
            kind = KINDS[number % len(KINDS)]
            out = tmp_path / f"out-{number}"
            if kind.startswith("driver"):
                line = driver_run(kind, recipe_file, out, workers, rng, tolls)
            else:
                line = worker_run(kind, query, out, workers, rng, tolls)
            manifest = check(out, cache, wanted)
            tolls.runs[kind] = tolls.runs.get(kind, 0) + 1
            said.append(f"{SEED}.{number} {kind}: {line}; {len(manifest.partitions)} exact")
    finally:
        tolls.seconds = time.monotonic() - began
        workers.close()
        with capsys.disabled():
            sys.stdout.write("\n".join(["", *said, str(tolls), ""]))
    assert tolls.kills >= RUNS // 2


def worker_run(
    kind: str, query: sx.Query, out: Path, workers: Workers, rng: random.Random, tolls: Tolls
) -> str:
    """Kill a worker or a nanny when a random number of partitions is done."""
    workers.wait()
    moment, done, moved = rng.randrange(55), 0, -1

    def kill_once(event: Event) -> None:
        nonlocal done, moved
        done += isinstance(event, PartitionDone)
        if moved < 0 and done >= moment:
            moved = workers.kill(kind, rng)

    options = {"client": workers.client, "progress": kill_once, "cache": False, "resume": True}
    said, failed = "", None
    try:
        query.deliver(str(out), **options)
    except SxdaskError as error:
        failed = error
        said = f", failed: {error.problem}, resumed"
        tolls.reports += 1
        query.deliver(str(out), **options)
    assert failed is None or failed.context.get("report") or failed.hint
    tolls.kills += moved >= 0
    tolls.moved += max(moved, 0)
    return f"killed after {moment} partitions, {moved} moved{said}"


def driver_run(
    kind: str, recipe_file: Path, out: Path, workers: Workers, rng: random.Random, tolls: Tolls
) -> str:
    """Kill the driver when a random number of objects is stored, then resume until complete."""
    workers.wait()
    log = out.with_suffix(".log")
    stored = min(rng.randrange(70), 60)  # the last ones fall into the commit
    process = drive(recipe_file, out, workers.address, log)
    left = kill_when(process, out, stored, rng.random() * 0.15)
    if left < 0:
        assert process.returncode == 0, log.read_text()
        return "ended before it could be killed"
    tolls.kills += 1
    if kind == "driver and worker":
        tolls.moved += workers.kill("worker", rng)
        tolls.kills += 1
    process = drive(recipe_file, out, workers.address, log)
    assert process.wait(300) == 0, log.read_text()
    report = answer(log)
    total = report["objects"]
    kept = total - round(report["entries"] * total / 60_000)
    tolls.resumed += 1
    tolls.kept += kept
    return f"killed with {left} objects stored, resumed with {kept} of {total} kept"


def test_the_cut_of_the_campaign_keeps_some_rows_and_drops_some(files: list[Path]) -> None:
    rows = expected(files)
    assert 0 < len(rows) < 60_000
    assert rows.fields == list(COLUMNS)
    assert min(rows.MET_pt) > CUT_GEV
