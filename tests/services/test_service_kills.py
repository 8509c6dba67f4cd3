"""``sxdask serve`` is killed while the official client waits: every file arrives exactly once.

Several deliveries wait at each kill. It comes in turn while datasets are looked up,
while files are worked on, and when an object is published of which no row tells yet.
The service is started again on the same port with the same data.
``SXDASK_SERVICE_KILLS`` says how often.
"""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import sqlite3
import time
import urllib.request
from collections import Counter
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import psutil
import pytest
import uproot
from botocore.session import Session

from tests.servers import free_port
from tests.services.official_client import OfficialClient, ServedX, served

if TYPE_CHECKING:
    from pathlib import Path

KILLS = int(os.environ.get("SXDASK_SERVICE_KILLS", "2"))
SEED = int(os.environ.get("SXDASK_SERVICE_KILLS_SEED", "1"))
MOMENTS = ("publishing", "looking up", "working")
DELIVERIES = 5
FILES = 12

DELIVER = """
async def one(number, cut):
    raw = UPROOT_RAW([{"treename": "Events", "filter_name": ["event", "MET_pt"], "cut": cut}])
    sample = Sample(Name="all", Dataset=dataset.XRootD(VALUES["globs"][number]), Query=raw)
    cache = f"{VALUES['home']}/cache-{VALUES['run']}-{number}"
    kind = VALUES["formats"][number]
    return (await get([sample], cache, general={"OutputFormat": kind}))["all"]

async def main():
    tell(await asyncio.gather(*(one(*item) for item in enumerate(VALUES["cuts"]))))

asyncio.run(main())
"""


@dataclass
class Tolls:
    """Counts over all kills."""

    kills: int = 0
    moments: Counter[str] = field(default_factory=Counter)
    states: Counter[str] = field(default_factory=Counter)
    stored: int = 0
    files: int = 0
    restarts: list[float] = field(default_factory=list)
    seconds: float = 0.0

    def __str__(self) -> str:
        moments, states = (
            ", ".join(f"{name} {count}" for name, count in sorted(found.items()))
            for found in (self.moments, self.states)
        )
        return (
            f"{self.kills} kills ({moments}), "
            f"{sum(self.states.values())} deliveries waiting ({states}); "
            f"{self.files} files delivered once, {self.stored} of them stored before the kill; "
            f"restart {min(self.restarts):.1f} to {max(self.restarts):.1f} s; {self.seconds:.0f} s"
        )


