"""xAOD queries on a real PHYSLITE file give what uproot and awkward give, step by step."""

from __future__ import annotations

from pathlib import Path

import awkward as ak
import numpy as np
import pytest
import uproot
import vector

import sxdask as sx

pytestmark = pytest.mark.samples

GSF, INNER, ELECTRONS = 776133387, 490246363, 394100163
"""Keys of GSFTrackParticles, InDetTrackParticles and TruthElectrons, as the file has them."""


@pytest.fixture(scope="module")
def path(samples):
    return samples / "PHYSLITE_example.root"


@pytest.fixture(scope="module")
def dataset(path):
    return sx.dataset(path, tree="CollectionTree")


@pytest.fixture(scope="module")
def column(path):
    with uproot.open({path: "CollectionTree"}) as tree:
        known = {}

        def read(name):
            container, _, variable = name.partition(".")
            if name not in known:
                known[name] = tree[f"{container}AuxDyn.{variable}"].array()
            return known[name]

        yield read


def result(dataset, body):
    return sx.request(
        "func_adl", f"EventDataset().Select(lambda e: {body})", dataset=dataset
    ).compute()


def assert_same(found, expected):
    assert ak.to_list(ak.is_none(found, axis=-1)) == ak.to_list(ak.is_none(expected, axis=-1))
    assert ak.almost_equal(
        ak.fill_none(found, 0), ak.fill_none(expected, 0), rtol=1e-6, dtype_exact=False
    )


def follow(target, *link):
    """Return items of `target` by link (key, index, wanted key), with a loop over everything."""
    key, index, wanted = link
    events = zip(ak.to_list(target), ak.to_list(key), ak.to_list(index), strict=True)

    def one(items, number, place):
        if isinstance(number, list):
            return [one(items, *pair) for pair in zip(number, place, strict=True)]
        return items[place] if number == wanted else None

    return ak.Array([one(*event) for event in events])


