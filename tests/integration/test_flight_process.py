"""``sxdask serve --flight`` as a process: how it starts, restarts, loses workers, and ends."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from typing import Any

import psutil
import pytest
from pyarrow import flight

import sxdask as sx
from sxdask.core.errors import SxdaskError, SystemFaultError
from sxdask.service.flight.lifetime import flight_service
from tests.flights import ALICE, PARTITION_BYTES, flight_server, parts, serve_process
from tests.processes import command
from tests.servers import free_port

SELECTION = {"where": "MET_pt > 20", "select": ["MET_pt", "Muon_pt"]}
OPTIONS: dict[str, Any] = {"partition_bytes": PARTITION_BYTES}


def here(nanoaod):
    return sx.dataset(nanoaod).where("MET_pt > 20").select("MET_pt", "Muon_pt").compute()


def test_a_stream_goes_on_where_it_was_when_the_server_is_killed_and_comes_back(nanoaod, tmp_path):
    key = tmp_path / "key"
    key.write_text(secrets.token_hex(32))
    port = str(free_port())
    options = ["--port", port, "--root", str(nanoaod.parent), "--key-file", str(key)]
    with serve_process(*options) as first, sx.connect(first.url) as remote:
        query = remote.request("native", SELECTION, dataset="nano.root", **OPTIONS)
        tickets = [item.ticket for item in query.outputs[""].partitions]
        stream = query.stream(at_once=1)
        parts = [next(stream)]
        first.process.kill()
        first.process.wait(10)
        with serve_process(*options) as second:
            parts += stream
            assert second.end() == 0
        # The tickets of the first server were good for the second.
        assert [item.ticket for item in query.outputs[""].partitions] == tickets
    expected = here(nanoaod)
    assert sorted(part.index for part in parts) == list(range(len(tickets))) == list(range(5))
    assert sum(part.table.num_rows for part in parts) == len(expected)
    met = [value for part in sorted(parts, key=lambda part: part.index) for value in part.table[0]]
    assert [value.as_py() for value in met] == expected["MET_pt"].to_list()


def test_without_a_key_the_client_asks_again_and_still_gets_each_partition_once(nanoaod):
    port = str(free_port())
    options = ["--port", port, "--root", str(nanoaod.parent)]
    with serve_process(*options) as first, sx.connect(first.url) as remote:
        query = remote.request("native", SELECTION, dataset="nano.root", **OPTIONS)
        stream = query.stream(at_once=1)
        parts = [next(stream)]
        assert first.end() == 0
        with serve_process(*options):
            parts += stream
    assert sorted(part.index for part in parts) == list(range(5))
    assert sum(part.table.num_rows for part in parts) == len(here(nanoaod))


def test_it_ends_cleanly_even_if_a_client_reads_nothing(tmp_path, make_nanoaod):
    make_nanoaod(100_000, entries_per_cluster=100_000)
    with (
        serve_process("--port", "0", "--root", str(tmp_path)) as served,
        flight.connect(served.url) as client,
    ):
        command = b'{"dataset": "nano.root", "selection": {"select": ["Jet_*", "Muon_*"]}}'
        info = client.get_flight_info(flight.FlightDescriptor.for_command(command))
        reader = client.do_get(info.endpoints[0].ticket)
        reader.read_chunk()
        began = time.monotonic()
        assert served.end() == 0
        assert time.monotonic() - began < 30


def test_a_cluster_serves_loses_workers_and_is_gone_at_the_end(nanoaod):
    arguments = ["--port", "0", "--root", str(nanoaod.parent), "--workers", "2"]
    with serve_process(*arguments) as served, sx.connect(served.url) as remote:
        children = psutil.Process(served.process.pid).children(recursive=True)
        workers = [child for child in children if not child.children() and _is_worker(child)]
        assert len(workers) == 2
        query = remote.request("native", SELECTION, dataset="nano.root", **OPTIONS)
        tickets = query.outputs[""].partitions
        assert len(tickets) == 5
        killer = threading.Timer(0.1, lambda: [worker.kill() for worker in workers])
        killer.start()
        found = query.to_awkward()
        killer.join()
        again = remote.request("native", SELECTION, dataset="nano.root").to_awkward()
        assert found.to_list() == again.to_list() == here(nanoaod).to_list()
        assert remote.health()["workers"]["kind"] == "cluster running"
        children = psutil.Process(served.process.pid).children(recursive=True)
        assert served.end() == 0
        gone, alive = psutil.wait_procs(children, timeout=10)
        assert alive == []
        assert gone


def _is_worker(process: psutil.Process) -> bool:
    """Tell a worker from the helpers of multiprocessing."""
    return "spawn_main" in command(process)


def test_it_says_where_it_listens_what_it_reads_and_whom_it_lets_in(nanoaod, tmp_path):
    environ = {"SXDASK_FLIGHT_TOKEN": ALICE}
    log = tmp_path / "log"
    with log.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "sxdask.cli", "serve", "--flight=localhost:0"],
            cwd=nanoaod.parent,
            env={**os.environ, **environ},
            stdout=subprocess.PIPE,
            stderr=file,
            text=True,
        )
        with process:
            try:
                assert process.stdout is not None
                lines = [process.stdout.readline() for _ in range(4)]
                url = lines[0].split()[-1]
                with sx.connect(url, token=ALICE) as remote:
                    query = remote.request("tcut", "MET_pt > 50", dataset="nano.root")
                    assert query.to_table().num_rows > 0
                    with pytest.raises(SxdaskError):
                        remote.request("tcut", "MET_pt >", dataset="nano.root").explain()
                process.send_signal(signal.SIGINT)
                assert process.wait(20) == 0
            finally:
                process.kill()
    assert str(nanoaod.parent) in lines[1]
    assert "threads" in lines[2]
    assert "with a token" in lines[3]
    text = log.read_text()
    assert "environment plans" in text
    assert ALICE not in text + "".join(lines)
    assert "Traceback" not in text


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--flight", "--check"], "tries the REST service"),
        (["--flight", "nowhere"], "is no address"),
        (["--flight", "127.0.0.1:99999"], "is no address"),
        (["--flight", "0.0.0.0:0"], "lets other machines in"),
        (["--flight", "--host", "::"], "lets other machines in"),
        (["--flight", "--root", "/nonexistent"], "no directory"),
        (["--flight", "--token-file", "/nonexistent"], "cannot be read"),
        (["--flight", "--tls-cert", "/nonexistent"], "a certificate and its key"),
        (["--flight", "--memory", "much"], "not a size"),
        (["--flight", "--ttl", "soon"], "not a duration"),
    ],
)
def test_a_mistake_on_the_command_line_is_one_line_and_status_2(arguments, problem, capsys):
    from sxdask.cli.main import app

    before = [signal.getsignal(name) for name in (signal.SIGINT, signal.SIGTERM)]
    with pytest.raises(SystemExit) as caught:
        app(["serve", *arguments], prog_name="sxdask")
    assert caught.value.code == 2
    shown = capsys.readouterr()
    assert problem in shown.err
    assert "Traceback" not in shown.err
    assert [signal.getsignal(name) for name in (signal.SIGINT, signal.SIGTERM)] == before


def test_a_port_that_another_server_has_is_said_so(tmp_path):
    """gRPC alone would share it, and each client would get to either."""
    with (
        flight_server(tmp_path) as running,
        pytest.raises(SystemFaultError, match=f"cannot listen on 127.0.0.1:{running.port}"),
        flight_service("127.0.0.1", running.port, parts(tmp_path)),
    ):
        pytest.fail("two servers have one port")
