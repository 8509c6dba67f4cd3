"""Every recipe gives what uproot and awkward give for the same physics, written out by hand."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import awkward as ak
import numpy as np
import pytest
import uproot

import sxdask as sx
from sxdask.core.settings import load_settings
from sxdask.requests.recipe import load_recipe
from sxdask.testing.generated import generated_files

if TYPE_CHECKING:
    from collections.abc import Callable

ALL = sorted((Path(__file__).parents[2] / "graphs" / "recipes").glob("*.yaml"))
# The ADL benchmark queries and PHYSLITE have tests of their own: test_adl_queries.py and
# test_physlite_queries.py.
RECIPES = [path for path in ALL if not path.stem.startswith(("adl_", "physlite_"))]


def muon_columns(e):
    names = ["run", "luminosityBlock", "event", "Muon_pt", "Muon_eta", "Muon_phi", "Muon_charge"]
    return e[names]


def mass_of(pt, eta, phi):
    return np.sqrt(
        2 * pt[:, 0] * pt[:, 1] * (np.cosh(eta[:, 0] - eta[:, 1]) - np.cos(phi[:, 0] - phi[:, 1]))
    )


def dimuon_mass_window(e):
    e = e[e.nMuon == 2]
    e = e[ak.sum(e.Muon_charge, axis=1) == 0]
    e = e[ak.all(e.Muon_pfRelIso04_all < 0.25, axis=1)]
    mass = mass_of(e.Muon_pt, e.Muon_eta, e.Muon_phi)
    near = (mass > 60) & (mass < 120)
    e, mass = e[near], mass[near]
    return {
        "event": e.event,
        "dimuon_mass": mass,
        "leading_pt": e.Muon_pt[:, 0],
        "trailing_pt": e.Muon_pt[:, 1],
    }


def jet_ht(e):
    good = (e.Jet_pt > 30) & (abs(e.Jet_eta) < 2.4)
    ht = ak.sum(e.Jet_pt[good], axis=1)
    e, good, ht = e[ht > 500], good[ht > 500], ht[ht > 500]
    return {
        "event": e.event,
        "ht": ht,
        "num_jets": ak.sum(good, axis=1),
        "jet_pt": e.Jet_pt[good],
        "jet_eta": e.Jet_eta[good],
    }


def electron_met(e):
    good = (e.Electron_pt > 35) & (e.Electron_cutBased == 4)
    kept = (ak.sum(good, axis=1) == 1) & (e.nMuon == 0) & (e.MET_pt > 30)
    e, good = e[kept], good[kept]
    pt, phi = ak.firsts(e.Electron_pt[good]), ak.firsts(e.Electron_phi[good])
    return {
        "event": e.event,
        "electron_pt": pt,
        "MET_pt": e.MET_pt,
        "transverse_mass": np.sqrt(2 * pt * e.MET_pt * (1 - np.cos(phi - e.MET_phi))),
    }


def event_range(e):
    kept = (e.event >= 62_001) & (e.event <= 65_000)
    return e[kept][["event", "luminosityBlock", "nJet", "Jet_pt", "MET_pt"]]


def servicex_cut_aliases(e):
    central = e.Jet_pt[abs(e.Jet_eta) < 2.4]
    ht = ak.sum(central, axis=1)
    kept = (ht > 300) & (e.MET_pt > 60)
    return {
        "ht": ht[kept],
        "MET_pt": e.MET_pt[kept],
        "MET_phi": e.MET_phi[kept],
        "central_jet_pt": central[kept],
    }


def servicex_filter_name(e):
    kinematics = {
        f"{lepton}_{name}" for lepton in ("Muon", "Electron") for name in ("pt", "eta", "phi")
    }
    names = [
        name
        for name in e.fields
        if name == "event" or name.startswith("MET_") or name in kinematics
    ]
    return e[e.MET_pt > 100][names]


def servicex_two_outputs(e):
    muons = e[ak.any(e.Muon_pt > 26, axis=1)]
    electrons = e[ak.any(e.Electron_pt > 35, axis=1)]
    return {
        "muons": muons[["event", "Muon_pt", "Muon_eta", "Muon_pfRelIso04_all"]],
        "electrons": electrons[["event", "Electron_pt", "Electron_eta", "Electron_mvaIso"]],
    }


def generated_z(e):
    is_z = e.GenPart_pdgId == 23
    is_muon = (
        (abs(e.GenPart_pdgId) == 13) & (e.GenPart_status == 1) & (e.GenPart_genPartIdxMother == 0)
    )
    kept = ak.any(is_z, axis=1) & (ak.sum(is_muon, axis=1) == 2)
    e, is_z, is_muon = e[kept], is_z[kept], is_muon[kept]
    return {
        "genWeight": e.genWeight,
        "z_pt": ak.firsts(e.GenPart_pt[is_z]),
        "z_mass": ak.firsts(e.GenPart_mass[is_z]),
        "muon_pt": e.GenPart_pt[is_muon],
        "muon_eta": e.GenPart_eta[is_muon],
    }


def trigger_skim(e):
    kept = (e.HLT_IsoMu24 | e.HLT_Ele32_WPTight_Gsf) & e.Flag_goodVertices
    starts = ("HLT_", "Muon_", "Electron_", "Jet_")
    exact = ("run", "luminosityBlock", "event", "nMuon", "nElectron", "nJet")
    return e[kept][[name for name in e.fields if name in exact or name.startswith(starts)]]


def leading_jets(e):
    e = e[e.nJet >= 2]
    e = e[(e.Jet_pt[:, 0] > 60) & (e.Jet_pt[:, 1] > 40)]
    return {
        "event": e.event,
        "jet1_pt": e.Jet_pt[:, 0],
        "jet2_pt": e.Jet_pt[:, 1],
        "jet1_eta": e.Jet_eta[:, 0],
        "jet2_eta": e.Jet_eta[:, 1],
        "delta_phi": np.arccos(np.cos(e.Jet_phi[:, 0] - e.Jet_phi[:, 1])),
    }


def top_pairs(e):
    muon = (e.Muon_pt > 26) & (e.Muon_pfRelIso04_all < 0.15) & e.Muon_tightId
    electron = (e.Electron_pt > 35) & (e.Electron_cutBased == 4)
    jet = (e.Jet_pt > 30) & (abs(e.Jet_eta) < 2.4)
    kept = (
        (ak.sum(muon, axis=1) + ak.sum(electron, axis=1) == 1)
        & (ak.sum(jet, axis=1) >= 4)
        & (ak.sum(jet & (e.Jet_btagDeepFlavB > 0.5), axis=1) >= 2)
    )
    e, muon, electron, jet = e[kept], muon[kept], electron[kept], jet[kept]
    return {
        "event": e.event,
        "MET_pt": e.MET_pt,
        "muon_pt": e.Muon_pt[muon],
        "electron_pt": e.Electron_pt[electron],
        "jet_pt": e.Jet_pt[jet],
        "jet_btag": e.Jet_btagDeepFlavB[jet],
    }


def many_files(e):
    names = ["run", "luminosityBlock", "event", "MET_pt", "MET_phi", "MET_significance"]
    return e[e.MET_pt > 100][names]


def wide_file(e):
    return e[e.nMuon >= 1][["event", "nMuon", "Muon_pt", "Muon_eta", "MET_pt"]]


def skyhook_muons(e):
    # the generated event number counts on from file to file, and a file has 50 000 events
    number = (e.event - e.event[0]) % 50_000
    kept = (number > 5) & (number <= 20_000) & (e.nMuon >= 2)
    return e[kept][["event", "Muon_pt", "Muon_eta", "Muon_phi"]]


def tcut_dimuon(e):
    central = ak.sum(abs(e.Muon_eta) < 2.4, axis=1) == 2
    e = e[(e.nMuon == 2) & e.HLT_IsoMu24 & central]
    e = e[e.Muon_charge[:, 0] * e.Muon_charge[:, 1] < 0]
    muons = (e[f"Muon_{name}"] for name in ("pt", "eta", "phi"))
    pt, eta, phi = (ak.values_astype(values, np.float64) for values in muons)
    angles = np.cosh(eta[:, 0] - eta[:, 1]) - np.cos(phi[:, 0] - phi[:, 1])
    e = e[np.sqrt(2 * pt[:, 0] * pt[:, 1] * angles) > 60]
    jet_pt = ak.values_astype(e.Jet_pt, np.float64)
    return {
        "event": e.event,
        "Muon_pt": e.Muon_pt,
        "MET_pt": e.MET_pt,
        "leading_pt": ak.fill_none(ak.max(e.Muon_pt, axis=1), 0),
        "ht": ak.sum(jet_pt * (jet_pt > 30), axis=1),
    }


def python_function(e):
    e = e[e.nMuon >= 2]
    names = ("pt", "eta", "phi", "charge")
    (pt, pt2), (eta, eta2), (phi, phi2), (charge, charge2) = (
        ak.unzip(ak.combinations(e[f"Muon_{name}"], 2)) for name in names
    )
    mass = np.sqrt(2 * pt * pt2 * (np.cosh(eta - eta2) - np.cos(phi - phi2)))
    opposite = charge + charge2 == 0
    mass, leading = mass[opposite], np.where(pt > pt2, pt, pt2)[opposite]
    nearest_first = ak.argsort(abs(mass - 91.19))
    mass, leading = ak.firsts(mass[nearest_first]), ak.firsts(leading[nearest_first])
    found = ~ak.is_none(mass)
    return {
        "pairs": {
            "event": e.event[found],
            "mass": ak.drop_none(mass),
            "leading_pt": ak.drop_none(leading),
        },
        "unpaired": e[~found][["event", "MET_pt"]],
    }


BY_HAND: dict[str, Callable[[Any], Any]] = {
    function.__name__: function
    for function in (
        muon_columns,
        dimuon_mass_window,
        jet_ht,
        electron_met,
        event_range,
        servicex_cut_aliases,
        servicex_filter_name,
        servicex_two_outputs,
        generated_z,
        trigger_skim,
        leading_jets,
        top_pairs,
        many_files,
        wide_file,
        skyhook_muons,
        tcut_dimuon,
        python_function,
    )
}


def same_rows(found: ak.Array, wanted: Any) -> None:
    columns = {name: wanted[name] for name in getattr(wanted, "fields", wanted)}
    assert sorted(found.fields) == sorted(columns)
    for name, values in columns.items():
        assert len(found) == len(values) > 0
        assert ak.array_equal(found[name], values, dtype_exact=False, check_parameters=False), name


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_gives_what_the_same_physics_gives_by_hand(path):
    recipe = load_recipe(path)
    assert recipe.dataset is not None
    assert recipe.dataset.generate is not None
    files = generated_files(recipe.dataset.generate, load_settings().cache_dir)
    # Extra columns of the wide file are nobody's business here.
    events = uproot.concatenate(
        [f"{file}:Events" for file in files],
        filter_name=lambda name: not name.startswith("HLT_Path") and "xtra" not in name,
    )
    query = sx.load(path)
    found, wanted = query.compute(scheduler="sync"), BY_HAND[path.stem](events)
    if isinstance(found, list):  # a table for each file
        found = ak.concatenate([ak.from_arrow(table) for table in found])
    tables = found if isinstance(found, dict) else {"": found}
    expected = wanted if isinstance(found, dict) else {"": wanted}
    assert list(tables) == list(expected)
    for name, rows in tables.items():
        same_rows(rows, expected[name])
    assert query.summary.rows == sum(map(len, tables.values()))


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.stem)
def test_a_recipe_tells_a_physicist_what_it_is(path, request, monkeypatch):
    recipe = load_recipe(path)
    if recipe.dataset is not None and recipe.dataset.sample is not None:
        monkeypatch.setenv("SXDASK_SAMPLES", str(request.getfixturevalue("samples")))
    assert 10 < len(recipe.title) < 80
    assert len(recipe.description.split()) >= 15
    assert sx.load(path).title == recipe.title


def test_nothing_is_left_without_a_check():
    assert {path.stem for path in RECIPES} == set(BY_HAND)


@pytest.mark.samples
def test_the_tree_of_a_recipe_is_that_of_any_data(samples: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "runs.yaml"
    text = "language: func_adl\nselection: EventDataset().Count()\n"
    recipe.write_text(f"tree: Runs\n{text}")
    data = sx.dataset(samples / "nano_dy.root")
    assert sx.load(recipe, dataset=data).compute() == 1
    recipe.write_text(text)
    assert sx.load(recipe, dataset=data).compute() == 40