STORED = {
    'e.Electrons("AnalysisElectrons").Select(lambda x: x.pt() / 1000)': (
        lambda c: c("AnalysisElectrons.pt") / 1000
    ),
    "e.Electrons().Select(lambda x: x.charge())": lambda c: c("AnalysisElectrons.charge"),
    "e.Jets().Select(lambda j: j.m())": lambda c: c("AnalysisJets.m"),
    "e.FatJets().Select(lambda j: j.D2())": lambda c: c("AnalysisLargeRJets.D2"),
    "e.Muons().Select(lambda m: m.author())": lambda c: c("AnalysisMuons.author"),
    "e.Photons().Select(lambda p: p.topoetcone40())": lambda c: c("AnalysisPhotons.topoetcone40"),
    "e.TauJets().Select(lambda t: t.RNNJetScore())": lambda c: c("AnalysisTauJets.RNNJetScore"),
    "e.TrackParticles().Select(lambda t: t.d0())": lambda c: c("InDetTrackParticles.d0"),
    'e.Tracks("GSFTrackParticles").Select(lambda t: t.z0())': lambda c: c("GSFTrackParticles.z0"),
    "e.Vertices().Select(lambda v: v.z())": lambda c: c("PrimaryVertices.z"),
    'e.TruthParticles("TruthTaus").Select(lambda t: t.pt_vis())': (lambda c: c("TruthTaus.pt_vis")),
    "e.EventInfo().runNumber()": lambda c: c("EventInfo.runNumber"),
    "e.EventInfo().mcEventWeights()": lambda c: c("EventInfo.mcEventWeights"),
    "e.EventInfo().mcEventWeight(0)": lambda c: c("EventInfo.mcEventWeights")[:, 0],
    'e.MissingET("MET_Core_AnalysisMET").First().sumet()': (
        lambda c: c("MET_Core_AnalysisMET.sumet")[:, 0]
    ),
    'e.MissingET().Where(lambda m: m.name() == "PVSoftTrkCore").First().mpx()': (
        lambda c: ak.flatten(
            c("MET_Core_AnalysisMET.mpx")[c("MET_Core_AnalysisMET.name") == "PVSoftTrkCore"]
        )
    ),
    'e.Jets().Select(lambda j: j.getAttributeVectorFloat("EnergyPerSampling"))': (
        lambda c: c("AnalysisJets.EnergyPerSampling")
    ),
    'e.Jets().Select(lambda j: j.auxdataConst["float"]("Width"))': (
        lambda c: c("AnalysisJets.Width")
    ),
    'e.Electrons().Select(lambda x: x.passSelection("DFCommonElectronsLHTight"))': (
        lambda c: c("AnalysisElectrons.DFCommonElectronsLHTight") != 0
    ),
}
COMPUTED = {
    "e.Electrons().Select(lambda x: x.e())": lambda c: np.hypot(
        double(c("AnalysisElectrons.pt")) * np.cosh(c("AnalysisElectrons.eta")),
        c("AnalysisElectrons.m"),
    ),
    "e.Muons().Select(lambda m: m.e())": lambda c: np.hypot(
        double(c("AnalysisMuons.pt")) * np.cosh(c("AnalysisMuons.eta")), 105.6583755
    ),
    "e.Jets().Select(lambda j: j.py())": lambda c: (
        double(c("AnalysisJets.pt")) * np.sin(c("AnalysisJets.phi"))
    ),
    "e.Tracks().Select(lambda t: t.pt())": lambda c: (
        np.sin(double(c("InDetTrackParticles.theta"))) / abs(c("InDetTrackParticles.qOverP"))
    ),
    "e.Tracks().Select(lambda t: t.eta())": lambda c: (
        -np.log(np.tan(double(c("InDetTrackParticles.theta")) / 2))
    ),
    "e.MissingET().Last().met()": lambda c: np.hypot(
        c("MET_Core_AnalysisMET.mpx")[:, -1], c("MET_Core_AnalysisMET.mpy")[:, -1]
    ),
    "e.CaloClusters().Select(lambda x: x.pt())": lambda c: (
        np.sqrt(double(c("egammaClusters.calE")) ** 2 - double(c("egammaClusters.calM")) ** 2)
        / np.cosh(double(c("egammaClusters.calEta")))
        * np.sign(c("egammaClusters.calE"))
    ),
    'e.TruthParticles("TruthElectrons").Select(lambda t: t.pt())': lambda c: np.hypot(
        c("TruthElectrons.px"), c("TruthElectrons.py")
    ),
    "e.Vertices().Select(lambda v: v.nTrackParticles())": lambda c: ak.num(
        c("PrimaryVertices.trackParticleLinks"), axis=2
    ),
}
OPERATORS = {
    "e.Electrons().Where(lambda x: x.pt() > 25000 and abs(x.eta()) < 2.47).Count()": lambda c: (
        ak.sum(
            (c("AnalysisElectrons.pt") > 25000) & (abs(c("AnalysisElectrons.eta")) < 2.47), axis=1
        )
    ),
    "e.Jets().OrderBy(lambda j: j.eta()).Select(lambda j: j.pt())": lambda c: c("AnalysisJets.pt")[
        ak.argsort(c("AnalysisJets.eta"), axis=1)
    ],
    "e.Jets().Where(lambda j: not e.Electrons().Any(lambda x: abs(x.eta() - j.eta()) < 0.2))"
    ".Select(lambda j: j.pt())": lambda c: c("AnalysisJets.pt")[
        ~ak.any(
            abs(c("AnalysisJets.eta")[:, :, None] - c("AnalysisElectrons.eta")[:, None]) < 0.2,
            axis=2,
        )
    ],
    "e.Electrons().Choose(2).Select(lambda p: p[0].charge() * p[1].charge())": lambda c: ak.prod(
        ak.concatenate(
            [
                ak.unzip(ak.combinations(c("AnalysisElectrons.charge"), 2))[i][..., None]
                for i in (0, 1)
            ],
            axis=2,
        ),
        axis=2,
    ),
}
LINKS = {
    "e.Electrons().Select(lambda x: x.TruthLink().pdgId())": lambda c: follow(
        c("TruthElectrons.pdgId"),
        c("AnalysisElectrons.TruthLink.m_persKey"),
        c("AnalysisElectrons.TruthLink.m_persIndex"),
        ELECTRONS,
    ),
    "e.Electrons().Select(lambda x: x.trackParticleLinks().Select(lambda t: t.d0()))": (
        lambda c: follow(
            c("GSFTrackParticles.d0"), *links(c, "AnalysisElectrons.trackParticleLinks"), GSF
        )
    ),
    "e.Electrons().Select(lambda x: x.trackParticle().d0())": lambda c: follow(
        c("GSFTrackParticles.d0"),
        *(item[:, :, 0] for item in links(c, "AnalysisElectrons.trackParticleLinks")),
        GSF,
    ),
    "e.Jets().Select(lambda j: j.GhostTrack().Where(lambda t: t.isValid()).Count())": lambda c: (
        ak.sum(links(c, "AnalysisJets.GhostTrack")[0] == INNER, axis=2)
    ),
    "e.Muons().Select(lambda m: m.inDetTrackParticleLink().z0())": lambda c: follow(
        c("InDetTrackParticles.z0"),
        c("AnalysisMuons.inDetTrackParticleLink.m_persKey"),
        c("AnalysisMuons.inDetTrackParticleLink.m_persIndex"),
        INNER,
    ),
    # two links one after the other
    "e.Electrons().Select(lambda x: x.trackParticle().originalTrackParticle().z0())": lambda c: (
        follow(
            c("InDetTrackParticles.z0"),
            *(
                follow(
                    c(f"GSFTrackParticles.originalTrackParticle.{part}"),
                    *(item[:, :, 0] for item in links(c, "AnalysisElectrons.trackParticleLinks")),
                    GSF,
                )
                for part in ("m_persKey", "m_persIndex")
            ),
            INNER,
        )
    ),
}


