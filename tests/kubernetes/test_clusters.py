"""Requests on workers in pods: exact, also while workers come and go, and nothing stays."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import awkward as ak
import pytest
import yaml

import sxdask as sx
from sxdask.core.settings import load_settings
from sxdask.testing import write_nanoaod_files
from tests.kubernetes.place import eventually, staying

RECIPES = Path(__file__).parents[2] / "graphs" / "recipes"
WORKERS = "--selector=dask.org/component=worker"


@pytest.fixture
def mounted(options, shared):
    """Return options of a cluster whose workers see the shared folder."""
    return options | {"host_mounts": [{"host_path": str(shared), "path": str(shared)}]}


@pytest.fixture(scope="module")
def files(shared):
    """Return generated files in the shared folder, in many small clusters of entries."""
    folder = shared / "events"
    folder.mkdir()
    made = write_nanoaod_files(folder, 60_000, 6, entries_per_cluster=1_000)
    for path in (folder, *made):
        path.chmod(0o755)
    return [str(path) for path in made]


def running(place, namespace):
    pods = place.get("pods", "--namespace", namespace, WORKERS)
    return [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]


@pytest.fixture
def farm(options, shared, tmp_path):
    """Return an environment for commands in which ``farm`` is a cluster that sees `shared`."""
    mount = {"host_path": str(shared), "path": str(shared), "read_only": False}
    named = {"backend": "kubernetes", "options": {**options, "workers": 2, "host_mounts": [mount]}}
    file = tmp_path / "clusters.yaml"
    file.write_text(yaml.safe_dump({"farm": named}))
    return os.environ | {
        "SXDASK_CLUSTERS": str(file),
        "SXDASK_CACHE_DIR": str(shared / "recipes"),
        "PYTHONWARNINGS": "ignore",
    }


@pytest.mark.usefixtures("nothing_is_left")
@pytest.mark.parametrize("name", ["dimuon_mass_window", "jet_ht", "electron_met"])
def test_a_recipe_delivers_what_it_gives_here(name, farm, shared):
    recipe = RECIPES / f"{name}.yaml"
    settings = replace(load_settings(), cache_dir=shared / "recipes")
    expected = sx.load(recipe, settings=settings).compute()
    for path in (shared / "recipes", *(shared / "recipes").rglob("*")):
        path.chmod(0o755)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "sxdask.cli", "run", str(recipe), "--cluster", "farm"),
            *("--to", str(shared / name), "--format", "parquet", "--quiet", "--json"),
        ],
        capture_output=True,
        text=True,
        env=farm,
        umask=0,  # workers are another user
        timeout=180,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["rows"] == len(expected) > 0
    objects = sorted((shared / name).glob("*.parquet"))
    assert len(objects) == 2
    found = ak.concatenate([ak.from_parquet(path) for path in objects])
    assert sorted(found.fields) == sorted(expected.fields)
    for field in expected.fields:
        here, there = expected[field], found[field]
        assert ak.all(ak.flatten(here, axis=None) == ak.flatten(there, axis=None)), field


@pytest.mark.usefixtures("nothing_is_left")
def test_workers_follow_what_is_queued_from_none_to_three_and_back(mounted, place, namespace):
    def slow(number: int) -> int:
        time.sleep(1)
        return number

    with sx.cluster("kubernetes", minimum=0, maximum=3, **mounted) as client:
        assert not client.nthreads()
        futures = client.map(slow, range(90), pure=False)
        eventually(lambda: len(client.nthreads()) == 3, 120, "three workers do not come")
        assert sum(client.gather(futures)) == sum(range(90))
        del futures
        eventually(lambda: not running(place, namespace), 180, "workers stay")


@pytest.mark.usefixtures("nothing_is_left")
def test_a_worker_that_is_deleted_in_the_middle_changes_nothing(mounted, files, place, namespace):
    settings = replace(load_settings(), partition_bytes=20_000)
    dataset = sx.dataset(files, tree="Events", settings=settings)
    query = dataset.where("nMuon >= 2").select("event", "Muon_pt", "Muon_eta", "Jet_pt", "MET_pt")
    expected = query.compute()
    with sx.cluster("kubernetes", workers=2, **mounted) as client:
        client.wait_for_workers(2, timeout=120)
        before = {pod["metadata"]["name"] for pod in running(place, namespace)}
        parts = []
        for number, part in enumerate(query.stream(client=client)):
            if number == 1:
                victim = min(before)
                place.kubectl(
                    *("delete", "pod", victim, "--namespace", namespace),
                    *("--grace-period=0", "--force", "--wait=false"),
                )
            parts.append(part)
        assert len(parts) > 10
        eventually(
            lambda: {pod["metadata"]["name"] for pod in running(place, namespace)} - before,
            60,
            "no pod takes the place of the one that was deleted",
        )
    parts.sort(key=lambda part: part.index)
    found = ak.concatenate([ak.from_arrow(part.table) for part in parts])
    assert len(found) == len(expected)
    for name in expected.fields:
        assert ak.all(ak.flatten(found[name], axis=None) == ak.flatten(expected[name], axis=None))


@pytest.mark.usefixtures("nothing_is_left")
def test_a_cluster_whose_program_was_killed_goes_when_it_is_idle(options, place, namespace):
    program = (
        "import sys, json, time; import sxdask as sx\n"
        "cluster = sx.cluster('kubernetes', **json.loads(sys.argv[1]))\n"
        "cluster.start(); print('started', flush=True); time.sleep(600)\n"
    )
    given = json.dumps(options | {"workers": 1, "idle_timeout_s": 40})
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", program, given],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"KUBECONFIG": str(place.kubeconfig)},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "started\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert place.get("daskclusters", "--namespace", namespace)
    eventually(
        lambda: not staying(place.get("daskclusters", "--namespace", namespace)),
        90,
        "the cluster stays",
    )


@pytest.mark.usefixtures("nothing_is_left")
def test_a_cluster_goes_with_its_owner(options, place, namespace):
    owner = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "owner"}}
    place.apply(owner, namespace=namespace)
    cluster = sx.cluster("kubernetes", workers=1, owner="ConfigMap/owner", **options)
    try:
        cluster.start()
        place.kubectl("delete", "configmap", "owner", "--namespace", namespace)
        eventually(
            lambda: not staying(place.get("daskclusters", "--namespace", namespace)),
            60,
            "the cluster stays",
        )
    finally:
        cluster.close()


@pytest.mark.usefixtures("nothing_is_left")
def test_a_program_that_ends_without_closing_leaves_nothing(options, place):
    program = (
        "import sys, json; import sxdask as sx\n"
        "sx.cluster('kubernetes', **json.loads(sys.argv[1])).start()\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program, json.dumps(options | {"workers": 1})],
        env=os.environ | {"KUBECONFIG": str(place.kubeconfig)},
        timeout=120,
    )
    assert done.returncode == 0
