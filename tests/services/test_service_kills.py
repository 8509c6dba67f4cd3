"""``sxdask serve`` is killed while the official client waits: every file arrives exactly once.

The kill comes during the lookup, while files are worked on, or while results
are published; the service is started again on the same port with the same data.
"""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import socket
import time
import urllib.request
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import psutil
import pytest
import uproot

from tests.services.official_client import OfficialClient, ServedX, served

if TYPE_CHECKING:
    from pathlib import Path

RUNS = int(os.environ.get("SXDASK_SERVICE_KILLS", "3"))
SEED = int(os.environ.get("SXDASK_SERVICE_KILLS_SEED", "1"))
FILES = 12
MOMENTS = ("lookup", "running", "publishing")

DELIVER = """
async def main():
    raw = UPROOT_RAW([{"treename": "Events", "filter_name": ["event", "MET_pt"],
                       "cut": VALUES["cut"]}])
    sample = Sample(Name="all", Dataset=dataset.XRootD(VALUES["glob"]), Query=raw)
    cache = f"{VALUES['home']}/cache-{VALUES['run']}"
    tell(await get([sample], cache, general={"OutputFormat": VALUES["format"]}))

asyncio.run(main())
"""


@dataclass
class Tolls:
    """Counts over all runs."""

    runs: dict[str, int] = field(default_factory=dict)
    states: dict[str, int] = field(default_factory=dict)
    stored: int = 0
    files: int = 0
    restarts: list[float] = field(default_factory=list)
    seconds: float = 0.0

    def __str__(self) -> str:
        kinds = ", ".join(f"{name} {count}" for name, count in sorted(self.runs.items()))
        states = ", ".join(f"{name} {count}" for name, count in sorted(self.states.items()))
        return (
            f"{sum(self.runs.values())} kills ({kinds}), found in the state {states}; "
            f"{self.files} files delivered once, {self.stored} of them stored before the kill; "
            f"restart {min(self.restarts):.1f} to {max(self.restarts):.1f} s; {self.seconds:.0f} s"
        )


@dataclass
class Campaign:
    """A client and the service that it talks to, which is killed and started again."""

    client: OfficialClient
    data: Path
    port: int
    glob: str
    expected: dict[int, set[int]]
    tolls: Tolls = field(default_factory=Tolls)

    def served(self) -> Any:
        """Start the service; a context manager."""
        arguments = ("--port", str(self.port), "--workers", "2", "--config")
        config = str(self.data.with_suffix(".yaml"))
        return served(self.data, *arguments, config)

    def run(self, number: int, moment: str, chance: random.Random) -> None:
        """Let the client wait for one delivery whose service is killed."""
        cut = 10 + number % 5
        begun = time.monotonic()
        process = None
        try:
            with self.served() as service:
                process = self.client.start(
                    DELIVER,
                    cut=f"(MET_pt > {cut}) & (event >= {-number})",
                    glob=self.glob,
                    run=number,
                    home=self.client.home,
                    format=chance.choice(["parquet", "root-ttree"]),
                )
                request_id, state = self.wait_for(service, moment, chance)
                self.kill(service)
            killed = time.monotonic()
            with self.served() as service:
                self.tolls.restarts.append(time.monotonic() - killed)
                found = self.client.finish(process, timeout=240)
                self.require_once(found["all"], cut)
                self.require_told(service, request_id)
        finally:
            if process is not None:
                process.kill()
        self.tolls.runs[moment] = self.tolls.runs.get(moment, 0) + 1
        self.tolls.states[state["status"]] = self.tolls.states.get(state["status"], 0) + 1
        self.tolls.stored += state["files-completed"]
        self.tolls.files += FILES
        self.tolls.seconds += time.monotonic() - begun

    def wait_for(
        self, service: ServedX, moment: str, chance: random.Random
    ) -> tuple[str, dict[str, Any]]:
        """Wait until the newest transform is where it is to be killed."""
        end = time.monotonic() + 60
        least = {"lookup": 0, "running": 0, "publishing": chance.randint(1, FILES - 2)}[moment]
        known = {item["request_id"] for item in transforms(service) if item["finish-time"]}
        while time.monotonic() < end:
            new = [item for item in transforms(service) if item["request_id"] not in known]
            if new and (moment == "lookup" or new[0]["files"]):
                state = new[0]
                if state["files-completed"] >= least or state["finish-time"]:
                    time.sleep(chance.uniform(0, 0.3))
                    return state["request_id"], state
            time.sleep(0.01)
        pytest.fail("the client submits nothing")

    def kill(self, service: ServedX) -> None:
        """Kill the service with all that it has started, as a machine that fails does."""
        family = psutil.Process(service.process.pid).children(recursive=True)
        service.process.send_signal(signal.SIGKILL)
        for process in family:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGKILL)
        service.process.wait(30)
        psutil.wait_procs(family, timeout=30)

    def require_once(self, paths: Any, cut: int) -> None:
        """Check that the events of every file are there, once."""
        assert isinstance(paths, list), paths
        assert len(paths) == len(set(paths)) == FILES
        for path in paths:
            number = int(re.search(r"nano_(\d+)", path.rpartition("/")[2])[1])
            assert events_in(path) == sorted(self.expected[number] & self.expected[-cut])

    def require_told(self, service: ServedX, request_id: str) -> None:
        """Check what the service says: one result a file, and the state that follows from it."""
        state = ask(service, f"/servicex/transformation/{request_id}")
        assert (state["status"], state["files-completed"]) == ("Complete", FILES)
        rows = ask(service, f"/servicex/transformation/{request_id}/results")["results"]
        stamps = [item["created_at"] for item in rows]
        assert len({item["file-path"] for item in rows}) == len(rows) == FILES
        assert len({item["s3-object-name"] for item in rows}) == FILES
        assert stamps == sorted(set(stamps))


