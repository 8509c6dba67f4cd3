"""``sxdask run`` and ``sxdask explain``."""

from __future__ import annotations

import json

import awkward as ak
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import uproot

import sxdask as sx


@pytest.fixture
def expected(nanoaod):
    """Return the rows of the recipe, from uproot and awkward alone."""
    events = uproot.open(nanoaod)["Events"].arrays(["event", "Muon_pt"])
    return events[ak.any(events.Muon_pt > 40, axis=1)]


def test_without_a_target_the_head_of_the_result_is_shown(sxdask, recipe, expected):
    result = sxdask("run", recipe)
    assert result.exit_code == 0
    assert f"rows         {len(expected):,}" in result.stdout
    assert "title        Hard muons" in result.stdout
    assert f"event: {expected.event[0]}," in result.stdout
    assert "entries      20,000" in result.stdout


def test_json_says_what_was_done(sxdask, recipe, expected, nanoaod):
    report = json.loads(sxdask("run", recipe, "--json").stdout)
    assert report["rows"] == len(expected)
    assert report["entries"] == 20_000
    assert report["files"] == 1
    assert 0 < report["bytes_read"] < nanoaod.stat().st_size
    assert report["fingerprint"] == sx.load(recipe).fingerprint


@pytest.mark.parametrize("form", ["arrow", "parquet"])
def test_results_are_delivered_with_a_manifest(sxdask, recipe, expected, tmp_path, form):
    target = tmp_path / "out"
    report = json.loads(sxdask("run", recipe, "--to", target, "--format", form, "--json").stdout)
    assert report["location"] == str(target)
    assert report["rows"] == len(expected)
    assert report["status"] == "complete"
    manifest = sx.Manifest.load(str(target))
    assert manifest.verify() == []
    assert ak.array_equal(manifest.to_awkward().Muon_pt, expected.Muon_pt)
    (first, *_) = manifest.files
    if form == "parquet":
        assert pq.read_table(first).num_rows > 0
    else:
        with pa.memory_map(first) as source:
            assert pa.ipc.open_file(source).read_all().num_rows > 0


def test_a_recipe_may_say_where_to_deliver(sxdask, recipe, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    recipe.write_text(recipe.read_text() + "deliver: {to: own-place, format: parquet}\n")
    result = sxdask("run", recipe)
    assert result.exit_code == 0
    assert sx.Manifest.load(str(tmp_path / "own-place")).format == "parquet"
    assert sxdask("run", recipe, "--to", "other", "--format", "arrow").exit_code == 0
    assert sx.Manifest.load(str(tmp_path / "other")).format == "arrow"


def test_another_delivery_is_not_overwritten_unless_asked(sxdask, recipe, tmp_path):
    target = tmp_path / "out"
    assert sxdask("run", recipe, "--to", target).exit_code == 0
    recipe.write_text(recipe.read_text().replace("> 40", "> 50"))
    refused = sxdask("run", recipe, "--to", target)
    assert refused.exit_code in {2, 4}
    assert refused.stderr.startswith("error [SX")
    assert sxdask("run", recipe, "--to", target, "--overwrite").exit_code == 0


def test_other_files_can_be_read(sxdask, recipe, nanoaod_files):
    names = [item for path in nanoaod_files[:2] for item in ("--dataset", path)]
    report = json.loads(sxdask("run", recipe, "--json", *names).stdout)
    assert (report["files"], report["entries"]) == (2, 5_000)
    pattern = nanoaod_files[0].parent / "*.root?files=3"
    report = json.loads(sxdask("run", recipe, "--json", "--dataset", pattern).stdout)
    assert (report["files"], report["entries"]) == (3, 7_500)


def test_several_outputs_are_shown_one_after_the_other(sxdask, tmp_path, nanoaod):
    path = tmp_path / "two.yaml"
    path.write_text(
        f"dataset: {{files: {nanoaod}}}\n"
        "language: uproot-raw\n"
        "selection:\n"
        "- {treename: {Events: hard}, cut: MET_pt > 100, filter_name: [event, MET_pt]}\n"
        "- {treename: {Events: soft}, cut: MET_pt < 5, filter_name: [event, MET_pt]}\n"
    )
    met = uproot.open(nanoaod)["Events"]["MET_pt"].array()
    wanted = {"hard": int(ak.sum(met > 100)), "soft": int(ak.sum(met < 5))}
    result = sxdask("run", path)
    assert "hard:" in result.stdout
    assert "soft:" in result.stdout
    assert f"hard {wanted['hard']:,}, soft {wanted['soft']:,}" in result.stdout
    assert json.loads(sxdask("run", path, "--json").stdout)["outputs"] == wanted


def test_a_result_without_rows_is_a_result(sxdask, recipe):
    recipe.write_text(recipe.read_text().replace("> 40", "> 1e9"))
    result = sxdask("run", recipe)
    assert result.exit_code == 0
    assert "rows         0" in result.stdout


def test_explain_is_the_text_of_the_query(sxdask, recipe):
    result = sxdask("explain", recipe)
    assert result.exit_code == 0
    assert result.stdout == sx.load(recipe).explain() + "\n"
    assert "bytes to read" in result.stdout


@pytest.mark.parametrize("command", ["run", "explain"])
@pytest.mark.parametrize(
    ("change", "status", "said"),
    [
        (("Muon_pt > 40", "Moun_pt > 40"), 2, "did you mean 'Muon_pt'"),
        (("Muon_pt > 40", "Muon_pt > "), 2, "SX102"),
        (("any(Muon_pt > 40)", "Muon_pt > 40"), 2, "SX103"),
        (("where:", "wher:"), 2, "did you mean 'where'"),
        (("files:", "file:"), 2, "did you mean 'files'"),
        ((".root}", ".rot}"), 2, "SX201"),
    ],
)
def test_a_mistake_in_a_recipe_says_where(sxdask, recipe, command, change, status, said):
    recipe.write_text(recipe.read_text().replace(*change))
    result = sxdask(command, recipe)
    assert result.exit_code == status
    assert said in result.stderr
    assert str(recipe) in result.stderr or "[SX201]" in result.stderr  # a file names itself
    assert result.stdout == ""


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--overwrite"], "add --to"),
        (["--cluster", "tcp://127.0.0.1:1", "--workers", "2"], "--workers"),
        (["--cluster", "slurm"], "there is no cluster 'slurm'"),
    ],
)
def test_options_that_do_not_go_together(sxdask, recipe, args, said):
    result = sxdask("run", recipe, *args)
    assert result.exit_code == 2
    assert said in result.stderr


def test_damaged_data_is_a_fault_of_the_data(sxdask, recipe, nanoaod, tmp_path):
    copy = tmp_path / "damaged.root"
    data = bytearray(nanoaod.read_bytes())
    copy.write_bytes(data)
    assert sxdask("index", copy).exit_code == 0
    copy.write_bytes(data[: len(data) // 2])
    result = sxdask("run", recipe, "--dataset", copy)
    assert result.exit_code == 3
    assert str(copy) in result.stderr
