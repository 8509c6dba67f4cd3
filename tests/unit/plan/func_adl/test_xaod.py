"""Queries over xAOD objects: variables, formulas, links; on a small tree in memory."""

from __future__ import annotations

import awkward as ak
import numpy as np
import pytest
import vector

from sxdask.plan.fingerprint import fingerprint
from sxdask.plan.func_adl.xaod_keys import container_key
from tests.unit.plan.func_adl.atlas import FLOATS, MUON_TYPES, plan_of, value_of

# Athena, ColumnarInterfaces/KnownSgKeys.h: read from a PHYSLITE file by ATLAS
KNOWN_KEYS = {
    ("AnalysisMuons", "Muon"): 0x3A6B126F,
    ("AnalysisElectrons", "Electron"): 0x3902FEC0,
    ("AnalysisPhotons", "Photon"): 0x35D1472F,
    ("AnalysisJets", "Jet"): 0x1AFD1919,
    ("egammaClusters", "CaloCluster"): 0x15788D1F,
    ("GSFConversionVertices", "Vertex"): 0x1F3E85C9,
    ("InDetTrackParticles", "TrackParticle"): 0x1D3890DB,
    ("MuonSpectrometerTrackParticles", "TrackParticle"): 0x3993C8F3,
}


@pytest.mark.parametrize(("container", "key"), KNOWN_KEYS.items())
def test_keys_of_links_are_computed_as_atlas_does(container, key):
    assert container_key(*container) == key


def test_a_class_without_a_number_has_no_key():
    assert container_key("x", "Unheard") is None


def close(found, expected):
    assert ak.num(found).to_list() == ak.num(expected).to_list()
    assert np.allclose(ak.flatten(found), ak.flatten(expected), rtol=1e-12, atol=1e-12)


def doubled(container, *names):
    stored = {name: np.float32(ak.flatten(FLOATS[container][name])) for name in names}
    counts = ak.num(FLOATS[container][names[0]])
    return {name: ak.unflatten(np.float64(item), counts) for name, item in stored.items()}


COMPONENTS = {
    "px": "px",
    "py": "py",
    "pz": "pz",
    "e": "E",
    "rapidity": "rapidity",
}


@pytest.mark.parametrize(("method", "attribute"), COMPONENTS.items())
@pytest.mark.parametrize(
    ("container", "accessor", "mass"),
    [
        ("AnalysisElectrons", "Electrons", 0.51099895),
        ("AnalysisMuons", "Muons", 105.6583755),
    ],
)
def test_momenta_are_computed_from_what_is_stored(container, accessor, mass, method, attribute):
    stored = doubled(container, "pt", "eta", "phi")
    expected = vector.zip({**stored, "mass": ak.full_like(stored["pt"], mass)})
    found = value_of(f"e.{accessor}().Select(lambda x: x.{method}())")
    close(found, getattr(expected, attribute))


@pytest.mark.parametrize(
    ("method", "attribute"), {**COMPONENTS, "pt": "pt", "eta": "eta", "phi": "phi"}.items()
)
def test_momenta_of_true_particles_are_components(method, attribute):
    # the energy in the file is that of the momentum and the mass
    energy = "e" if method == "e" else "m"
    stored = doubled("TruthElectrons", "px", "py", "pz", energy)
    names = {"px": "px", "py": "py", "pz": "pz", "e": "E", "m": "mass"}
    expected = vector.zip({names[name]: values for name, values in stored.items()})
    found = value_of(f'e.TruthParticles("TruthElectrons").Select(lambda t: t.{method}())')
    close(found, getattr(expected, attribute))


def test_tracks_are_made_from_curvature_and_angle():
    stored = doubled("InDetTrackParticles", "qOverP", "theta", "phi")
    momentum = [[1e4, 5e3, 2e4], [1e7], [1e4 / 3]]  # a straight track is one of 10 TeV
    found = value_of("e.Tracks().Select(lambda t: t.pt())")
    expected = ak.Array(momentum) * np.sin(stored["theta"])
    assert np.allclose(ak.flatten(found), ak.flatten(expected), rtol=1e-6)
    close(
        value_of("e.Tracks().Select(lambda t: t.eta())"),
        -np.log(np.tan(stored["theta"] / 2)),
    )
    charges = value_of("e.Tracks().Select(lambda t: t.charge())")
    assert charges.to_list() == [[1, -1, 1], [0], [1]]