@dataclass
class Campaign:
    """A client and the service that it talks to, which is killed and started again."""

    client: OfficialClient
    data: Path
    port: int
    door: str
    expected: dict[int, set[int]]
    tolls: Tolls = field(default_factory=Tolls)
    _store: tuple[ServedX, Any] | None = None

    def served(self) -> Any:
        """Start the service; a context manager."""
        arguments = ("--port", str(self.port), "--workers", "2", "--config")
        config = str(self.data.with_suffix(".yaml"))
        return served(self.data, *arguments, config)

    def run(self, chance: random.Random) -> None:
        """Begin with a service that is killed amid deliveries, each kill in the next one's life."""
        begun = time.monotonic()
        with ExitStack() as stack:
            service = stack.enter_context(self.served())
            for number in range(KILLS):
                cuts = [10 + chance.randrange(5) for _ in range(DELIVERIES)]
                process = self.client.start(
                    DELIVER,
                    cuts=[
                        f"(MET_pt > {cut}) & (MET_pt > {-1 - DELIVERIES * number - at})"
                        for at, cut in enumerate(cuts)
                    ],
                    # Datasets that are new have to be looked up.
                    globs=[
                        f"{self.door}/{pattern(DELIVERIES * number + at)}"
                        for at in range(len(cuts))
                    ],
                    formats=[chance.choice(["parquet", "root-ttree"]) for _ in cuts],
                    run=number,
                    home=self.client.home,
                )
                stack.callback(process.kill)
                moment = MOMENTS[number % len(MOMENTS)]
                waiting = self.wait_for(service, moment, chance)
                self.kill(service)
                self.tolls.moments[moment] += 1
                killed = time.monotonic()
                service = stack.enter_context(self.served())
                self.tolls.restarts.append(time.monotonic() - killed)
                found = self.client.finish(process, 400)
                told = [item["failure-info"] for item in transforms(service)[:DELIVERIES]]
                for paths, cut in zip(found, cuts, strict=True):
                    assert isinstance(paths, list), (told, paths)
                    self.require_once(paths, cut)
                for item in waiting:
                    self.require_told(service, item["request_id"])
                    self.tolls.states[item["status"]] += 1
                    self.tolls.stored += item["files-completed"]
                self.tolls.kills += 1
                self.tolls.files += FILES * DELIVERIES
                self.tolls.seconds = time.monotonic() - begun
                print(f"\n{self.tolls}", flush=True)  # noqa: T201  the figures of a campaign
                for folder in self.client.home.glob("cache-*"):
                    shutil.rmtree(folder, ignore_errors=True)

    def wait_for(
        self, service: ServedX, moment: str, chance: random.Random
    ) -> list[dict[str, Any]]:
        """Wait until all deliveries are submitted and it is the moment; return their states."""
        goal = chance.choice([1, 6, 15, 30, 45]) if moment == "working" else 0
        known = {item["request_id"] for item in transforms(service) if item["finish-time"]}
        end = time.monotonic() + 120
        while time.monotonic() < end:
            new = [item for item in transforms(service) if item["request_id"] not in known]
            if len(new) < DELIVERIES:
                continue
            states = {item["status"] for item in new}
            is_before = bool(states & {"Submitted", "Pending Lookup"})
            if moment == "looking up" and ("Lookup" in states or not is_before):
                return new
            if moment == "working" and sum(item["files-completed"] for item in new) >= goal:
                time.sleep(0.3 * chance.random())
                now = {item["request_id"]: item for item in transforms(service)}
                return [now[item["request_id"]] for item in new]
            if moment == "publishing" and any(
                self.is_untold(service, item["request_id"]) for item in new
            ):
                return new
        pytest.fail(f"the moment of {moment} did not come")

    def is_untold(self, service: ServedX, request_id: str) -> bool:
        """Whether an object is published that the database has no row of."""
        query = "SELECT count(*) FROM results WHERE request_id = ?"
        with closing(sqlite3.connect(f"file:{self.data}/service.db?mode=ro", uri=True)) as database:
            (told,) = database.execute(query, (request_id,)).fetchone()
        listing = self.store_of(service, request_id).list_objects_v2(Bucket=request_id)
        return len(listing.get("Contents", ())) > int(told)

    def store_of(self, service: ServedX, request_id: str) -> Any:
        """Return a client of the object store, by what a status tells; it may only read."""
        if self._store is None or self._store[0] is not service:
            access = ask(service, f"/servicex/transformation/{request_id}")
            made = Session().create_client(
                "s3",
                endpoint_url=f"http://{access['minio-endpoint']}",
                aws_access_key_id=access["minio-access-key"],
                aws_secret_access_key=access["minio-secret-key"],
                region_name="us-east-1",
            )
            self._store = service, made
        return self._store[1]

    def kill(self, service: ServedX) -> None:
        """Kill the service with all that it has started, as a machine that fails does."""
        family = psutil.Process(service.process.pid).children(recursive=True)
        service.process.send_signal(signal.SIGKILL)
        for process in family:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGKILL)
        service.process.wait(30)
        psutil.wait_procs(family, timeout=30)

    def require_once(self, paths: list[str], cut: int) -> None:
        """Check that the events of every file are there, once."""
        assert len(paths) == len(set(paths)) == FILES
        for path in paths:
            (digits,) = re.findall(r"nano_(\d+)", path.rpartition("/")[2])
            number = int(digits)
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


def pattern(number: int) -> str:
    """Return one of 1 024 globs that all match every file, and nothing else."""
    gaps = "nano_.root"
    return "".join(
        ("*" if number >> place & 1 or letter == "." else "") + letter
        for place, letter in enumerate(gaps)
    )


def ask(service: ServedX, path: str) -> Any:
    """Return the JSON of a route."""
    with urllib.request.urlopen(f"{service.url}{path}", timeout=60) as answer:
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
        xrootd_server.put(f"kills/nano_{number:04d}.root", source.read_bytes())
        events = uproot.open(source)["Events"].arrays(["event", "MET_pt"])
        expected[number] = set(events.event.to_list())
        for cut in range(10, 15):
            chosen = events.event[events.MET_pt > cut].to_list()
            expected.setdefault(-cut, set()).update(chosen)
    port = free_port()
    data = tmp_path / "data"
    data.with_suffix(".yaml").write_text(f"hosts: ['127.0.0.1:{xrootd_server.port}']\n")
    client = OfficialClient(servicex_python, home)
    client.configure(
        f"api_endpoints:\n  - endpoint: http://127.0.0.1:{port}\n    name: sxdask\n"
        "default_endpoint: sxdask\n"
    )
    return Campaign(client, data, port, f"{xrootd_server.door}//data/kills", expected)


def test_clients_that_wait_get_every_file_once_whenever_the_service_is_killed(campaign):
    campaign.run(random.Random(SEED))  # noqa: S311  moments to kill at
    assert campaign.tolls.kills == KILLS
