"""`sxdask cluster`, `sxdask doctor --cluster` and `sxdask run` on clusters with names."""

from __future__ import annotations

import json
import os

import pytest
from typer.testing import CliRunner

from sxdask.cli.cluster_checks import cluster_findings
from sxdask.cli.main import app


@pytest.fixture
def lab(tmp_path, monkeypatch):
    """Name a cluster of threads of this process, which starts at once."""
    path = tmp_path / "clusters.yaml"
    entry = {
        "backend": "local",
        "description": "threads",
        "storage": str(tmp_path / "scratch"),
        "options": {"processes": False, "threads_per_worker": 2, "dashboard": False},
    }
    path.write_text(json.dumps({"lab": entry}))
    monkeypatch.setenv("SXDASK_CLUSTERS", str(path))
    for name in list(os.environ):
        if name.startswith(("AWS_", "X509_", "BEARER_")):
            monkeypatch.delenv(name)
    return path


def sxdask(*arguments: str) -> str:
    done = CliRunner().invoke(app, arguments, prog_name="sxdask")
    assert done.exit_code == 0, done.output
    return done.stdout


def test_clusters_are_listed_and_shown_without_being_started(lab):
    listed = sxdask("cluster", "list")
    assert "lab" in listed
    assert "threads" in listed
    assert "gateway" in listed
    assert str(lab) in listed
    shown = json.loads(sxdask("cluster", "show", "lab", "--json"))
    assert (shown["backend"], shown["options"]["threads_per_worker"]) == ("local", 2)
    assert "threads_per_worker" in sxdask("cluster", "show", "lab")


def test_a_check_looks_at_each_part_in_one_line(lab, tmp_path):
    found = json.loads(sxdask("cluster", "check", "lab", "--json"))
    lines = {item["name"]: (item["status"], item["detail"]) for item in found["findings"]}
    names = ["reachable", "workers", "versions", "clock", "secrets", "storage", "dashboard"]
    assert list(lines) == names
    assert {status for status, _ in lines.values()} == {"ok"}
    assert all("\n" not in detail for _, detail in lines.values())
    assert lines["secrets"][1] == "none: public data only"
    assert "written, read and removed" in lines["storage"][1]
    assert list((tmp_path / "scratch").iterdir()) == []


def test_what_is_wrong_is_told(lab, tmp_path, monkeypatch):
    monkeypatch.setenv("X509_USER_PROXY", str(tmp_path / "missing"))
    (tmp_path / "file").touch()
    found = {
        item.name: item
        for item in cluster_findings("lab", {}, storage=str(tmp_path / "file" / "below"))
    }
    assert found["secrets"].status == "failed"
    assert found["secrets"].detail.startswith("X509_USER_PROXY names")
    assert found["storage"].status == "failed"
    assert "cannot write to" in found["storage"].detail


def test_a_cluster_that_is_not_there_is_one_finding():
    (found,) = cluster_findings("tcp://127.0.0.1:9", {"timeout_s": 0.5})
    assert (found.name, found.status) == ("reachable", "failed")


def test_doctor_looks_at_a_cluster_too(lab):
    report = json.loads(sxdask("doctor", "--cluster", "lab", "--json"))
    assert any(item["subject"] == "cluster" for item in report["findings"])


def test_a_recipe_runs_on_a_name_with_its_resources(lab, nanoaod, tmp_path):
    recipe = tmp_path / "recipe.yaml"
    values = {"dataset": {"files": str(nanoaod)}, "where": "nMuon == 2", "select": ["event"]}
    recipe.write_text(json.dumps(values | {"resources": {"workers": 1, "image": "any"}}))
    out = str(tmp_path / "out")
    report = json.loads(
        sxdask("run", str(recipe), "--cluster", "lab", "--to", out, "--json", "--quiet")
    )
    assert report["rows"] == 2698


@pytest.mark.parametrize(
    ("resources", "problem"),
    [
        ({"workers": 0}, "resources.workers"),
        ({"workers": 2, "maximum": 3}, "give 'workers', or 'minimum' and 'maximum'"),
        ({"minimum": 1}, "'minimum' needs a 'maximum'"),
        ({"memory": "1GB"}, "resources.memory: there is no such key"),
    ],
)
def test_resources_that_are_none_are_told(resources, problem, tmp_path):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(json.dumps({"dataset": {"files": "a.root"}, "resources": resources}))
    done = CliRunner().invoke(app, ["run", str(recipe)], prog_name="sxdask")
    assert done.exit_code == 2
    assert problem in done.output


def test_a_batch_is_queued_shown_and_cancelled(lab, nanoaod, tmp_path):
    folder = ["--folder", str(tmp_path / "queue")]
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(json.dumps({"dataset": {"files": str(nanoaod)}, "select": ["event"]}))
    (job,) = json.loads(
        sxdask("batch", "submit", str(recipe), "--cluster", "lab", "--hold", "--json", *folder)
    )
    assert (job["id"], job["state"], job["cluster"]) == (1, "queued", "lab")
    assert "queued" in sxdask("batch", "list", *folder)
    assert sxdask("batch", "logs", "1", *folder) == ""
    assert "1 cancelled" in sxdask("batch", "cancel", "1", *folder)
    (job,) = json.loads(sxdask("batch", "list", "--json", *folder))
    assert job["state"] == "cancelled"


def test_a_cluster_that_is_none_is_told_before_anything_is_queued(lab, tmp_path):
    arguments = ["batch", "submit", "a.yaml", "--cluster", "nowhere"]
    done = CliRunner().invoke(
        app, [*arguments, "--folder", str(tmp_path / "queue")], prog_name="sxdask"
    )
    assert done.exit_code == 2
    assert "there is no cluster 'nowhere'" in done.output
    assert not (tmp_path / "queue").exists()