def test_clusters_have_the_calibrated_momentum():
    found = value_of("e.CaloClusters().Select(lambda c: c.pt())")
    stored = doubled("egammaClusters", "calE", "calEta", "calM")
    size = np.sqrt(stored["calE"] ** 2 - stored["calM"] ** 2) * np.sign(stored["calE"])
    close(found, size / np.cosh(stored["calEta"]))
    assert value_of("e.CaloClusters().Select(lambda c: c.e())").to_list()[1] == [50e3, -10.0]


def test_missing_transverse_momentum():
    assert value_of("e.MissingET().First().met()").to_list() == [5e3, 1e3, 13e3]
    angles = value_of("e.MissingET().First().phi()").to_list()
    assert angles == pytest.approx(np.arctan2([4.0, -1.0, 12.0], [3.0, 0.0, -5.0]))


def test_the_event_itself_has_one_value():
    assert value_of("e.EventInfo().eventNumber()").to_list() == [7, 8, 9]
    assert value_of("e.EventInfo().mcEventWeight()").to_list() == [1.5, 2.5, 3.5]
    assert value_of('e.EventInfo("EventInfo").mcEventWeight(1)').to_list() == [2.0, 0.0, 1.0]
    mixed = value_of("e.Muons().Select(lambda m: m.muonType() + e.EventInfo().eventNumber())")
    assert mixed.to_list() == [[7, 9, 8], [9, 11], [13]]


def test_methods_that_take_bits_of_a_variable():
    def muons(method):
        return value_of(f"e.Muons().Select(lambda m: m.{method})").to_list()

    assert muons("quality()") == [[1, 1, 2], [3, 0], [0]]
    assert muons("passesIDCuts()") == [[False, True, False], [False, True], [False]]
    assert muons("passesHighPtCuts()") == [[False, False, True], [False, True], [False]]
    assert muons("isAuthor(1)") == [[True, True, False], [True, True], [False]]
    assert muons("m()") == [[105.6583755] * 3, [105.6583755] * 2, [105.6583755]]
    found = value_of('e.Electrons().Select(lambda x: x.passSelection("DFCommonElectronsLHLoose"))')
    assert found.to_list() == [[True, False], [], [True]]


def test_particles_are_known_by_their_number():
    text = 'e.TruthParticles("TruthElectrons").Where(lambda t: t.{}()).Count()'
    assert value_of(text.format("isElectron")).to_list() == [1, 0, 1]
    assert value_of(text.format("isMuon")).to_list() == [0, 0, 1]


# -- links ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("link", "expected"),
    [
        ("combinedTrackParticleLink", [[1.1, None, None], [None, None], [1.4]]),
        ("inDetTrackParticleLink", [[0.03, 0.01, None], [None, 0.04], [None]]),
        ("muonSpectrometerTrackParticleLink", [[None, None, 3.0], [3.1, None], [None]]),
        # combined, tagged, alone; alone with two, tagged by the calorimeter; forward
        ("primaryTrackParticle", [[1.1, 0.01, 3.0], [2.2, 0.04], [1.4]]),
    ],
)
def test_links_of_muons_lead_to_their_tracks(link, expected):
    found = value_of(f"e.Muons().Select(lambda m: m.{link}().d0())").to_list()
    assert found == [[x if x is None else pytest.approx(x) for x in event] for event in expected]


def test_the_types_of_muons_above_are_all_there_are():
    assert set(ak.flatten(MUON_TYPES)) == {0, 1, 2, 3, 4}


def test_a_link_tells_whether_it_leads_anywhere():
    found = value_of("e.Muons().Select(lambda m: m.inDetTrackParticleLink().isValid())")
    assert found.to_list() == [[True, True, False], [False, True], [False]]
    found = value_of("e.Electrons().Select(lambda x: x.trackParticle().isValid())")
    assert found.to_list() == [[True, False], [], [False]]


def test_lists_of_links_are_sequences():
    found = value_of(
        "e.Electrons().Select(lambda x: x.trackParticleLinks().Select(lambda t: t.d0()))"
    )
    assert found.to_list() == [[[pytest.approx(0.02), pytest.approx(0.01)], []], [], [[None]]]
    assert value_of("e.Electrons().Select(lambda x: x.nTrackParticles())").to_list() == [
        [2, 0],
        [],
        [1],
    ]
    valid = "x.trackParticleLinks().Where(lambda t: t.isValid())"
    assert value_of(f"e.Electrons().Select(lambda x: {valid}.Count())").to_list() == [
        [2, 0],
        [],
        [0],
    ]


