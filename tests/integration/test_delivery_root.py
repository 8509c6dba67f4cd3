"""Delivered ROOT files as the field's programs read them: ROOT itself, and coffea's schemas."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import awkward as ak
import pytest
import uproot

import sxdask as sx
from sxdask.core.errors import RequestError
from sxdask.testing import write_nanoaod

REPOSITORY = Path(__file__).parents[2]
FORMATS = ["root-file", "root-rntuple"]
SAMPLES = {
    "nano_dy.root": ["nMuon", "Muon_pt", "Muon_charge", "MET_pt", "Jet_pt", "LHEPdfWeight", "run"],
    "delphes.root": ["Jet.PT", "MissingET.MET", "Event.Number"],
    "PHYSLITE_example.root": ["AnalysisElectronsAuxDyn.pt", "EventInfoAuxDyn.runNumber"],
    "treemaker.root": ["Jets.fCoordinates.fPt", "MET", "RunNum"],
}


@pytest.fixture(scope="module")
def query(tmp_path_factory):
    folder = tmp_path_factory.mktemp("in")
    path = write_nanoaod(folder / "a.root", 300, seed=3, entries_per_cluster=100)
    names = [
        "run",
        "luminosityBlock",
        "event",
        "nMuon",
        "Muon_pt",
        "Muon_eta",
        "Muon_phi",
        "Muon_mass",
        "Muon_charge",
        "Jet_pt",
        "MET_pt",
    ]
    data = sx.dataset([str(path)], tree="Events")
    return data.where("MET_pt > 30").select(
        *names, hard="Muon_pt[Muon_pt > 30]", tight="MET_pt > 60"
    )


@pytest.mark.skipif(find_spec("ROOT") is None, reason="ROOT is an optional peer")
def test_root_reads_what_was_delivered(query, tmp_path):
    truth = query.compute(scheduler="threads")
    paths = [
        query.deliver(tmp_path / name, name, merge="file", scheduler="threads").files[0]
        for name in FORMATS
    ]
    names = [
        "event",
        "Muon_pt",
        "hard",
        "tight",
    ]  # each more type costs a second of ROOT's compiler
    files = [f"{path}=Events" for path in paths]
    command = [sys.executable, "-m", "tests.root_columns", ",".join(names), *files]
    done = subprocess.run(
        command, cwd=REPOSITORY, capture_output=True, text=True, timeout=120, check=False
    )
    lines = [line[8:] for line in done.stdout.splitlines() if line.startswith("COLUMNS ")]
    assert len(lines) == 2, done.stderr[-2000:]
    for found in map(json.loads, lines):
        assert found["entries"] == len(truth)
        for name in names:
            assert found["values"][name] == truth[name].to_list()
    tree, ntuple = map(json.loads, lines)
    assert tree["types"].keys() - truth.fields == {"nJet", "nhard"}
    assert tree["types"]["Muon_pt"] == "ROOT::VecOps::RVec<Float_t>"
    assert ntuple["types"].keys() == set(truth.fields)


def test_coffea_makes_collections_of_a_delivery(query, tmp_path):
    nanoevents = pytest.importorskip("coffea.nanoevents")
    truth = query.compute(scheduler="threads")
    manifest = query.deliver(tmp_path, "root-file", merge="file", scheduler="threads")
    schema = nanoevents.NanoAODSchema
    events = nanoevents.NanoEventsFactory.from_root(
        {manifest.files[0]: "Events"}, schemaclass=schema, mode="eager"
    ).events()
    assert events.Muon.pt.to_list() == truth.Muon_pt.to_list()
    assert events.Muon.charge.to_list() == truth.Muon_charge.to_list()
    assert events.Muon.mass.to_list() == truth.Muon_mass.to_list()


def test_a_counter_that_was_asked_for_is_the_counter(query, tmp_path):
    manifest = query.deliver(tmp_path, "root-file", merge="file", scheduler="threads")
    with uproot.open(manifest.files[0]) as file:
        tree = file["Events"]
        assert tree["Muon_pt"].count_branch.name == tree["Muon_eta"].count_branch.name == "nMuon"
        assert tree["hard"].count_branch.name == "nhard"
        assert tree["Jet_pt"].count_branch.name == "nJet"
    assert manifest.to_awkward().nMuon.type == query.compute(scheduler="threads").nMuon.type


@pytest.mark.parametrize("format_name", FORMATS)
def test_a_delivery_is_a_dataset_again(query, tmp_path, format_name):
    manifest = query.deliver(tmp_path, format_name, merge="file", scheduler="threads")
    again = sx.dataset(manifest.files, tree="Events").select("event", "Muon_pt")
    truth = query.compute(scheduler="threads")
    assert ak.array_equal(again.compute(scheduler="threads"), truth[["event", "Muon_pt"]])


@pytest.mark.samples
@pytest.mark.parametrize("format_name", ["arrow", "parquet", *FORMATS])
@pytest.mark.parametrize("name", SAMPLES)
def test_real_files_go_through_every_format(samples, tmp_path, name, format_name):
    query = sx.dataset([str(samples / name)]).select(*SAMPLES[name])
    truth = query.compute(scheduler="threads")
    manifest = query.deliver(tmp_path, format_name, merge="file", scheduler="threads")
    back = manifest.to_awkward()
    assert str(back.type) == str(truth.type)
    assert ak.array_equal(back, truth, equal_nan=True)
    assert manifest.verify() == []


@pytest.mark.parametrize("text", ["e.Muon_pt", "(e.MET_pt, e.nMuon)", "e.MET_pt"])
def test_rows_without_names_are_trees_too(query, tmp_path, text):
    data = query.source.files.urls
    asked = sx.request(
        "func_adl", f"EventDataset().Select(lambda e: {text})", dataset=sx.dataset(list(data))
    )
    truth = asked.compute(scheduler="threads")
    for name in FORMATS:
        manifest = asked.deliver(tmp_path / name, name, scheduler="threads")
        assert str(manifest.to_awkward().type) == str(truth.type)
        assert manifest.to_awkward().to_list() == truth.to_list()


def test_what_a_tree_cannot_hold_is_refused_before_anything_is_read(query, tmp_path):
    data = sx.dataset(list(query.source.files.urls), tree="Events")
    asked = data.select("event", pairs="combinations(Muon_pt, 2)", first="firsts(Muon_pt)")
    with pytest.raises(RequestError, match=r"cannot hold column '(pairs|first)'") as caught:
        asked.deliver(tmp_path / "out", "root-file", scheduler="threads")
    assert "root-rntuple" in str(caught.value.hint)
    assert asked.summary.done == 0
    assert not (tmp_path / "out").exists()
    manifest = asked.deliver(tmp_path / "out", "root-rntuple", scheduler="threads")
    truth = asked.compute(scheduler="threads")
    assert str(manifest.to_awkward().type) == str(truth.type)
    assert manifest.to_awkward().to_list() == truth.to_list()
