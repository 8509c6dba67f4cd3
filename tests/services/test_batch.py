"""The batch queue over clusters of this machine: worked off, interrupted, cancelled."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from sxdask.clusters.batch.queue import ENDED, Queue
from sxdask.deliver.manifest import Manifest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

PLACE = ("--cluster", "local", "--cluster-option", "workers=1", "--cluster-option", "dashboard=0")
OPTIONS = '{"dashboard": 0, "workers": 1}'
PATIENCE_S = 240


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[Queue]:
    found = Queue(tmp_path / "queue")
    yield found
    for job in found.jobs():
        found.cancel(job.id)
    wait_for(lambda: found.slots("local", OPTIONS) == 0)


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "it does not happen"
        time.sleep(0.2)


def batch(queue: Queue, *arguments: str) -> str:
    command = [sys.executable, "-m", "sxdask.cli", "batch", *arguments]
    done = subprocess.run(
        [*command, "--folder", str(queue.folder)],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=True,
    )
    return done.stdout


def recipe(tmp_path: Path, file: Path, name: str, **more: Any) -> str:
    path = tmp_path / f"{name}.yaml"
    values = {"dataset": {"files": str(file)}, "where": "nMuon == 2", "select": ["event"]}
    path.write_text(json.dumps(values | more))
    return str(path)


def test_what_is_queued_is_worked_off_and_mistakes_are_not_tried_again(queue, nanoaod, tmp_path):
    good = recipe(tmp_path, nanoaod, "good")
    bad = recipe(tmp_path, nanoaod, "bad", select=["evnt"])
    batch(queue, "submit", bad, good, *PLACE, "--to", str(tmp_path / "out"), "--hold")
    said = batch(queue, "work", *PLACE)
    assert "job 2 is done" in said
    jobs = queue.jobs()
    assert [(job.state, job.attempts) for job in jobs] == [("failed", 1), ("done", 1)]
    assert jobs[0].error.startswith("error [SX101]")
    assert json.loads(batch(queue, "logs", "2").partition("\n")[2])["rows"] == 2698
    assert Manifest.load(str(tmp_path / "out" / "good")).rows == 2698
    assert queue.slots("local", OPTIONS) == 0


def test_a_batch_outlives_the_death_of_the_process_that_works_it_off(queue, make_nanoaod, tmp_path):
    file = make_nanoaod(40_000, entries_per_cluster=100)
    long = recipe(tmp_path, file, "long", partition_bytes="1 kB", where="MET_pt > 0")
    batch(queue, "submit", long, *PLACE, "--to", str(tmp_path / "out"))
    wait_for(lambda: len(list((tmp_path / "out").rglob("part-*"))) > 5)
    (pid,) = slot_processes(queue)
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: queue.slots("local", OPTIONS) == 0)
    assert queue.job(1).state == "queued"
    batch(queue, "work", *PLACE)
    job = queue.job(1)
    assert (job.state, job.attempts) == ("done", 2)
    manifest = Manifest.load(str(tmp_path / "out" / "long"))
    assert manifest.verify() == []
    assert manifest.rows == 40_000


def test_a_job_that_runs_is_cancelled_within_seconds(queue, make_nanoaod, tmp_path):
    file = make_nanoaod(100_000, entries_per_cluster=100)
    long = recipe(tmp_path, file, "long", partition_bytes="1 kB", where="MET_pt > 0")
    batch(queue, "submit", long, *PLACE, "--to", str(tmp_path / "out"))
    wait_for(lambda: len(list((tmp_path / "out").rglob("part-*"))) > 5)
    assert "is being cancelled" in batch(queue, "cancel", "1")
    wait_for(lambda: queue.job(1).state in ENDED)
    assert queue.job(1).state == "cancelled"
    assert not (tmp_path / "out" / "long" / "manifest.json").exists()


def slot_processes(queue: Queue) -> list[int]:
    import sqlite3
    from contextlib import closing

    with closing(sqlite3.connect(queue.folder / "queue.sqlite")) as base:
        return [row[0] for row in base.execute("SELECT pid FROM slots")]
