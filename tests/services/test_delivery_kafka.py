"""Deliveries to a real broker: from a cluster, with workers killed, cut off and resumed, large."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import awkward as ak
import numpy as np
import pytest

import sxdask as sx
from sxdask.clusters.backends.local import LocalBackend
from sxdask.core.errors import ReadFailedError, RequestError
from sxdask.core.events import PartitionDone, ReadReport
from sxdask.deliver.delivery import Options, deliver
from sxdask.deliver.runners.cluster import ClusterRunner
from sxdask.deliver.sink import open_sink
from sxdask.deliver.sinks.memory import MemorySink
from sxdask.deliver.tasks import Labels
from sxdask.deliver.work import Source
from sxdask.testing import write_nanoaod
from tests.readers import NumberRead, NumberReader, expected, pieces, source

if TYPE_CHECKING:
    from collections.abc import Iterator

    from distributed import Client

    from sxdask.rootio.model import Piece
    from tests.services.broker import Broker

# Megabytes of the large delivery; 1000 once before a release.
MEGABYTES = int(os.environ.get("KAFKA_MEGABYTES", "40"))
SMALL = {"message_bytes": 20_000}


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with LocalBackend(2, threads_per_worker=1) as client:
        yield client


@dataclass(frozen=True)
class SlowReader(NumberReader):
    """Takes its time, so that something can happen in the meantime."""

    seconds: float = 0.05

    def read(self, piece: Piece) -> NumberRead:
        time.sleep(self.seconds)
        return super().read(piece)


@dataclass(frozen=True)
class NoiseReader:
    """Random numbers, which no codec makes smaller; those of a range are always the same."""

    def read(self, piece: Piece) -> NumberRead:
        return NumberRead(noise(piece.entry_start, piece.num_entries), ReadReport())

    def mock_empty(self) -> ak.Array:
        return noise(0, 0)


def noise(seed: int, rows: int) -> ak.Array:
    return ak.zip({"x": np.random.default_rng(seed).random(rows)})


def rows_in(url: str, **options: Any) -> list[Any]:
    with sx.consume(url, timeout=20.0, **options) as found:
        ordered = sorted(found, key=lambda item: item.index)
    return list(ak.to_list(ak.concatenate([ak.from_arrow(item.table) for item in ordered])))


def test_a_query_is_delivered_to_a_topic_by_the_workers_of_a_cluster(
    broker, client, nanoaod
) -> None:
    url = broker.url()
    query = sx.dataset(nanoaod).where("MET_pt > 20").select("event", "Muon_pt")
    manifest = query.deliver(url, client=client, storage_options={"partitions": 3})
    assert (manifest.status, manifest.location) == ("complete", url)
    assert manifest.verify() == []
    wanted = query.compute().to_list()
    assert manifest.to_awkward().to_list() == wanted
    assert rows_in(url) == wanted
    again = query.deliver(url, client=client, storage_options={"partitions": 3})
    assert again == manifest


def test_a_request_whose_statistics_are_known_by_now_is_the_same_delivery(
    broker, tmp_path, monkeypatch
) -> None:
    monkeypatch.setenv("SXDASK_PARTITION_BYTES", "20000")
    path = write_nanoaod(tmp_path / "a.root", 3_000, entries_per_cluster=300)
    url = broker.url()

    def again() -> sx.Manifest:
        query = sx.dataset([str(path)]).where("event <= 700").select("event", "MET_pt")
        return query.deliver(url, scheduler="threads")

    first, second = again(), again()
    assert (first.rows, second.rows) == (700, 700)
    assert {entry.object for entry in second.partitions} < {e.object for e in first.partitions}
    assert [row["event"] for row in rows_in(url)] == list(range(1, 701))
    assert second.verify() == []
    assert again() == second


def test_options_of_the_dataset_are_not_those_of_the_broker(broker, nanoaod) -> None:
    data = sx.dataset(nanoaod, storage_options={"default_block_size": 1_000_000})
    manifest = data.select("event").deliver(broker.url(), scheduler="threads")
    assert manifest.rows == data.num_events


def test_a_sink_object_may_be_the_target(nanoaod) -> None:
    sink = MemorySink()
    query = sx.dataset(nanoaod).select("event")
    manifest = query.deliver(sink, scheduler="threads")
    assert sum(table.num_rows for table in sink.tables.values()) == manifest.rows > 0


def test_a_topic_takes_no_parquet(broker, nanoaod) -> None:
    with pytest.raises(RequestError, match="not 'parquet'"):
        sx.dataset(nanoaod).select("event").deliver(broker.url(), "parquet")


def test_a_killed_worker_costs_no_partition_and_doubles_none(broker, client) -> None:
    url = broker.url()
    found = pieces(40, size=2_000)
    reader = source(found)
    slow = Source(SlowReader(), found, reader.labels)
    seen = 0

    def kill_one(event: object) -> None:
        nonlocal seen
        seen += isinstance(event, PartitionDone)
        if seen == 10:
            seen += 1
            os.kill(next(iter(client.run(os.getpid).values())), signal.SIGKILL)

    options = Options(runner=ClusterRunner(client), on_event=kill_one)
    manifest = deliver([slow], open_sink(url, storage_options=SMALL), options)
    assert seen > 10
    assert (manifest.status, len(manifest.partitions)) == ("complete", 40)
    wanted = expected(found).to_list()
    assert rows_in(url) == wanted
    assert rows_in(url, committed=False) == wanted
    assert manifest.verify() == []


CUT_OFF = """
    import sys
    from pathlib import Path
    from sxdask.deliver.delivery import Options, deliver
    from sxdask.deliver.work import Source
    from sxdask.deliver.sink import open_sink
    from tests.readers import pieces, source
    from tests.services.test_delivery_kafka import SlowReader

    def main():
        found = pieces(40)
        slow = Source(SlowReader(Path(sys.argv[3])), found, source(found).labels)
        options = Options(ledger_dir=Path(sys.argv[2]), keep=sys.argv[4] == "keep")
        print("begins", flush=True)
        deliver([slow], open_sink(sys.argv[1]), options)

    main()