def ask(service: ServedX, path: str) -> Any:
    """Return the JSON of a route."""
    with urllib.request.urlopen(f"{service.url}{path}", timeout=10) as answer:
        return json.load(answer)


def transforms(service: ServedX) -> list[Any]:
    """Return all transforms, the newest first."""
    found: list[Any] = ask(service, "/servicex/transformation")["requests"]
    return found


def events_in(path: str) -> list[int]:
    """Return the numbers of the events in a result."""
    if path.endswith(".parquet"):
        import pyarrow.parquet as pq

        return sorted(pq.read_table(path, columns=["event"])["event"].to_pylist())
    with uproot.open(path) as file:
        return sorted(file["Events"]["event"].array().to_list())


@pytest.fixture
def campaign(
    tmp_path: Path, nanoaod_files: list[Path], servicex_python: Path, xrootd_server: Any
) -> Campaign:
    home = tmp_path / "home"
    home.mkdir()
    expected: dict[int, set[int]] = {}
    for number in range(FILES):
        source = nanoaod_files[number % len(nanoaod_files)]
        name = f"kills/nano_{number:04d}.root"
        xrootd_server.put(name, source.read_bytes())
        events = uproot.open(source)["Events"].arrays(["event", "MET_pt"])
        expected[number] = set(events.event.to_list())
        for cut in range(10, 15):
            chosen = events.event[events.MET_pt > cut].to_list()
            expected.setdefault(-cut, set()).update(chosen)
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        port = int(holder.getsockname()[1])
    data = tmp_path / "data"
    data.with_suffix(".yaml").write_text(f"hosts: ['127.0.0.1:{xrootd_server.port}']\n")
    client = OfficialClient(servicex_python, home)
    client.configure(
        f"api_endpoints:\n  - endpoint: http://127.0.0.1:{port}\n    name: sxdask\n"
        "default_endpoint: sxdask\n"
    )
    return Campaign(client, data, port, f"{xrootd_server.door}//data/kills/*.root", expected)


def test_a_client_that_waits_gets_every_file_once_whenever_the_service_is_killed(campaign):
    chance = random.Random(SEED)  # noqa: S311  moments to kill at
    for number in range(RUNS):
        campaign.run(number, MOMENTS[number % len(MOMENTS)], chance)
        shutil.rmtree(campaign.client.home / f"cache-{number}", ignore_errors=True)
    print(f"\n{campaign.tolls}")  # noqa: T201  the figures of a campaign
    assert sum(campaign.tolls.runs.values()) == RUNS
