"""A small xAOD tree: schema, rows, and the values of queries over them, without a file."""

from __future__ import annotations

import awkward as ak
import numpy as np

from sxdask.core.types import Field, ListOf, Primitive, Record, Schema
from sxdask.graph.kernel import compile_program, run
from sxdask.plan.frontend import FRONTENDS
from sxdask.plan.func_adl.xaod_keys import container_key
from sxdask.plan.nodes import Project
from tests.unit.plan.schemas import LIMITS

TREE = "CollectionTree"
LINK = Record((("m_persKey", Primitive("uint32")), ("m_persIndex", Primitive("uint32"))))
NOWHERE = (0, 0)


def key(name, kind):
    """Return the key of links into container `name`."""
    found = container_key(name, kind)
    assert found is not None
    return found


COMBINED = key("CombinedMuonTrackParticles", "TrackParticle")
INNER = key("InDetTrackParticles", "TrackParticle")
EXTRAPOLATED = key("ExtrapolatedMuonTrackParticles", "TrackParticle")
SPECTROMETER = key("MuonSpectrometerTrackParticles", "TrackParticle")
FORWARD = key("InDetForwardTrackParticles", "TrackParticle")  # not in the tree

FLOATS = {
    "AnalysisElectrons": {
        "pt": [[30e3, 8e3], [], [55e3]],
        "eta": [[0.5, -1.5], [], [2.1]],
        "phi": [[0.1, 3.0], [], [-2.0]],
        "topoetcone20": [[1e3, -2e3], [], [0.0]],
    },
    "AnalysisMuons": {
        "pt": [[20e3, 21e3, 22e3], [23e3, 24e3], [25e3]],
        "eta": [[0.5, -1.5, 1.0], [-0.2, 2.0], [2.1]],
        "phi": [[0.1, 3.0, 1.0], [2.0, -1.0], [-2.0]],
    },
    "InDetTrackParticles": {
        "qOverP": [[1e-4, -2e-4, 5e-5], [0.0], [3e-4]],
        "theta": [[0.5, 1.5, 2.5], [1.2], [0.1]],
        "phi": [[0.1, 0.2, -0.3], [3.1], [1.0]],
        "d0": [[0.01, 0.02, 0.03], [0.04], [0.05]],
    },
    "CombinedMuonTrackParticles": {"d0": [[1.0, 1.1, 1.2], [1.3], [1.4]]},
    "ExtrapolatedMuonTrackParticles": {"d0": [[2.0], [2.1, 2.2], [2.3]]},
    "MuonSpectrometerTrackParticles": {"d0": [[3.0], [3.1, 3.2], [3.3]]},
    "MET_Core_AnalysisMET": {
        "mpx": [[3e3], [0.0], [-5e3]],
        "mpy": [[4e3], [-1e3], [12e3]],
    },
    "TruthElectrons": {
        "px": [[3e3], [], [1e3, 2e3]],
        "py": [[4e3], [], [-1e3, 0.0]],
        "pz": [[12e3], [], [5e3, -1e3]],
        "e": [[13e3], [], [5.3e3, 2.3e3]],
        "m": [[0.511], [], [0.511, 0.511]],
    },
    "egammaClusters": {
        "calE": [[40e3], [50e3, -10.0], []],
        "calEta": [[1.1], [0.0, -2.0], []],
        "calPhi": [[1.0], [2.0, 3.0], []],
        "calM": [[0.0], [3e3, 0.0], []],
    },
}
KINDS = {
    "AnalysisElectrons": "Electron",
    "AnalysisMuons": "Muon",
    "MET_Core_AnalysisMET": "MissingET",
    "TruthElectrons": "TruthParticle",
    "TruthBoson": "TruthParticle",
    "egammaClusters": "CaloCluster",
    **{name: "TrackParticle" for name in FLOATS if name.endswith("TrackParticles")},
}
# key and index of each muon's link, by link
MUON_LINKS = {
    "combinedTrackParticleLink": [
        [(COMBINED, 1), NOWHERE, NOWHERE],
        [NOWHERE, NOWHERE],
        [(COMBINED, 0)],
    ],
    "inDetTrackParticleLink": [
        [(INNER, 2), (INNER, 0), NOWHERE],
        [NOWHERE, (INNER, 0)],
        [(FORWARD, 7)],
    ],
    "extrapolatedMuonSpectrometerTrackParticleLink": [
        [(EXTRAPOLATED, 0), NOWHERE, NOWHERE],
        [(EXTRAPOLATED, 1), NOWHERE],
        [NOWHERE],
    ],
    "muonSpectrometerTrackParticleLink": [
        [NOWHERE, NOWHERE, (SPECTROMETER, 0)],
        [(SPECTROMETER, 0), NOWHERE],
        [NOWHERE],
    ],
}
MUON_TYPES = [[0, 2, 1], [1, 3], [4]]
ELECTRON_TRACKS = [[[(INNER, 1), (INNER, 0)], []], [], [[NOWHERE]]]