"""


@pytest.mark.parametrize("keep", ["keep", "drop"])
def test_ctrl_c_ends_a_delivery_soon_and_a_kept_one_goes_on(broker, tmp_path, keep) -> None:
    url, log = broker.url(), tmp_path / "log"
    log.mkdir()
    script = tmp_path / "run.py"
    script.write_text(textwrap.dedent(CUT_OFF))
    command = [sys.executable, str(script), url, str(tmp_path), str(log), keep]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(Path.cwd())},
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        deadline = time.monotonic() + 20
        while len(list(log.iterdir())) < 8 and time.monotonic() < deadline:
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=20)
    assert b"KeyboardInterrupt" in errors
    before = len(list(log.iterdir()))
    assert 8 <= before < 40
    with pytest.raises(ReadFailedError, match="given up" if keep == "drop" else "missing"):
        list(sx.consume(url, timeout=1.0))
    found = pieces(40)
    options = Options(ledger_dir=tmp_path, keep=True)
    manifest = deliver([source(found, log=log)], open_sink(url), options)
    again = len(list(log.iterdir())) - before
    assert again == 40 if keep == "drop" else again < 40
    assert manifest.verify() == []
    assert rows_in(url) == expected(found).to_list()


def test_a_large_delivery_arrives_bit_by_bit(broker, client) -> None:
    rows = 1_000_000  # 8 MB a partition
    found = pieces(max(2, MEGABYTES // 8), size=rows)
    labels = Labels("f00d")
    url = broker.url()
    started = time.perf_counter()
    manifest = deliver(
        [Source(NoiseReader(), found, labels)], open_sink(url), Options(ClusterRunner(client))
    )
    delivered = time.perf_counter()
    assert manifest.bytes > 8 * rows * len(found)
    with sx.consume(url, timeout=30.0) as partitions:
        for partition in partitions:
            wanted = noise(partition.entry_start, rows)
            assert np.array_equal(partition.table["x"].to_numpy(), wanted["x"].to_numpy())
    read = time.perf_counter()
    assert partitions.counts.partitions == len(found)
    assert manifest.verify() == []
    megabytes = manifest.bytes / 1e6
    print(  # noqa: T201 - what docs/reliability.md says
        f"{megabytes:.0f} MB: delivered {megabytes / (delivered - started):.0f} MB/s, "
        f"read and compared {megabytes / (read - delivered):.0f} MB/s, "
        f"verified {megabytes / (time.perf_counter() - read):.0f} MB/s"
    )


def test_names_of_brokers_that_do_not_answer_are_told(nanoaod) -> None:
    target = "kafka://127.0.0.1:1/events"
    with pytest.raises(sx.SxdaskError, match=r"127\.0\.0\.1:1.*refused"):
        sx.dataset(nanoaod).select("event").deliver(target, storage_options={"timeout_s": 2})


def test_a_broker_that_is_ended_and_comes_back_is_waited_for(own_broker: Broker) -> None:
    """Its memory is lost with it, so what was appended before has to be appended again."""
    url = own_broker.url()
    found = pieces(12)
    sink = open_sink(url)
    manifest = deliver([source(found)], sink)
    assert manifest.verify() == []
    own_broker.restart()
    manifest = deliver([source(found)], open_sink(url))
    assert rows_in(url) == expected(found).to_list()
    assert len(manifest.partitions) == 12
