"""Deliveries on the command line: skipped partitions, signals, verification."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

import sxdask as sx
from sxdask.cli.main import app
from sxdask.testing import write_nanoaod_files

SXDASK = Path(sys.executable).with_name("sxdask")


def run(*args: object):
    return CliRunner().invoke(app, [str(item) for item in args])


@pytest.fixture
def files(tmp_path) -> list[Path]:
    """Four files of one partition each; the indexes are made, then the second file is broken."""
    found = write_nanoaod_files(tmp_path / "data", 8_000, 4, entries_per_cluster=2_000)
    sx.dataset([str(path) for path in found]).select("MET_pt").compute()
    return found


@pytest.fixture
def recipe(tmp_path, files) -> Path:
    path: Path = tmp_path / "recipe.yaml"
    path.write_text(f"dataset: {{files: {files[0].parent}}}\nselect: [event, MET_pt]\n")
    return path


def break_file(path: Path) -> None:
    """Write zeros over the baskets, without a sign of it in the file's identity."""
    stat = path.stat()
    with path.open("r+b") as file:
        file.seek(2_000)
        file.write(bytes(stat.st_size - 200_000))

    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def test_a_broken_file_ends_the_run_with_status_3_and_its_name(recipe, files, tmp_path):
    break_file(files[1])
    done = run("run", recipe, "--to", tmp_path / "out", "--quiet")
    assert done.exit_code == 3, done.output
    assert "[SX302]" in done.stderr
    assert files[1].name in done.stderr
    assert not (tmp_path / "out").exists()


def test_skipped_partitions_are_told_and_completed_later(recipe, files, tmp_path):
    good = files[1].read_bytes()
    stat = files[1].stat()
    break_file(files[1])
    out = tmp_path / "out"
    common = ("run", recipe, "--to", out, "--quiet", "--json")
    done = run(*common, "--on-error", "skip", "--max-failed", "25%")
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    assert (report["status"], report["objects"]) == ("partial", 3)
    (cause,) = report["failures"]["causes"]
    assert (cause["code"], cause["partitions"]) == ("SX302", 1)
    assert cause["first"]["file"].endswith(files[1].name)
    assert "Traceback" in cause["traceback"]
    assert "1 of 4 partitions failed" in done.stderr
    checked = run("verify", out)
    assert checked.exit_code == 0
    assert "1 skipped" in checked.stderr
    files[1].write_bytes(good)

    os.utime(files[1], ns=(stat.st_atime_ns, stat.st_mtime_ns))
    done = run(*common)
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    assert (report["status"], report["entries"]) == ("complete", 2_000)


@pytest.mark.parametrize("limit", ["0", "0.2", "24%"])
def test_more_than_may_fail_publishes_nothing(recipe, files, tmp_path, limit):
    break_file(files[1])
    options = ("--on-error", "skip", "--max-failed", limit)
    done = run("run", recipe, "--to", tmp_path / "out", "--quiet", *options)
    assert done.exit_code == 3, done.output
    assert "[SX403] 1 of 4 partitions failed" in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "options", [("--max-failed", "3"), ("--on-error", "skip", "--max-failed", "many")]
)
def test_a_limit_that_makes_no_sense_is_the_users_mistake(recipe, tmp_path, options):
    done = run("run", recipe, "--to", tmp_path / "out", *options)
    assert done.exit_code == 2, done.output
    assert "max" in done.stderr


def test_verify_names_each_bad_object_in_a_line_and_ends_with_3(recipe, tmp_path):
    out = tmp_path / "out"
    assert run("run", recipe, "--to", out, "--quiet").exit_code == 0
    whole = run("verify", out / "manifest.json")
    assert (whole.exit_code, whole.stdout) == (0, "")
    assert "4 objects, all as the manifest says" in whole.stderr
    first, second, third, _ = sorted(out.glob("part-*"))
    first.unlink()
    second.write_bytes(second.read_bytes()[:-3])
    data = bytearray(third.read_bytes())
    data[len(data) // 2] ^= 1
    third.write_bytes(data)
    done = run("verify", out)
    assert done.exit_code == 3
    lines = done.stdout.splitlines()
    assert [line.split(":")[0] for line in lines] == [first.name, second.name, third.name]
    assert lines[0].endswith(": missing")
    report = json.loads(run("verify", out, "--json").stdout)
    assert [item["object"] for item in report["bad"]] == [first.name, second.name, third.name]
    for path in (second, third):
        path.unlink()
    assert run("run", recipe, "--to", out, "--quiet").exit_code == 0
    assert run("verify", out, "--quiet").exit_code == 0


def test_verify_of_a_place_without_a_manifest_is_the_users_mistake(tmp_path):
    done = run("verify", tmp_path)
    assert done.exit_code == 2
    assert "no manifest" in done.stderr


def test_a_run_that_is_terminated_cleans_up_and_says_so(tmp_path):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        "dataset: {generate: {num_events: 40_000, files: 1, entries_per_cluster: 200}}\n"
        "select: [event, Jet_pt]\npartition_bytes: 500\n"
    )
    out = tmp_path / "out"
    running = subprocess.Popen(
        [SXDASK, "run", recipe, "--to", out],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    while not list(out.rglob("part-*")) and time.monotonic() < deadline:
        time.sleep(0.01)
    running.send_signal(signal.SIGTERM)
    stdout, stderr = running.communicate(timeout=60)
    assert running.returncode == 143, stderr
    assert stdout == ""
    assert stderr.rstrip().endswith("terminated")
    assert not out.exists()
