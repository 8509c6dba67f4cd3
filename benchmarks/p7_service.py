"""P7: 100 small files through the service, from submission to Complete, and as the client sees it.

`sxdask serve` runs as its users run it: one command, with its own workers,
database and object store. Every request is new to it, and asks for another
cut, so that no answer is taken from an earlier one. The official client asks
for the state every five seconds, which is the least that it can see.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.data import folder
from benchmarks.harness import Row, Times
from sxdask.testing import write_nanoaod_files

if TYPE_CHECKING:
    from collections.abc import Iterator

_FILES = 100
_EVENTS = 100_000
_TARGET_S = 5.0
_PATIENCE_S = 120.0
_TIME = "%Y-%m-%dT%H:%M:%S.%fZ"
_CLIENT = os.environ.get("SXDASK_SERVICEX_CLIENT", "")
_SCRIPT = """
import json, sys, time
from servicex import General, OutputFormat, ProgressBarFormat, Sample, ServiceXSpec, dataset
from servicex import deliver, query
files, cut, cache = json.loads(sys.argv[1])
raw = query.UprootRaw([{"treename": "Events", "expressions": ["Muon_pt", "MET_pt"], "cut": cut}])
sample = Sample(Name="all", Dataset=dataset.FileList(files), Query=raw, IgnoreLocalCache=True)
spec = ServiceXSpec(General=General(OutputFormat=OutputFormat.parquet), Sample=[sample])
began = time.perf_counter()
found = deliver(spec, cache_dir=cache, progress_bar=ProgressBarFormat.none)
assert len(found["all"]) == len(files)
print(json.dumps(time.perf_counter() - began))
"""


def rows(runs: int) -> list[Row]:
    """Measure the first request of a service, others over files not read before, and later ones."""
    place = folder() / "p7"
    shutil.rmtree(place, ignore_errors=True)  # of a run that was ended
    (place / "files").mkdir(parents=True)
    files = [str(path) for path in write_nanoaod_files(place / "files", _EVENTS, _FILES)]
    try:
        first = tuple(_of_a_new_service(place, files) for _ in range(runs))
        with _service(place) as url:
            _seconds(url, files, 0)
            fresh = tuple(_seconds(url, _copies(place, number), 1) for number in range(runs))
            later = tuple(_seconds(url, files, 2 + number) for number in range(runs))
            seen = _seen(url, files, place, runs)
    finally:
        shutil.rmtree(place, ignore_errors=True)
    what = f"{_FILES} files of {_EVENTS // _FILES:,} events"
    target = f"{_TARGET_S:g} s"
    return [
        _row(f"{what} not read before, first request of a service", Times(first), target),
        _row(f"{what} not read before, submission to Complete", Times(fresh), target),
        _row(f"{what}, submission to Complete", Times(later), target),
        Row("P7", f"{what}, `deliver` of the official client", seen, "polls every 5 s"),
    ]


def _of_a_new_service(place: Path, files: list[str]) -> float:
    """Return the seconds of the first request, where nothing is kept of an earlier service."""
    with _service(place) as url:
        seconds = _seconds(url, files, 0)
    for name in ("data", "cache"):
        shutil.rmtree(place / name)
    return seconds


def _copies(place: Path, number: int) -> list[str]:
    """Return copies of the files, which no index knows."""
    there = place / "files" / f"copy-{number}"
    there.mkdir()
    for path in (place / "files").glob("*.root"):
        shutil.copy(path, there)
    return sorted(map(str, there.glob("*.root")))


def _row(what: str, times: Times, peer: str) -> Row:
    return Row("P7", what, str(times), peer, times.middle, _TARGET_S, at_most=True)


@contextmanager
def _service(place: Path) -> Iterator[str]:
    """Run the service until the block ends; gives its URL."""
    command = [sys.executable, "-m", "sxdask.cli", "serve", "--port", "0"]
    command += ["--data-dir", str(place / "data"), "--root", str(place / "files")]
    environment = {**os.environ, "SXDASK_CACHE_DIR": str(place / "cache")}
    with (
        (place / "log").open("w") as log,
        subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=log, text=True, env=environment
        ) as process,
    ):
        try:
            assert process.stdout is not None
            lines = iter(process.stdout.readline, "")
            first = next(lines)
            for line in lines:
                if line.startswith("default_endpoint"):
                    break
            yield first.split()[-1]
        finally:
            process.terminate()


def _seconds(url: str, files: list[str], number: int) -> float:
    """Submit a request that is new and return the seconds that the server says it took."""
    query = {"treename": "Events", "expressions": ["Muon_pt", "MET_pt"], "cut": _cut(number)}
    body = {
        "title": "p7",
        "file-list": files,
        "selection": json.dumps([query]),
        "codegen": "uproot-raw",
        "result-destination": "object-store",
        "result-format": "parquet",
    }
    request_id = _ask(f"{url}/servicex/transformation", body)["request_id"]
    state: Any = None
    end = time.monotonic() + _PATIENCE_S
    while time.monotonic() < end:
        state = _ask(f"{url}/servicex/transformation/{request_id}")
        if state["status"] == "Complete":
            assert state["files-completed"] == len(files), state
            began, ended = (
                datetime.strptime(state[name], _TIME)  # noqa: DTZ007  both are UTC
                for name in ("submit-time", "finish-time")
            )
            return (ended - began).total_seconds()
        time.sleep(0.1)
    raise AssertionError(state)


def _seen(url: str, files: list[str], place: Path, runs: int) -> str:
    """Return how long the official client takes, if it is there."""
    if not _CLIENT:
        return "SXDASK_SERVICEX_CLIENT names no environment"
    home = place / "home"
    home.mkdir()
    endpoint = f"api_endpoints:\n- endpoint: {url}\n  name: here\ndefault_endpoint: here\n"
    (home / "servicex.yaml").write_text(f"{endpoint}cache_path: {home}\n")
    python = Path(_CLIENT) / "bin" / "python"
    taken = []
    for number in range(runs):
        values = json.dumps([files, _cut(100 + number), str(home / f"cache-{number}")])
        done = subprocess.run(
            [str(python), "-W", "ignore", "-c", _SCRIPT, values],
            cwd=home,
            env={**os.environ, "HOME": str(home)},
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        taken.append(float(done.stdout.splitlines()[-1]))
    return str(Times(tuple(taken)))


def _cut(number: int) -> str:
    return f"(nMuon >= 1) & (MET_pt > {number / 100})"


def _ask(url: str, body: Any = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})  # noqa: S310
    with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310  our own server
        return json.load(answer)
