"""Many streams at once: clients that go, read slowly, come together; what the server holds."""

from __future__ import annotations

import json
import os
import threading
import time
from dataclasses import replace
from hashlib import blake2b

import numpy as np
import pytest
import uproot
from pyarrow import flight

import sxdask as sx
from sxdask.core.errors import SystemFaultError
from sxdask.core.settings import load_settings
from sxdask.service.flight.auth import Tokens
from sxdask.service.flight.roots import Roots
from tests.flights import ALICE, BOB, PARTITION_BYTES, TOKENS, flight_server

FULL_BYTES = int(os.environ.get("FLIGHT_TEST_BYTES", "64000000"))
"""Bytes of the large transfer; 1000000000 for the whole gigabyte."""

SELECTION = {"select": ["MET_pt", "Muon_*", "Jet_*"]}
ALL, LARGE_BYTES = {"select": ["x"]}, 64_000_000
LARGE = {"selection": ALL, "partition_bytes": LARGE_BYTES}
"""Partitions of the file `numbers` that are larger than what lies in buffers on the way."""


@pytest.fixture(scope="module")
def numbers(tmp_path_factory):
    """Return a file with `FULL_BYTES` of random numbers, and their digest."""
    path = tmp_path_factory.mktemp("volume") / "numbers.root"
    digest, chunk = blake2b(), 4_000_000
    with uproot.recreate(path, compression=None) as file:
        tree = file.mktree("Events", {"x": "float64"})
        for number in range(max(1, FULL_BYTES // (8 * chunk))):
            values = np.random.default_rng(number).random(chunk)
            digest.update(values.tobytes())
            tree.extend({"x": values})
    return path, digest.hexdigest()


def eventually(condition, within_s: float = 20) -> None:
    end = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_what_arrives_is_what_was_in_the_file_byte_for_byte(numbers):
    path, expected = numbers
    with (
        flight_server(path.parent, budget_bytes=10**8) as running,
        sx.connect(running.url) as remote,
    ):
        query = remote.request("native", {"select": ["x"]}, dataset=path.name)
        digest, began = blake2b(), time.perf_counter()
        for part in query.stream(ordered=True):
            for chunk in part.table["x"].chunks:
                digest.update(chunk.to_numpy())
        seconds = time.perf_counter() - began
        health = remote.health()
    assert digest.hexdigest() == expected
    print(f"{FULL_BYTES / 1e6 / seconds:.0f} MB/s")  # noqa: T201 - shown by -s
    assert health["memory_bytes"] <= 10**8


def test_a_client_that_reads_nothing_holds_back_its_own_stream_alone(numbers):
    path, _ = numbers
    with (
        flight_server(path.parent, budget_bytes=4 * 10**6) as running,
        sx.connect(running.url) as remote,
        flight.connect(running.url) as slow,
    ):
        command = json.dumps(LARGE | {"dataset": path.name})
        info = slow.get_flight_info(flight.FlightDescriptor.for_command(command))
        reader = slow.do_get(info.endpoints[0].ticket)
        first = reader.read_chunk().data
        assert first.nbytes <= 4 * 1024 * 1024
        eventually(lambda: remote.health()["batches"] >= 1)
        time.sleep(0.3)
        taken = remote.health()["batches"]
        time.sleep(0.3)
        health = remote.health()
        # Its table is larger than the budget: it waits on disk, not in memory.
        assert health["batches"] == taken < 8
        assert health["memory_bytes"] <= 4 * 10**6
        assert health["disk_bytes"] > 0
        small = remote.request("native", {"where": "x > 0.99999"}, dataset=path.name)
        assert small.to_table().num_rows > 0
        rows = first.num_rows + sum(chunk.data.num_rows for chunk in reader)
        assert rows == json.loads(info.endpoints[0].app_metadata)["entry_stop"]
        eventually(lambda: remote.health()["streams"] == 0)
        assert remote.health()["disk_bytes"] == 0


def test_a_stream_here_that_is_closed_early_ends_there(nanoaod):
    with flight_server(nanoaod.parent) as running, sx.connect(running.url) as remote:
        query = remote.request(
            "native", SELECTION, dataset="nano.root", partition_bytes=PARTITION_BYTES
        )
        parts = len(query.outputs[""].partitions)
        assert parts == 5
        stream = query.stream(at_once=1)
        next(stream)
        stream.close()
        eventually(lambda: remote.health()["streams"] == 0)
        assert remote.health()["computed"] <= 3
        assert query.to_table().num_rows == 20_000  # and begins anew


def test_closing_a_stream_here_waits_for_nothing_there(nanoaod):
    """All partitions but the first take long."""
    first = int(sx.dataset(nanoaod).select("event").compute()["event"][0])
    text = (
        "def run_query(events):\n"
        "    import time\n"
        f"    if int(events.event[0]) != {first}:\n"
        "        time.sleep(60)\n"
        "    return events.MET_pt\n"
    )
    with (
        flight_server(nanoaod.parent, allow_python=True) as running,
        sx.connect(running.url) as remote,
    ):
        query = remote.request(
            "python", text, dataset="nano.root", partition_bytes=PARTITION_BYTES // 4
        )
        # Of three, the first to be asked for may be the last to come to a server of two cores.
        stream = query.stream(at_once=2)
        assert next(stream).index == 0
        eventually(lambda: remote.health()["streams"] == 1)
        began = time.monotonic()
        stream.close()
        eventually(lambda: remote.health()["streams"] == 0)
        assert time.monotonic() - began < 30


def test_a_client_that_vanishes_stops_what_was_computed_for_it(nanoaod):
    """A function that waits stands for work that takes long."""
    text = (
        "def run_query(events):\n    import time\n    time.sleep(1.0)\n    return events.MET_pt\n"
    )
    with (
        flight_server(nanoaod.parent, allow_python=True) as running,
        sx.connect(running.url) as remote,
    ):
        command: dict[str, object] = {"language": "python", "selection": text}
        command |= {"dataset": "nano.root", "partition_bytes": PARTITION_BYTES // 4}
        client = flight.connect(running.url)
        info = client.get_flight_info(flight.FlightDescriptor.for_command(json.dumps(command)))
        readers = [client.do_get(endpoint.ticket) for endpoint in info.endpoints]
        assert len(readers) == 5
        eventually(lambda: remote.health()["running"] > 0)
        for reader in readers:
            reader.cancel()
        client.close()
        eventually(lambda: remote.health()["streams"] == 0)
        eventually(lambda: remote.health()["running"] == 0)
        assert remote.health()["computed"] < 4  # none that had not begun


def test_cancel_ends_the_streams_of_ones_own_request_only(numbers):
    path, _ = numbers

    def begin(client, token):
        options = flight.FlightCallOptions(headers=[(b"authorization", f"Bearer {token}".encode())])
        command = json.dumps(LARGE | {"dataset": path.name})
        info = client.get_flight_info(flight.FlightDescriptor.for_command(command), options)
        rows = json.loads(info.endpoints[0].app_metadata)["entry_stop"]
        return client.do_get(info.endpoints[0].ticket, options), rows

    with (
        flight_server(path.parent, tokens=Tokens(TOKENS)) as running,
        sx.connect(running.url, token=ALICE) as remote,
        flight.connect(running.url) as of_alice,
        flight.connect(running.url) as of_bob,
    ):
        hers, _ = begin(of_alice, ALICE)
        his, rows = begin(of_bob, BOB)
        eventually(lambda: remote.health()["streams"] == 2)
        query = remote.request("native", ALL, dataset=path.name, partition_bytes=LARGE_BYTES)
        assert query.cancel() == 1
        with pytest.raises(flight.FlightServerError, match="the stream was cancelled"):
            hers.read_all()
        assert remote.health()["streams"] == 1
        assert query.cancel() == 0
        assert sum(chunk.data.num_rows for chunk in his) == rows
        eventually(lambda: remote.health()["streams"] == 0)


def test_eight_clients_at_once_get_the_same_and_each_partition_is_computed_once(nanoaod):
    found: list[str] = []

    def ask(url: str) -> None:
        with sx.connect(url) as remote:
            query = remote.request(
                "native", SELECTION, dataset="nano.root", partition_bytes=8 * PARTITION_BYTES
            )
            digest = blake2b()
            for batch in query.to_table().combine_chunks().to_batches():
                digest.update(batch.serialize())
            found.append(digest.hexdigest())

    with flight_server(nanoaod.parent) as running:
        threads = [threading.Thread(target=ask, args=(running.url,)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        with sx.connect(running.url) as remote:
            health = remote.health()
            query = remote.request(
                "native", SELECTION, dataset="nano.root", partition_bytes=8 * PARTITION_BYTES
            )
            parts = len(query.outputs[""].partitions)
    assert len(found) == 8
    assert len(set(found)) == 1
    assert parts > 2
    assert health["computed"] == parts


def test_a_server_with_all_its_streams_taken_asks_to_come_again(numbers):
    path, _ = numbers
    with (
        flight_server(path.parent, most_streams=1) as running,
        flight.connect(running.url) as client,
        sx.connect(running.url) as remote,
    ):
        command = json.dumps(LARGE | {"dataset": path.name})
        info = client.get_flight_info(flight.FlightDescriptor.for_command(command))
        reader = client.do_get(info.endpoints[0].ticket)
        reader.read_chunk()
        with pytest.raises(flight.FlightUnavailableError, match="1 streams, as many as it may"):
            client.do_get(info.endpoints[0].ticket).read_chunk()
        # This library's client comes again until the other one is done.
        threading.Timer(0.3, reader.cancel).start()
        query = remote.request("native", {"where": "x > 0.9999"}, dataset=path.name)
        assert query.to_table().num_rows > 0


def test_dropping_a_request_forgets_its_results(nanoaod):
    with flight_server(nanoaod.parent) as running, sx.connect(running.url) as remote:
        query = remote.request("native", SELECTION, dataset="nano.root")
        query.to_table()
        assert remote.health()["tables"] == 1
        assert query.drop()
        assert not query.drop()
        assert remote.health()["tables"] == 0
        assert remote.requests() == []
        assert query.to_table().num_rows == 20_000  # its tickets are good still


def test_a_server_that_stops_tells_its_clients_to_come_again(numbers):
    path, _ = numbers
    with flight_server(path.parent) as running:
        client = flight.connect(running.url)
        command = json.dumps(LARGE | {"dataset": path.name})
        info = client.get_flight_info(flight.FlightDescriptor.for_command(command))
        reader = client.do_get(info.endpoints[0].ticket)
        reader.read_chunk()
        ends: list[BaseException] = []

        def read() -> None:
            try:
                while True:
                    reader.read_chunk()
                    time.sleep(0.05)
            except (flight.FlightError, StopIteration) as error:
                ends.append(error)

        thread = threading.Thread(target=read)
        thread.start()
    thread.join(20)
    client.close()
    assert isinstance(ends[0], flight.FlightUnavailableError | StopIteration)
    with sx.connect(running.url, retry_s=0.2) as gone, pytest.raises(SystemFaultError):
        gone.health()


def test_results_are_kept_from_one_server_to_the_next(nanoaod, range_http_server):
    files = range_http_server(nanoaod.parent)
    selection = {"where": "MET_pt > 30", "define": {"twice": "2 * Jet_pt"}, "select": ["twice"]}
    settings = replace(load_settings(), result_cache_bytes=10**9)
    roots = Roots([files.url])
    rows, fetched = [], []
    for _ in range(2):
        with (
            flight_server(nanoaod.parent, roots=roots, settings=settings) as running,
            sx.connect(running.url) as remote,
        ):
            query = remote.request("native", selection, dataset=f"{files.url}/nano.root")
            rows.append(query.to_awkward().to_list())
        fetched.append(files.num("GET"))
    assert rows[0] == rows[1]
    # The second server looks whether the file is the same, and reads none of its baskets.
    assert fetched[1] - fetched[0] < 3
