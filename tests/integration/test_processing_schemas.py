"""Events of every schema are those that coffea's Runner gives, on the files of experiments."""

from __future__ import annotations

import warnings

import coffea.nanoevents as nano
import pytest

import sxdask as sx
from tests.processors import DimuonMass, buffers_of, reference

CASES = [
    ("nano_dy.root", "Events", "NanoAODSchema"),
    ("nano_dy_empty.root", "Events", "NanoAODSchema"),
    ("pfnano.root", "Events", "PFNanoAODSchema"),
    ("scouting_nano.root", "Events", "ScoutingNanoAODSchema"),
    ("PHYSLITE_example.root", "CollectionTree", "PHYSLITESchema"),
    ("treemaker.root", "PreSelection", "TreeMakerSchema"),
    ("delphes.root", "Delphes", "DelphesSchema"),
    ("pduneana.root", "pduneana/beamana", "PDUNESchema"),
    ("edm4hep_example_v01-01_podio_v01-07.root", "events", "EDM4HEPSchema"),
    ("test_FCC_Spring2021.root", "events", "FCC"),
    ("treemaker.root", "PreSelection", "BaseSchema"),
    ("treemaker_rntuple.root", "PreSelection", "TreeMakerSchema"),
]


@pytest.fixture(autouse=True)
def _quiet():
    """Schemas say a lot about files that they do not know by heart; so does the Runner."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def schema_of(name):
    return nano.FCC.get_schema("pre-edm4hep1") if name == "FCC" else getattr(nano, name)


@pytest.mark.parametrize(("file", "tree", "name"), CASES, ids=lambda item: item)
def test_every_field_of_the_events_is_what_the_runner_gives(samples, file, tree, name):
    schema = schema_of(name)
    fileset = {"sample": {"files": {str(samples / file): tree}}}
    wanted = reference(fileset, buffers_of, schema)
    found = sx.run_processor(buffers_of, fileset, schema, scheduler="sync")
    assert len(wanted) > 3
    assert found == wanted


@pytest.mark.parametrize("name", ["nano_dy.root", "nano_dimuon.root"])
def test_an_analysis_in_chunks_gives_what_the_runner_gives(samples, name):
    fileset = {"sample": {"files": {str(samples / name): "Events"}}}
    wanted, theirs = reference(
        fileset, DimuonMass(), nano.NanoAODSchema, chunksize=13, savemetrics=True
    )
    found, ours = sx.run_processor(
        DimuonMass(), fileset, chunksize=13, savemetrics=True, scheduler="sync"
    )
    assert found == wanted
    assert sorted(theirs["columns"]) == ours["columns"]
    assert (ours["entries"], ours["chunks"]) == (theirs["entries"], theirs["chunks"])
    assert ours["chunks"] > 2


def test_cross_references_lead_to_the_same_particles(samples):
    def parents(events):
        leptons = events.Muon[events.Muon.pt > 3]
        return {
            "gen": leptons.matched_gen.pdgId.to_list(),
            "jet": leptons.matched_jet.pt.to_list(),
            "mother": events.GenPart.parent.pdgId.to_list(),
            "children": events.GenPart.children.pdgId.to_list(),
        }

    fileset = {"sample": {"files": {str(samples / "nano_dy.root"): "Events"}}}
    wanted = reference(fileset, parents, nano.NanoAODSchema, chunksize=20)
    found = sx.run_processor(parents, fileset, chunksize=20, scheduler="sync")
    assert found == wanted
    assert any(map(any, wanted["gen"]))


def test_element_links_of_physlite_lead_to_the_same_tracks(samples):
    def tracks(events):
        electrons = events.Electrons
        return {"p": electrons.trackParticles.p.to_list(), "pt": electrons.pt.to_list()}

    fileset = {"sample": {"files": {str(samples / "PHYSLITE_example.root"): "CollectionTree"}}}
    wanted = reference(fileset, tracks, nano.PHYSLITESchema, chunksize=30)
    found = sx.run_processor(tracks, fileset, nano.PHYSLITESchema, chunksize=30, scheduler="sync")
    assert found == wanted
    assert any(map(any, wanted["p"]))