MOMENTA = {
    "e.Electrons().Choose(2).Select(lambda p: (p[0].p4() + p[1].p4()).M())": lambda c: (
        ((pairs := ak.combinations(electrons(c), 2))["0"] + pairs["1"]).mass
    ),
    "e.Jets().Select(lambda j: e.Electrons().Select(lambda x: x.p4().DeltaR(j.p4())).Min())": (
        lambda c: ak.min(
            vectors(c, "AnalysisJets")[:, :, None].deltaR(electrons(c)[:, None]), axis=2
        )
    ),
    "e.Jets().Select(lambda j: j.p4()).Sum().Pt()": lambda c: (
        ak.sum(vectors(c, "AnalysisJets"), axis=1).pt
    ),
    "e.Jets().First().p4().E()": lambda c: vectors(c, "AnalysisJets")[:, 0].energy,
}


def vectors(column, container):
    names = {"pt": "pt", "eta": "eta", "phi": "phi", "m": "mass"}
    return vector.zip({to: double(column(f"{container}.{name}")) for name, to in names.items()})


def electrons(column):
    return vectors(column, "AnalysisElectrons")


def double(array):
    return ak.values_astype(array, np.float64)


def links(column, name):
    array = column(name)
    return array["m_persKey"], array["m_persIndex"]


@pytest.mark.parametrize("body", [*STORED, *COMPUTED, *OPERATORS, *LINKS, *MOMENTA])
def test_a_query_gives_what_uproot_gives(dataset, column, body):
    expected = {**STORED, **COMPUTED, **OPERATORS, **LINKS, **MOMENTA}[body](column)
    assert_same(result(dataset, body), expected)


@pytest.mark.parametrize("body", STORED)
def test_what_is_stored_is_given_as_it_is(dataset, column, body):
    expected = STORED[body](column)
    assert str(result(dataset, body).type) == str(expected.type)


def test_variables_of_a_static_store_are_found_beside_dynamic_ones(dataset, path):
    container = "AntiKt10TruthSoftDropBeta100Zcut10Jets"
    with uproot.open({path: "CollectionTree"}) as tree:
        pt, substructure = (tree[f"{container}{name}"].array() for name in ("Aux.pt", "AuxDyn.D2"))
    jets = f'e.Jets("{container}").Where(lambda j: j.pt() > 250000)'
    found = result(dataset, f"{jets}.Select(lambda j: j.D2())")
    assert ak.to_list(found) == ak.to_list(substructure[pt > 250000])
    assert ak.sum(ak.num(found)) > 0


def test_links_to_what_is_not_in_the_file_can_be_counted(dataset, column):
    found = result(dataset, "e.Muons().Select(lambda m: m.muonSegmentLinks().Count())")
    assert ak.to_list(found) == ak.to_list(ak.num(column("AnalysisMuons.muonSegmentLinks"), axis=2))


