"""Runs on workers that come and go: one is ended every few seconds, with notice or without.

``SXDASK_VOLATILE_RUNS`` is the number of runs (docs/reliability.md has the
numbers of 50), ``SXDASK_VOLATILE_EVENTS`` how much each reads, a partition a thousand,
``SXDASK_VOLATILE_SEED`` repeats a campaign.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import threading
import time
from statistics import median
from typing import TYPE_CHECKING, Any, Self

import awkward as ak
import pytest

import sxdask as sx
from tests.services.campaign import CUT_GEV, expected

if TYPE_CHECKING:
    from pathlib import Path

# Read before a fixture takes the user's settings away.
RUNS = int(os.environ.get("SXDASK_VOLATILE_RUNS", "2"))
SEED = int(os.environ.get("SXDASK_VOLATILE_SEED", "2026"))
EVENTS = int(os.environ.get("SXDASK_VOLATILE_EVENTS", "60000"))
EVERY_S = (1.0, 3.0)
COLUMNS = ("event", "MET_pt", "Jet_pt")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    from sxdask.testing import write_nanoaod_files

    folder = tmp_path_factory.mktemp("volatile")
    return write_nanoaod_files(folder, EVENTS, 3, entries_per_cluster=1_000)


class Preemption(threading.Thread):
    """Ends a worker of `cluster` every few seconds while it runs."""

    def __init__(self, cluster: Any, rng: random.Random) -> None:
        super().__init__(name="preemption")
        self.kills = 0
        self._cluster = cluster
        self._rng = rng
        self._ended = threading.Event()

    def run(self) -> None:
        while not self._ended.wait(self._rng.uniform(*EVERY_S)):
            pids = [nanny.pid for nanny in list(self._cluster.workers.values()) if nanny.pid]
            if not pids:
                continue
            try:
                # Batch systems and clouds give notice, out of memory and power do not.
                os.kill(self._rng.choice(pids), self._rng.choice([signal.SIGTERM, signal.SIGKILL]))
            except ProcessLookupError:
                continue
            self.kills += 1

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self.join()


def test_results_are_exact_though_a_worker_is_ended_every_few_seconds(
    files: list[Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SXDASK_PARTITION_BYTES", "20000")
    wanted = expected(files)
    query = sx.dataset(list(map(str, files))).where(f"MET_pt > {CUT_GEV}").select(*COLUMNS)
    rng = random.Random(SEED)  # noqa: S311 - to be repeated
    quiet, disturbed, kills = [], [], 0

    def run(client: Any) -> float:
        began = time.perf_counter()
        found = query.compute(client, cache=False)
        seconds = time.perf_counter() - began
        assert ak.array_equal(found, wanted, dtype_exact=False)
        return seconds

    cluster = sx.cluster("local", workers=2, threads_per_worker=1, allowed_failures=20)
    with cluster as client:
        run(client)  # imports at the workers
        for _ in range(RUNS):
            client.wait_for_workers(2, timeout=60)
            quiet.append(run(client))
            with Preemption(client.cluster, rng) as preemption:
                disturbed.append(run(client))
                end = time.monotonic() + 60
                while not preemption.kills:  # a run that was quicker than the first kill
                    assert time.monotonic() < end, "there is no worker to end"
                    disturbed[-1] = run(client)
            kills += preemption.kills
            line = f"{quiet[-1]:.1f} s and {disturbed[-1]:.1f} s with {preemption.kills} kills"
            with capsys.disabled():
                sys.stdout.write(f"\n{SEED}.{len(quiet)} exact, {line}")
                sys.stdout.flush()
    with capsys.disabled():
        sys.stdout.write(
            f"\n{RUNS} runs of {query.summary.partitions} partitions on two volatile workers, "
            f"seed {SEED}: {kills} kills, all exact; median {median(disturbed):.1f} s, "
            f"undisturbed {median(quiet):.1f} s, {median(disturbed) / median(quiet):.2f} times\n"
        )
    assert kills >= RUNS
