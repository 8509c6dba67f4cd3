"""``sxdask inspect``."""

from __future__ import annotations

import json

import pytest
import uproot


def test_the_branch_names_of_a_real_file_one_a_line(sxdask, samples):
    result = sxdask("inspect", f"{samples}/nano_dy.root", "--branches")
    assert result.exit_code == 0
    wanted = uproot.open(samples / "nano_dy.root")["Events"].keys()
    assert result.stdout.splitlines() == wanted
    assert result.stderr == ""


def test_everything_about_a_real_file(sxdask, samples):
    path = samples / "nano_dy.root"
    result = sxdask("inspect", path)
    lines = result.stdout.splitlines()
    assert any(line.split() == ["Events", "ttree", "40", "1499"] for line in lines)
    assert any(line.split()[:3] == ["Runs", "ttree", "1"] for line in lines)
    (row,) = [line for line in lines if line.startswith("Muon_pt ")]
    assert "var * float32" in row
    assert "ZLIB 1" in row


def test_what_it_says_is_what_uproot_says(sxdask, samples):
    path = samples / "nano_dimuon.root"
    found = json.loads(sxdask("inspect", path, "--json").stdout)
    tree = uproot.open(path)["Events"]
    assert found["entries"] == tree.num_entries
    assert found["size"] == path.stat().st_size
    by_name = {item["name"]: item for item in found["branches"]}
    assert list(by_name) == tree.keys()
    for name in ("run", "nMuon", "Muon_pt", "HLT_IsoMu24"):
        assert by_name[name]["baskets"] == tree[name].num_baskets
        assert by_name[name]["compressed_bytes"] == tree[name].compressed_bytes
        assert by_name[name]["uncompressed_bytes"] == tree[name].uncompressed_bytes
        assert by_name[name]["compression"][0] == tree[name].compression.name
        assert by_name[name]["title"] == tree[name].title


def test_one_tree_of_several(sxdask, samples):
    result = sxdask("inspect", f"{samples}/nano_dy.root:Runs", "--branches")
    assert result.stdout.splitlines() == uproot.open(samples / "nano_dy.root")["Runs"].keys()
    same = sxdask("inspect", samples / "nano_dy.root", "--tree", "Runs", "--branches")
    assert same.stdout == result.stdout


def test_an_rntuple(sxdask, samples):
    result = sxdask("inspect", samples / "nano_dimuon_rntuple.root")
    assert result.exit_code == 0
    assert "rntuple" in result.stdout


def test_only_the_branches_that_match(sxdask, nanoaod):
    names = sxdask("inspect", nanoaod, "--branches", "--filter", "MET_*").stdout.split()
    assert names == ["MET_pt", "MET_phi", "MET_sumEt", "MET_significance"]
    listed = json.loads(sxdask("inspect", nanoaod, "--json", "--filter", "MET_*").stdout)
    assert [item["name"] for item in listed["branches"]] == names
    assert (
        json.loads(sxdask("inspect", nanoaod, "--branches", "--json", "--filter", "MET_*").stdout)
        == names
    )


def test_clusters_and_baskets_are_counted(sxdask, nanoaod):
    result = sxdask("inspect", nanoaod)
    assert "Events: 20,000 entries, 81 branches, 5 clusters" in result.stdout


@pytest.mark.parametrize(
    ("args", "status", "said"),
    [
        (["/nowhere/a.root"], 2, "SX201"),
        (["{file}:Evnts"], 2, "it has 'Events'"),
        (["{file}", "--filter", "Moun_*"], 2, "matches 'Moun_*'"),
        (["{text}"], 3, "SX203"),
        (["{folder}/*.nothing"], 2, "SX202"),
    ],
)
def test_what_cannot_be_shown_says_why(sxdask, nanoaod, tmp_path, args, status, said):
    text = tmp_path / "a.txt"
    text.write_text("no ROOT file at all, but long enough to look like one")
    names = {"file": nanoaod, "text": text, "folder": tmp_path}
    result = sxdask("inspect", *(arg.format(**names) for arg in args))
    assert result.exit_code == status
    assert said in result.stderr
    assert result.stdout == ""


def test_a_file_of_several_trees_lists_them(sxdask, tmp_path):
    path = tmp_path / "two.root"
    with uproot.recreate(path) as file:
        file["one"] = {"x": [1, 2]}
        file["dir/two"] = {"y": [1.0]}
    result = sxdask("inspect", path)
    assert result.exit_code == 0
    assert "dir/two" in result.stdout
    assert "name a tree" in result.stdout
    assert sxdask("inspect", f"{path}:dir/two", "--branches").stdout == "y\n"
    refused = sxdask("inspect", path, "--branches")
    assert refused.exit_code == 2
    assert "'dir/two'" in refused.stderr
