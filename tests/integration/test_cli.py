"""The command as users start it: processes, exit statuses, pipes, signals, a cluster."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import sxdask as sx
from sxdask.clusters.backend import BACKENDS

# The script that pip installs, next to the interpreter that runs the tests.
SXDASK = Path(sys.executable).with_name("sxdask")


def run(*args: object, timeout: float = 120) -> subprocess.CompletedProcess[str]:
    command = [str(SXDASK), *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=timeout)


@pytest.fixture
def recipe(tmp_path, nanoaod_files) -> Path:
    path: Path = tmp_path / "recipe.yaml"
    path.write_text(
        f"dataset: {{files: {nanoaod_files[0].parent}}}\n"
        "where: MET_pt > 50\n"
        "select: [event, MET_pt]\n"
    )
    return path


def test_results_go_to_stdout_and_nothing_else_does(recipe, tmp_path):
    done = run("run", recipe, "--json", "--to", tmp_path / "out")
    assert done.returncode == 0
    assert done.stderr == ""
    assert json.loads(done.stdout)["status"] == "complete"


@pytest.mark.parametrize(
    ("args", "status"), [(["inspect", "/nowhere.root"], 2), (["inspect", __file__], 3)]
)
def test_the_exit_status_tells_the_fault(args, status):
    done = run(*args)
    assert done.returncode == status
    assert done.stdout == ""
    assert done.stderr.startswith("error [SX2")
    assert "Traceback" not in done.stderr


def test_a_reader_that_stops_is_no_error(nanoaod):
    names = subprocess.Popen(
        [SXDASK, "inspect", nanoaod, "--branches"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert names.stdout is not None
    assert names.stderr is not None
    assert names.stdout.readline() == "run\n"
    names.stdout.close()
    assert names.stderr.read() == ""
    names.stderr.close()
    names.wait(60)


def test_worker_processes_give_the_same(recipe, tmp_path):
    here = json.loads(run("run", recipe, "--json").stdout)
    done = run("run", recipe, "--json", "--workers", "1", "--to", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    there = json.loads(done.stdout)
    assert there["rows"] == here["rows"] > 0
    assert there["fingerprint"] == here["fingerprint"]


def test_objects_may_be_root_files_one_for_each_input(recipe, tmp_path):
    out = tmp_path / "out"
    options = ("--format", "root-file", "--compression", "lz4", "--merge", "file")
    done = run("run", recipe, "--json", "--to", out, *options)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["format"], told["objects"]) == ("root-file", told["files"])
    assert len(list(out.glob("*.root"))) == told["files"]
    refused = run("run", recipe, "--to", out, "--merge", "folder")
    assert refused.returncode == 2
    assert "merge is 'folder'" in refused.stderr


def test_interrupting_stops_a_run_and_leaves_nothing_visible(tmp_path):
    """Ctrl-C in the middle: status 130, one word, no manifest; then the same run completes."""
    recipe = tmp_path / "long.yaml"
    recipe.write_text(
        "dataset: {generate: {num_events: 20_000, entries_per_cluster: 250}}\n"
        "where: any(Jet_pt > 20)\n"
        "select: ['Jet_*', 'Muon_*', 'Electron_*', 'GenPart_*']\n"
        "partition_bytes: 1 kB\n"
    )
    assert run("explain", recipe).returncode == 0  # data and indexes are there
    target = tmp_path / "out"
    command = [SXDASK, "run", recipe, "--to", target]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not any(target.rglob("*")) and time.monotonic() < deadline:
        time.sleep(0.01)
    running.send_signal(signal.SIGINT)
    stdout, stderr = running.communicate(timeout=60)
    assert running.returncode == 130, stderr
    assert stdout == ""
    assert stderr.rstrip().endswith("interrupted")
    assert "Traceback" not in stderr
    assert not (target / "manifest.json").exists()
    done = run("run", recipe, "--to", target, "--resume", "--json")
    assert done.returncode == 0, done.stderr
    assert sx.Manifest.load(str(target)).verify() == []


def test_it_can_be_started_as_a_module():
    done = run("--help")
    again = subprocess.run(
        [sys.executable, "-m", "sxdask.cli", "--help"], capture_output=True, text=True, check=True
    )
    assert done.stdout == again.stdout
    assert {"demo", "run", "explain", "inspect", "index", "doctor"} <= set(done.stdout.split())


@pytest.mark.slow
@pytest.mark.parametrize(
    "real", [False, pytest.param(True, marks=pytest.mark.samples)], ids=["offline", "real file"]
)
def test_the_demonstration_ends_with_a_picture_and_arrow_files(
    tmp_path, real, request, monkeypatch
):
    if real:
        monkeypatch.setenv("SXDASK_SAMPLES", str(request.getfixturevalue("samples")))
    output = tmp_path / "demo-output"
    options = [] if real else ["--offline"]
    done = run("demo", "--events", "20000", "--output", output, *options, timeout=300)
    assert done.returncode == 0, done.stderr
    assert (output / "dimuon_mass.png").read_bytes().startswith(b"\x89PNG")
    manifest = sx.Manifest.load(str(output / "arrow"))
    assert manifest.verify() == []
    assert manifest.rows > 500
    assert "bytes to read" in (output / "explain.txt").read_text()
    assert "1 kept, 19 pruned" in done.stdout
    assert "http://127.0.0.1:" in done.stdout
    assert f"{manifest.rows:,} Z candidates from NanoEvents" in done.stdout
    assert ("22 events of run 315267" in done.stdout) is real


def test_the_doctor_compares_versions_with_a_scheduler(monkeypatch):
    with BACKENDS.load("local")(1) as client:
        monkeypatch.setenv("DASK_SCHEDULER_ADDRESS", client.scheduler.address)
        done = run("doctor", "--json")
    found = {item["name"]: item for item in json.loads(done.stdout)["findings"]}
    assert found["DASK_SCHEDULER_ADDRESS"]["status"] == "ok"
    assert found["dask versions"]["status"] == "ok", found["dask versions"]
    assert found["dask versions"]["detail"] == "the same here, at the scheduler and 1 worker"
    assert done.returncode == 0
