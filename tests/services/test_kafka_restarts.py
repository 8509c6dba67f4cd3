"""The broker is killed and started again in the middle of deliveries, at random moments.

``KAFKA_RESTARTS`` says how often; the default is for every day. A broker in
memory comes back without its topics, one on S3 with all that it acknowledged.
Every run has to end complete and exact, or to fail with a true report and to
be completed by the next one with what is left.
"""

from __future__ import annotations

import json
import os
import random
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import awkward as ak
import pytest

import sxdask as sx
from sxdask.core.errors import SxdaskError
from sxdask.deliver.delivery import Options, deliver
from sxdask.deliver.runners.threads import ThreadRunner
from sxdask.deliver.sink import open_sink
from sxdask.deliver.work import Source
from tests.readers import expected, pieces, source
from tests.services.broker import MEMORY, Broker
from tests.services.test_delivery_kafka import SlowReader

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sxdask.core.events import Event
    from tests.services.seaweedfs import Bucket

RUNS = int(os.environ.get("KAFKA_RESTARTS", "2"))
PARTS = 30
OPTIONS = {"message_bytes": 8_000, "timeout_s": 15.0}


@dataclass
class Told:
    """How one run ended."""

    engine: str
    at_s: float
    down_s: float
    first: str
    recomputed: int
    seconds: float


@pytest.fixture(params=["memory", "s3"])
def moody_broker(
    request: pytest.FixtureRequest, tmp_path: Path, bucket: Bucket
) -> Iterator[Broker]:
    """Return a broker with its messages in memory, or in a bucket."""
    found = Broker(tmp_path / "broker.log", MEMORY)
    if request.param == "s3":
        found.engine = f"s3://{bucket.name}/"
        found.environment = bucket.server.environment() | {
            "AWS_ENDPOINT": bucket.server.endpoint,
            "AWS_ALLOW_HTTP": "true",
        }
    found.start()
    yield found
    found.kill()


def rows_in(url: str, *, committed: bool) -> list[Any]:
    with sx.consume(url, timeout=30.0, committed=committed) as found:
        ordered = sorted(found, key=lambda item: item.index)
    return list(ak.to_list(ak.concatenate([ak.from_arrow(item.table) for item in ordered])))


def undisturbed(broker: Broker) -> float:
    """Return how long a delivery takes that nothing disturbs."""
    found = pieces(PARTS, size=1_000)
    work = [Source(SlowReader(), found, source(found).labels)]
    started = time.perf_counter()
    deliver(work, open_sink(broker.url(), storage_options=OPTIONS), Options(ThreadRunner(4)))
    return time.perf_counter() - started


def run_once(broker: Broker, folder: Path, chance: random.Random, usual_s: float) -> Told:
    """Deliver while the broker is restarted, resume if need be, and compare all of it."""
    folder.mkdir()
    url = broker.url()
    found = pieces(PARTS, size=1_000)
    log = folder / "log"
    log.mkdir()
    work = [Source(SlowReader(log), found, source(found).labels)]
    at, down = chance.uniform(0.0, 1.1 * usual_s), chance.choice([0.0, 0.3, 1.0])
    timer = threading.Timer(at, broker.restart, kwargs={"pause_s": down})
    options = Options(ThreadRunner(4), ledger_dir=folder, keep=True)
    started = time.perf_counter()
    timer.start()
    try:
        manifest = deliver(work, open_sink(url, storage_options=OPTIONS), options)
        first = "complete"
    except SxdaskError as error:
        first = f"[{error.code}] {error.problem}"
        manifest = None
    finally:
        timer.join()
    seconds = time.perf_counter() - started
    # A broker in memory may be gone after the manifest was written, with everything.
    for _ in range(2):
        manifest = deliver(work, open_sink(url, storage_options=OPTIONS), options)
    assert manifest is not None
    assert (manifest.status, len(manifest.partitions)) == ("complete", PARTS)
    assert manifest.verify() == []
    wanted = expected(found).to_list()
    assert rows_in(url, committed=True) == wanted
    assert rows_in(url, committed=False) == wanted
    recomputed = len(list(log.iterdir())) - PARTS
    return Told(broker.engine.partition(":")[0], at, down, first, recomputed, seconds)


def test_a_broker_that_restarts_at_a_random_moment_loses_and_doubles_nothing(
    moody_broker: Broker, tmp_path: Path
) -> None:
    seed = int(os.environ.get("KAFKA_SEED", "7"))
    chance = random.Random(seed)  # noqa: S311 - not for secrets
    undisturbed(moody_broker)  # the first one waits for what is loaded once
    usual_s = undisturbed(moody_broker)
    told = [
        run_once(moody_broker, tmp_path / str(number), chance, usual_s) for number in range(RUNS)
    ]
    report = os.environ.get("KAFKA_REPORT")
    if report:
        with open(report, "a", encoding="utf-8") as file:  # noqa: PTH123 - appended to
            file.writelines(json.dumps(vars(item)) + "\n" for item in told)
    failed = [item for item in told if item.first != "complete"]
    for item in failed:  # a report is true if it names the broker or what is gone
        assert moody_broker.servers in item.first or "gone" in item.first
    if moody_broker.engine != MEMORY:
        # What the broker acknowledged is still there, so nothing is lost but what was on its way.
        assert all(item.recomputed <= 8 for item in told)


@pytest.mark.parametrize("moody_broker", ["s3"], indirect=True)
@pytest.mark.parametrize("committed", [True, False])
def test_a_reader_outlives_a_restart_of_the_broker(moody_broker: Broker, committed: bool) -> None:
    url = moody_broker.url()
    found = pieces(PARTS, size=1_000)
    work = [Source(SlowReader(seconds=0.1), found, source(found).labels)]
    rows: list[Any] = []
    reader = threading.Thread(target=lambda: rows.extend(rows_in(url, committed=committed)))
    reader.start()
    done: list[Event] = []

    def restart_in_the_middle(event: Event) -> None:
        done.append(event)
        if len(done) == PARTS // 2:
            moody_broker.restart(pause_s=0.5)

    options = Options(ThreadRunner(2), on_event=restart_in_the_middle)
    manifest = deliver(work, open_sink(url, storage_options=OPTIONS), options)
    reader.join(60.0)
    assert manifest.status == "complete"
    assert rows == expected(found).to_list()
