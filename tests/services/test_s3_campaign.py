"""Deliveries to S3 on bad days: random faults, each run exact or truly failed, then completed.

``SXDASK_CAMPAIGN_RUNS=50`` makes as many runs as are in docs/reliability.md,
``SXDASK_CAMPAIGN_SEED`` begins at another one, ``SXDASK_CAMPAIGN_LOG`` names a file that gets
one line of JSON for each.
"""

from __future__ import annotations

import json
import os
import random
import threading
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import awkward as ak
import pytest

import sxdask as sx
from sxdask.core.errors import SxdaskError
from sxdask.core.settings import load_settings
from sxdask.testing import write_nanoaod
from tests.services.proxy import PASS, Fault, Kind, Seen, proxy_to

if TYPE_CHECKING:
    from pathlib import Path

    from tests.services.seaweedfs import Bucket

# Read before a fixture hides all settings from the tests.
RUNS = int(os.environ.get("SXDASK_CAMPAIGN_RUNS", "4"))
FIRST_SEED = int(os.environ.get("SXDASK_CAMPAIGN_SEED", "0"))
LOG = os.environ.get("SXDASK_CAMPAIGN_LOG", "")

KINDS: tuple[Kind, ...] = ("refuse", "stall", "tear", "truncate", "lose", "status", "delay")
PARTITIONS = 6
QUICK = {
    "connect_timeout": 1,
    "read_timeout": 2,
    "retries": {"mode": "standard", "total_max_attempts": 2},
}


@dataclass(slots=True)
class Weather:
    """What a seeded day is like: now and then a fault, in some a blackout from some request on."""

    seed: int
    random: random.Random = field(init=False)
    often: float = field(init=False)
    blackout: int | None = field(init=False)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)  # noqa: S311
        self.often = self.random.choice([0.05, 0.15, 0.3])
        # A delivery takes 50 to 60 requests: some blackouts begin before its end.
        self.blackout = self.random.choice([None, self.random.randrange(5, 60)])

    def __call__(self, seen: Seen) -> Fault:
        with self.lock:
            if self.blackout is not None and seen.number >= self.blackout:
                return Fault("refuse" if self.random.random() < 0.5 else "status")
            if self.random.random() > self.often:
                return PASS
            return Fault(
                self.random.choice(KINDS),
                after=self.random.randrange(max(1, seen.length)),
                seconds=self.random.choice([0.2, 6.0]),
                code=self.random.choice([500, 503]),
            )


@pytest.fixture(scope="module")
def query(tmp_path_factory: pytest.TempPathFactory) -> sx.Query:
    folder: Path = tmp_path_factory.mktemp("campaign")
    path = write_nanoaod(folder / "events.root", 1_200, entries_per_cluster=200)
    settings = replace(load_settings(), partition_bytes=1)
    return sx.dataset(str(path), settings=settings).select("event", "Muon_pt", "Jet_pt")


@pytest.fixture(scope="module")
def truth(query: sx.Query) -> ak.Array:
    return query.compute(scheduler="sync")


def deliver(query: sx.Query, url: str, endpoint: str, **options: Any) -> sx.Manifest:
    storage = {"endpoint_url": endpoint, "config_kwargs": QUICK}
    return query.deliver(url, storage_options=storage, scheduler="threads", **options)


def require_exact(bucket: Bucket, truth: ak.Array) -> None:
    """Check with clients that know of no proxy: all is there, right, and nothing else."""
    found = sx.Manifest.load(f"{bucket.url}/x")
    assert len(found.partitions) == PARTITIONS
    assert found.verify() == []
    assert ak.array_equal(found.to_awkward(), truth)
    names = [*(entry.object for entry in found.partitions), "manifest.json"]
    shown = [name for name in bucket.keys("x/") if not name.startswith("x/.sxdask/")]
    assert shown == sorted(f"x/{name}" for name in names)


def require_true_report(error: SxdaskError, bucket: Bucket) -> None:
    """Check that a failure says what failed, and that a reader sees no delivery."""
    assert error.code in {"SX402", "SX403", "SX401"}
    assert "S3" in str(error) or bucket.url in f"{error}{error.context}"
    assert "\n" not in error.problem
    with pytest.raises(SxdaskError, match="no manifest"):
        sx.Manifest.load(f"{bucket.url}/x")


@pytest.mark.parametrize("seed", range(FIRST_SEED, FIRST_SEED + RUNS))
def test_a_bad_day_ends_exact_or_truly_failed_and_is_completed_later(
    seed, query, truth, bucket, s3_environment, monkeypatch
):
    # Tries follow each other in seconds and not in minutes, on this small machine.
    monkeypatch.setattr("sxdask.deliver.s3.requests._TRIES", 2)
    failed: SxdaskError | None = None
    with proxy_to(bucket.server.port, Weather(seed)) as proxy:
        try:
            deliver(query, f"{bucket.url}/x", proxy.url, resume=bool(seed % 2))
        except SxdaskError as error:
            failed = error
    if failed is None:
        require_exact(bucket, truth)
    else:
        require_true_report(failed, bucket)
    left = len(bucket.keys("x/.sxdask")) + len(bucket.pending())
    with proxy_to(bucket.server.port) as fair:
        deliver(query, f"{bucket.url}/x", fair.url, resume=True)
    again = fair.operations().count("UploadPart")
    require_exact(bucket, truth)
    assert bucket.keys("x/.sxdask") == []
    assert bucket.pending() == []
    assert again <= (0 if failed is None else PARTITIONS)
    if LOG:
        faults = dict(Counter(fault.kind for _, fault in proxy.done))
        line = {"seed": seed, "end": failed.code if failed else "complete", "faults": faults}
        with open(LOG, "a") as file:  # noqa: PTH123
            file.write(json.dumps(line | {"computed_again": again, "left": left}) + "\n")