def _fields_and_rows():
    fields, rows = [], {}

    def add(name, kind, value, typename=""):
        fields.append(Field(name, kind, typename=typename))
        rows[name] = value

    for container, variables in FLOATS.items():
        for variable, values in variables.items():
            value = ak.values_astype(ak.Array(values), np.float32)
            add(f"{container}AuxDyn.{variable}", ListOf(Primitive("float32")), value)
    for variable, dtype, numbers in (
        ("AnalysisMuonsAuxDyn.muonType", "uint16", MUON_TYPES),
        ("AnalysisMuonsAuxDyn.quality", "uint8", [[1, 9, 18], [3, 24], [0]]),
        ("AnalysisMuonsAuxDyn.allAuthors", "uint16", [[2, 6, 64], [2, 2], [0]]),
        ("AnalysisElectronsAuxDyn.DFCommonElectronsLHLoose", "int8", [[1, 0], [], [1]]),
        ("TruthElectronsAuxDyn.pdgId", "int32", [[11], [], [-11, 13]]),
    ):
        add(variable, ListOf(Primitive(dtype)), ak.values_astype(ak.Array(numbers), dtype))
    for link, pairs in MUON_LINKS.items():
        for position, part in enumerate(("m_persKey", "m_persIndex")):
            parts = [[pair[position] for pair in event] for event in pairs]
            array = ak.values_astype(ak.Array(parts), np.uint32)
            add(f"AnalysisMuonsAuxDyn.{link}.{part}", ListOf(Primitive("uint32")), array)
    links = ak.zip(
        {
            part: ak.values_astype(
                ak.Array([[[p[i] for p in one] for one in event] for event in ELECTRON_TRACKS]),
                np.uint32,
            )
            for i, part in enumerate(("m_persKey", "m_persIndex"))
        }
    )
    typename = "std::vector<std::vector<ElementLink<DataVector<xAOD::TrackParticle_v1>>>>"
    add("AnalysisElectronsAuxDyn.trackParticleLinks", ListOf(ListOf(LINK)), links, typename)
    add(
        "EventInfoAuxDyn.eventNumber", Primitive("uint64"), ak.Array(np.array([7, 8, 9], np.uint64))
    )
    weights = ak.values_astype(ak.Array([[1.5, 2.0], [2.5, 0.0], [3.5, 1.0]]), np.float32)
    add("EventInfoAuxDyn.mcEventWeights", ListOf(Primitive("float32")), weights)
    for name, kind in KINDS.items():
        typename = (
            f"xAOD::{kind}Container_v1" if kind == "MissingET" else f"DataVector<xAOD::{kind}_v1>"
        )
        fields.append(Field(name, Primitive("int32"), reason="an interface", typename=typename))
    return tuple(fields), rows


FIELDS, ROWS = _fields_and_rows()
SCHEMA = Schema(FIELDS, tree=TREE)


class Source:
    """The small tree, as a frontend sees it."""

    trees = (TREE,)
    default_tree = TREE

    def cycles(self, tree):
        """Return the cycles of `tree`."""
        return {TREE: (1,)}[tree]

    def schema(self, tree):
        """Return the columns of `tree`."""
        return {TREE: SCHEMA}[tree]


def plan_of(text, language="func_adl"):
    """Return the plan of a query over the small tree."""
    return FRONTENDS.load(language)(LIMITS).parse(text, Source())


def value_of(body):
    """Return what ``Select(lambda e: body)`` gives for the rows of the small tree."""
    (output,) = plan_of(f"EventDataset().Select(lambda e: {body})").outputs
    assert isinstance(output.root, Project)
    ((_, expr),) = output.root.outputs
    (value,) = run(compile_program([expr]), ROWS)
    return value
