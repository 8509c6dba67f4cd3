"""``sxdask cache``: show, prune; ``sxdask run`` with and without it."""

from __future__ import annotations

import json
import os

import pytest
import yaml

from sxdask.testing import write_nanoaod


@pytest.fixture
def kept(cache, monkeypatch):
    """Switch both caches on, for local files as well."""
    monkeypatch.setenv("SXDASK_RESULT_CACHE_BYTES", "100000000")
    monkeypatch.setenv("SXDASK_COLUMN_CACHE", "on")
    return cache


@pytest.fixture
def recipe(tmp_path):
    """Return a recipe over a file of its own."""
    data = write_nanoaod(tmp_path / "a.root", 1_000, entries_per_cluster=500)
    path = tmp_path / "recipe.yaml"
    text = {
        "title": "muons above 20 GeV",
        "dataset": {"files": [str(data)]},
        "tree": "Events",
        "where": ["any(Muon_pt > 20)"],
        "select": ["event", "MET_pt"],
    }
    path.write_text(yaml.safe_dump(text))
    return path


def run(sxdask, recipe, *options):
    result = sxdask("run", recipe, "--json", "--quiet", *options)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def shown(sxdask):
    result = sxdask("cache", "show", "--json")
    assert result.exit_code == 0
    return json.loads(result.stdout)


def test_an_empty_cache_is_shown_as_such(sxdask, cache):
    result = sxdask("cache", "show")
    assert result.exit_code == 0
    assert "0 results of 0 requests" in result.stdout
    assert "columns of 0 files" in result.stdout


def test_a_run_says_what_it_took_from_the_cache(sxdask, kept, recipe):
    first, again = run(sxdask, recipe), run(sxdask, recipe)
    assert "partitions_reused" not in first
    assert again["partitions_reused"] == 1
    assert again["rows"] == first["rows"]
    anew = run(sxdask, recipe, "--no-cache")
    assert "partitions_reused" not in anew
    assert "bytes_cached" not in anew


def test_what_is_kept_is_shown_by_request_and_by_file(sxdask, kept, recipe):
    report = [run(sxdask, recipe) for _ in range(3)][-1]
    found = shown(sxdask)
    (entry,) = found["results"]["requests"]
    assert entry["title"] == "muons above 20 GeV"
    assert entry["fingerprint"] == report["fingerprint"]
    assert (entry["objects"], entry["reused"]) == (1, 2)
    assert found["results"]["bytes"] == entry["bytes"] > 0
    (file,) = found["columns"]["files"]
    assert file["columns"] == ["MET_pt", "Muon_pt", "event"]
    assert file["file"].endswith("a.root")
    text = sxdask("cache", "show").stdout
    assert "muons above 20 GeV" in text
    assert "1 result of 1 request" in text
    assert "reused" not in sxdask("cache", "show", "--only", "columns").stdout


def test_pruning_tells_what_it_would_do_and_does_it(sxdask, kept, recipe):
    run(sxdask, recipe)
    before = shown(sxdask)
    said = sxdask("cache", "prune", "--all", "--dry-run")
    assert "would remove 1 result," in said.stdout
    assert shown(sxdask)["results"]["objects"] == 1
    report = json.loads(sxdask("cache", "prune", "--all", "--json").stdout)
    assert report["results"] == {
        "objects": 1,
        "bytes": before["results"]["bytes"],
        "leased": 0,
    }
    assert report["columns"]["bytes"] == before["columns"]["bytes"]
    after = shown(sxdask)
    assert (after["results"]["objects"], after["columns"]["files"]) == (0, [])


def test_pruning_by_age_size_and_request(sxdask, kept, recipe):
    report = run(sxdask, recipe)
    assert "removed 0 results" in sxdask("cache", "prune", "--older-than", "1h").stdout
    for path in kept.rglob("*.pack"):
        os.utime(path, (0, 0))
    said = sxdask("cache", "prune", "--older-than", "1h").stdout
    assert "removed 0 results" in said
    assert "removed 2 files of columns" in said
    assert "removed 0 results" in sxdask("cache", "prune", "--request", "ffff").stdout
    digits = report["fingerprint"][:8]
    assert "removed 1 result," in sxdask("cache", "prune", "--request", digits).stdout
    run(sxdask, recipe)
    said = sxdask("cache", "prune", "--max-bytes", "1kB", "--only", "results").stdout
    assert "columns" not in said


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--older-than", "soon"],
        ["--max-bytes", "much"],
        ["--request", "ab", "--only", "columns"],
    ],
)
def test_what_cannot_be_meant_is_a_mistake_of_the_user(sxdask, cache, options):
    result = sxdask("cache", "prune", *options)
    assert result.exit_code == 2
    assert "hint" in result.stderr


def test_a_store_of_an_unknown_kind_is_a_mistake_of_the_user(sxdask, cache, recipe, monkeypatch):
    monkeypatch.setenv("SXDASK_RESULT_CACHE_BYTES", "1000")
    monkeypatch.setenv("SXDASK_RESULT_CACHE", "nosuch://place")
    for command in (["cache", "show"], ["run", recipe, "--quiet"]):
        result = sxdask(*command)
        assert result.exit_code == 2
        assert "nosuch://place" in result.stderr


def test_the_folder_may_hold_results_though_no_new_ones_are_kept(sxdask, kept, recipe, monkeypatch):
    run(sxdask, recipe)
    monkeypatch.setenv("SXDASK_RESULT_CACHE_BYTES", "0")
    assert "partitions_reused" not in run(sxdask, recipe)
    assert shown(sxdask)["results"]["objects"] == 1
    assert "removed 1 result," in sxdask("cache", "prune", "--all").stdout
