"""Processes to be killed: nannies with workers, drivers; and what must be true after that."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import awkward as ak
import psutil
import uproot
from distributed import Client, LocalCluster

from sxdask.deliver.manifest import Manifest
from tests.processes import command

if TYPE_CHECKING:
    import random
    from pathlib import Path

COLUMNS = ("event", "MET_pt", "Jet_pt")
CUT_GEV = 20.0


@dataclass
class Tolls:
    """Counts over all runs of a campaign."""

    runs: dict[str, int] = field(default_factory=dict)
    kills: int = 0
    moved: int = 0
    resumed: int = 0
    kept: int = 0
    reports: int = 0
    seconds: float = 0.0

    def __str__(self) -> str:
        kinds = ", ".join(f"{name} {count}" for name, count in sorted(self.runs.items()))
        return (
            f"{sum(self.runs.values())} runs ({kinds}), {self.kills} kills, "
            f"{self.moved} partitions given to another worker, {self.resumed} runs resumed "
            f"with {self.kept} partitions kept, {self.reports} failed with a report, "
            f"{self.seconds:.0f} s"
        )


class Workers:
    """A scheduler in this process and two nannies in processes of their own."""

    def __init__(self, folder: Path) -> None:
        self.cluster = LocalCluster(
            n_workers=0,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
            scheduler_kwargs={"dashboard": False},
            silence_logs=50,
        )
        self._folder = folder
        self._nannies: dict[str, subprocess.Popen[bytes]] = {}
        self._number = 0
        for _ in range(2):
            self._add()
        self.client = Client(self.cluster)
        self.wait()

    @property
    def address(self) -> str:
        """Of the scheduler."""
        return str(self.cluster.scheduler_address)

    def wait(self) -> None:
        """Wait until both workers are there."""
        deadline = time.monotonic() + 60
        while len(self.cluster.scheduler.workers) < 2:
            assert time.monotonic() < deadline, "workers do not come up"
            time.sleep(0.05)

    def kill(self, what: str, rng: random.Random) -> int:
        """Kill a worker process, or its nanny; return the partitions that were its."""
        name = rng.choice(sorted(self._nannies))
        nanny = self._nannies[name]
        states = [item for item in self.cluster.scheduler.workers.values() if item.name == name]
        held = sum(len(item.processing) for item in states)
        if what == "nanny":
            nanny.kill()
            nanny.wait()
            del self._nannies[name]
            self._add()
            return held
        with suppress(psutil.NoSuchProcess):
            for child in psutil.Process(nanny.pid).children():
                if "spawn_main" in command(child):
                    child.kill()
        return held

    def close(self) -> None:
        """End everything."""
        self.client.close()
        for nanny in self._nannies.values():
            nanny.terminate()
        for nanny in self._nannies.values():
            with suppress(subprocess.TimeoutExpired):
                nanny.wait(20)
            nanny.kill()
            nanny.wait()
        self.cluster.close()

    def _add(self) -> None:
        self._number += 1
        name = f"w{self._number}"
        command = [sys.executable, "-m", "distributed.cli.dask_worker", self.address]
        options = ["--nthreads", "1", "--name", name, "--no-dashboard", "--memory-limit", "0"]
        where = ["--local-directory", str(self._folder), "--host", "127.0.0.1"]
        with (self._folder / f"{name}.log").open("wb") as log:
            self._nannies[name] = subprocess.Popen(
                [*command, *options, *where], stdout=log, stderr=log
            )


def expected(files: list[Path]) -> ak.Array:
    """Return what uproot reads of `files`, with the selection."""
    arrays = [uproot.open({f"{path}": "Events"}).arrays(COLUMNS) for path in files]
    whole = ak.concatenate(arrays)
    return whole[whole.MET_pt > CUT_GEV]


def recipe(folder: Path, files: list[Path]) -> Path:
    """Write the recipe that the drivers run."""
    values = {
        "title": "campaign",
        "dataset": {"files": [str(path) for path in files]},
        "tree": "Events",
        "where": f"MET_pt > {CUT_GEV}",
        "select": list(COLUMNS),
    }
    path = folder / "campaign.yaml"
    path.write_text(json.dumps(values))  # JSON is YAML
    return path


def drive(recipe_file: Path, out: Path, address: str, log: Path) -> subprocess.Popen[bytes]:
    """Start ``sxdask run --resume`` as a process of its own."""
    command = [sys.executable, "-m", "sxdask.cli", "run", str(recipe_file), "--to", str(out)]
    options = ["--resume", "--cluster", address, "--json", "--quiet", "--no-cache"]
    with log.open("wb") as file:
        return subprocess.Popen([*command, *options], stdout=file, stderr=subprocess.STDOUT)


def kill_when(process: subprocess.Popen[bytes], out: Path, stored: int, delay_s: float) -> int:
    """Kill `process` a while after it stored so many objects; return how many there are then.

    -1 if it ended before.
    """
    while process.poll() is None:
        if len(objects_below(out)) >= stored:
            time.sleep(delay_s)
            break
        time.sleep(0.002)
    if process.poll() is not None:
        return -1
    process.send_signal(signal.SIGKILL)
    process.wait()
    return len(objects_below(out))


def objects_below(out: Path) -> list[str]:
    """Return staged and published objects."""
    return [str(path) for path in out.rglob("part-*")]


def check(out: Path, cache: Path, wanted: ak.Array) -> Manifest:
    """Every partition once, equal to `wanted`, and nothing left behind."""
    manifest = Manifest.load(str(out))
    assert manifest.status == "complete"
    assert manifest.verify() == []
    here = {str(path.relative_to(out)) for path in out.rglob("*")}
    named = {"manifest.json", *(entry.object for entry in manifest.partitions)}
    assert here == named, f"left behind: {sorted(here - named)}, missing: {sorted(named - here)}"
    found = manifest.to_awkward()
    assert len(found) == len(wanted)
    assert ak.array_equal(found, wanted, dtype_exact=False)
    assert not list((cache / "ledgers").rglob("*.jsonl"))
    return manifest


def answer(log: Path) -> dict[str, Any]:
    """Return the JSON that a driver printed."""
    text = log.read_text()
    values: dict[str, Any] = json.loads(text[text.index("{") :])
    return values