def test_links_that_lead_to_several_containers_find_each(dataset, column):
    found = result(dataset, "e.Photons().Select(lambda p: p.TruthLink().pdgId())")
    keys = column("AnalysisPhotons.TruthLink.m_persKey")
    numbers = {ak.to_list(pair)[0] for pair in zip(ak.flatten(keys), strict=True)}
    assert numbers == {0, 13267281, ELECTRONS}
    parts = [
        follow(column(f"{name}.pdgId"), keys, column("AnalysisPhotons.TruthLink.m_persIndex"), key)
        for name, key in (("TruthPhotons", 13267281), ("TruthElectrons", ELECTRONS))
    ]
    expected = ak.where(ak.is_none(parts[0], axis=1), parts[1], parts[0])
    assert ak.to_list(found) == ak.to_list(expected)


def test_events_are_dropped_and_branches_left_before_anything_is_computed(dataset):
    query = sx.request(
        "func_adl",
        "EventDataset().Where(lambda e: e.Electrons().Count() >= 2)"
        ".Select(lambda e: {'pt': e.Electrons().Select(lambda x: x.pt()),"
        " 'run': e.EventInfo().runNumber()})",
        dataset=dataset,
    )
    rows = query.compute()
    assert ak.all(ak.num(rows.pt) >= 2)
    assert 0 < len(rows) < 100
    text = query.explain()
    assert "AnalysisElectronsAuxDyn.eta" not in text


def test_links_read_the_containers_that_they_can_lead_to_and_no_others(dataset):
    def branches(body):
        text = f"EventDataset().Select(lambda e: {body})"
        lines = sx.request("func_adl", text, dataset=dataset).explain().splitlines()
        start = lines.index("  branches")
        return {line.split()[0].partition("AuxDyn.")[0] for line in lines[start + 1 :] if line}

    assert branches("e.Electrons().Select(lambda x: x.trackParticle().d0())") == {
        "AnalysisElectrons",
        "GSFTrackParticles",
    }
    assert branches("e.Muons().Select(lambda m: m.primaryTrackParticle().d0())") == {
        "AnalysisMuons",
        "CombinedMuonTrackParticles",
        "InDetTrackParticles",
        "ExtrapolatedMuonTrackParticles",
        "MuonSpectrometerTrackParticles",
    }


def test_select_many_joins_the_objects_of_all_events(dataset, column):
    query = sx.request(
        "func_adl",
        "EventDataset().SelectMany(lambda e: e.Jets()).Where(lambda j: j.pt() > 50000)"
        ".Select(lambda j: {'pt': j.pt(), 'eta': j.eta()})",
        dataset=dataset,
    )
    rows = query.compute()
    high = column("AnalysisJets.pt") > 50000
    assert ak.to_list(rows.pt) == ak.to_list(ak.flatten(column("AnalysisJets.pt")[high]))
    assert ak.to_list(rows.eta) == ak.to_list(ak.flatten(column("AnalysisJets.eta")[high]))


RECIPE = Path(__file__).parents[2] / "graphs" / "recipes" / "physlite_electrons.yaml"


def test_the_recipe_gives_what_the_same_physics_gives_by_hand(samples, monkeypatch, column):
    monkeypatch.setenv("SXDASK_SAMPLES", str(samples))
    rows = sx.load(RECIPE).compute()
    pt, eta = column("AnalysisElectrons.pt"), column("AnalysisElectrons.eta")
    kept = ak.sum((pt > 20000) & (abs(eta) < 2.47), axis=1) >= 2
    pairs = ak.combinations(electrons(column), 2)
    tracks = follow(
        column("GSFTrackParticles.d0"),
        *(item[:, :, 0] for item in links(column, "AnalysisElectrons.trackParticleLinks")),
        GSF,
    )
    met = np.hypot(
        column("MET_Core_AnalysisMET.mpx")[:, 0], column("MET_Core_AnalysisMET.mpy")[:, 0]
    )
    by_hand = {
        "run": column("EventInfo.runNumber"),
        "event": column("EventInfo.eventNumber"),
        "electron_pt": pt / 1000,
        "electron_d0": tracks,
        "pair_mass": (pairs["0"] + pairs["1"]).mass / 1000,
        "met": met / 1000,
    }
    assert rows.fields == list(by_hand)
    assert 0 < len(rows) < 100
    for name, expected in by_hand.items():
        assert_same(rows[name], expected[kept])