@pytest.mark.parametrize(("number", "expected"), [(0, 0.02), (1, 0.01), (2, None)])
def test_an_object_behind_a_list_of_links_is_chosen_by_its_position(number, expected):
    found = value_of(f"e.Electrons().Select(lambda x: x.trackParticle({number}).d0())")
    first = None if expected is None else pytest.approx(expected)
    assert found.to_list() == [[first, None], [], [None]]


def test_formulas_hold_for_linked_objects():
    found = value_of("e.Electrons().Select(lambda x: x.trackParticle().pt())")
    assert found.to_list()[0] == [pytest.approx(np.sin(np.float32(1.5)) / np.float32(2e-4)), None]


def test_a_condition_on_what_a_missing_link_leads_to_does_not_hold():
    found = value_of("e.Muons().Where(lambda m: m.inDetTrackParticleLink().d0() > 0).Count()")
    assert found.to_list() == [2, 1, 0]


# -- objects in the operators of a query ----------------------------------------------------

PT = FLOATS["AnalysisMuons"]["pt"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("e.Muons().Where(lambda m: m.pt() > 22500).Count()", [0, 2, 1]),
        ("e.Muons().OrderByDescending(lambda m: m.pt()).First().pt()", [22e3, 24e3, 25e3]),
        ("e.Muons()[0].pt()", [20e3, 23e3, 25e3]),
        ("e.Muons()[:1].Select(lambda m: m.pt())", [[20e3], [23e3], [25e3]]),
        ("e.Muons().Last().pt()", [22e3, 24e3, 25e3]),
        (
            "e.Muons().Choose(2).Select(lambda p: p[1].pt() - p[0].pt())",
            [[1e3, 2e3, 1e3], [1e3], []],
        ),
        ("e.Muons().Select(lambda m: e.Electrons().Count())", [[2, 2, 2], [0, 0], [1]]),
        (
            "e.Muons().Select(lambda m: e.Electrons().Where(lambda x: x.pt() > m.pt()).Count())",
            [[1, 1, 1], [0, 0], [1]],
        ),
        ("e.Muons().Any(lambda m: m.pt() > 24500)", [False, False, True]),
        ("e.Muons().Concat(e.Muons()).Count()", [6, 4, 2]),
        ("e.Muons().Select(lambda m: m.pt()).Sum()", [63e3, 47e3, 25e3]),
    ],
)
def test_objects_go_through_the_operators_of_a_query(text, expected):
    assert value_of(text).to_list() == expected


SAME = [
    (
        (
            "EventDataset().Where(lambda e: e.Muons().Count() >= 2)"
            ".Select(lambda e: {'pt': e.Muons().Select(lambda m: m.pt() / 1000),"
            " 'n': e.Electrons().Count()})"
        ),
        {
            "where": "num(get('AnalysisMuonsAuxDyn.pt')) >= 2",
            "define": {
                "pt": "get('AnalysisMuonsAuxDyn.pt') / 1000",
                "n": "num(get('AnalysisElectronsAuxDyn.pt'))",
            },
            "select": ["pt", "n"],
        },
    ),
    (
        (
            "EventDataset().Select(lambda e: {'x': e.Muons().Where(lambda m: m.pt() > 5)"
            ".Select(lambda m: m.eta()), 'n': e.EventInfo().eventNumber()})"
        ),
        {
            "define": {
                "x": "get('AnalysisMuonsAuxDyn.eta')[get('AnalysisMuonsAuxDyn.pt') > 5]",
                "n": "get('EventInfoAuxDyn.eventNumber')",
            },
            "select": ["x", "n"],
        },
    ),
]


@pytest.mark.parametrize(("query", "native"), SAME)
def test_methods_and_branches_are_one_plan(query, native):
    assert plan_of(query).outputs[0].root == plan_of(native, "native").outputs[0].root
    assert fingerprint(plan_of(query)) is not None


def test_qastle_and_python_are_one_plan():
    qastle = (
        "(call Select (call EventDataset) (lambda (list e) (call Select "
        "(call (attr e 'Electrons') 'AnalysisElectrons') "
        "(lambda (list x) (call (attr x 'pt'))))))"
    )
    python = (
        'EventDataset().Select(lambda e: e.Electrons("AnalysisElectrons").Select(lambda x: x.pt()))'
    )
    assert fingerprint(plan_of(qastle, "qastle")) == fingerprint(plan_of(python))
