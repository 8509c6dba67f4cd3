"""The eight ADL benchmark queries as an analyser writes them for coffea, with awkward.

Each function takes events with collections (``events.Jet.pt``), as coffea's
NanoEvents or as `collections` makes them of what uproot reads, and returns the
values to be filled. Sums and angles are computed in double precision, as
ROOT's vectors do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import awkward as ak
import numpy as np
from coffea.processor import ProcessorABC

from tests.adl.axes import AXES, empty

if TYPE_CHECKING:
    from collections.abc import Callable

    import hist

LEPTON: Final = ("pt", "eta", "phi", "charge")
BRANCHES: Final[dict[str, dict[str, tuple[str, ...]]]] = {
    "q1": {"MET": ("pt",)},
    "q2": {"Jet": ("pt",)},
    "q3": {"Jet": ("pt", "eta")},
    "q4": {"Jet": ("pt",), "MET": ("pt",)},
    "q5": {"Muon": LEPTON, "MET": ("pt",)},
    "q6": {"Jet": ("pt", "eta", "phi", "mass", "btagDeepFlavB")},
    "q7": dict.fromkeys(("Jet", "Muon", "Electron"), ("pt", "eta", "phi")),
    "q8": {"Muon": LEPTON, "Electron": LEPTON, "MET": ("pt", "phi")},
}
"""Collections that each query reads, and their columns."""

TOP_MASS: Final = 172.5
Z_MASS: Final = 91.2


def _double(array: Any) -> Any:
    return ak.values_astype(array, np.float64)


def _pair_mass(first: Any, second: Any) -> Any:
    """Return the mass of two light particles; their own masses do not matter here."""
    return np.sqrt(
        2
        * _double(first.pt)
        * _double(second.pt)
        * (
            np.cosh(_double(first.eta) - _double(second.eta))
            - np.cos(_double(first.phi) - _double(second.phi))
        )
    )


def q1(events: Any) -> dict[str, Any]:
    """MET of all events."""
    return {"met": events.MET.pt}


def q2(events: Any) -> dict[str, Any]:
    """Transverse momentum of all jets."""
    return {"jet_pt": ak.flatten(events.Jet.pt)}


def q3(events: Any) -> dict[str, Any]:
    """Transverse momentum of central jets."""
    jets = events.Jet
    return {"jet_pt": ak.flatten(jets.pt[abs(jets.eta) < 1])}


def q4(events: Any) -> dict[str, Any]:
    """MET of events with two jets."""
    return {"met": events.MET.pt[ak.sum(events.Jet.pt > 40, axis=1) >= 2]}


def q5(events: Any) -> dict[str, Any]:
    """MET of events with two muons of a Z boson."""
    events = events[ak.num(events.Muon) >= 2]
    first, second = ak.unzip(ak.combinations(events.Muon, 2))
    mass = _pair_mass(first, second)
    found = (first.charge != second.charge) & (mass > 60) & (mass < 120)
    return {"met": events.MET.pt[ak.any(found, axis=1)]}


def q6(events: Any) -> dict[str, Any]:
    """Three jets that look most like a top quark: momentum and largest b-tag."""
    jets = events.Jet[ak.num(events.Jet) >= 3]
    pt, eta, phi, mass = (_double(jets[name]) for name in ("pt", "eta", "phi", "mass"))
    px, py, pz = pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta)
    energy = np.sqrt(px**2 + py**2 + pz**2 + mass**2)
    ready = ak.zip({"px": px, "py": py, "pz": pz, "energy": energy, "btag": jets.btagDeepFlavB})
    first, second, third = ak.unzip(ak.combinations(ready, 3))
    px, py, pz, energy = (
        first[name] + second[name] + third[name] for name in ("px", "py", "pz", "energy")
    )
    trijet_mass = np.sqrt(energy**2 - px**2 - py**2 - pz**2)
    best = ak.argmin(abs(trijet_mass - TOP_MASS), axis=1, keepdims=True)
    first, second, third = (jet.btag[best] for jet in (first, second, third))
    return {
        "trijet_pt": ak.flatten(np.hypot(px[best], py[best])),
        "max_btag": ak.flatten(np.maximum(np.maximum(first, second), third)),
    }


def q7(events: Any) -> dict[str, Any]:
    """Scalar sum of the momenta of jets that are not near a lepton."""
    jets = events.Jet[events.Jet.pt > 30]
    leptons = ak.concatenate([events.Muon, events.Electron], axis=1)
    leptons = leptons[leptons.pt > 10]
    jet, lepton = ak.unzip(ak.cartesian([jets, leptons], nested=True))
    eta = _double(jet.eta) - _double(lepton.eta)
    phi = abs(_double(jet.phi) - _double(lepton.phi))
    phi = np.minimum(phi, 2 * np.pi - phi)
    near = ak.any(eta**2 + phi**2 < 0.4**2, axis=2)
    return {"ht": ak.sum(jets.pt[~near], axis=1)}


def q8(events: Any) -> dict[str, Any]:
    """Transverse mass of MET and the lepton that is left over when a Z boson is taken away."""
    events = events[ak.num(events.Muon) + ak.num(events.Electron) >= 3]
    flavoured = [
        ak.with_field(leptons[list(LEPTON)], flavour * leptons.charge, "id")
        for flavour, leptons in ((13, events.Muon), (11, events.Electron))
    ]
    leptons = ak.concatenate(flavoured, axis=1)
    leptons["number"] = ak.local_index(leptons.pt)
    first, second = ak.unzip(ak.combinations(leptons, 2))
    opposite = first.id + second.id == 0
    has_pair = ak.any(opposite, axis=1)
    events, leptons = events[has_pair], leptons[has_pair]
    first, second = (lepton[opposite][has_pair] for lepton in (first, second))
    best = ak.argmin(abs(_pair_mass(first, second) - Z_MASS), axis=1, keepdims=True)
    taken = [ak.firsts(lepton.number[best]) for lepton in (first, second)]
    others = leptons[(leptons.number != taken[0]) & (leptons.number != taken[1])]
    lead = ak.firsts(others[ak.argmax(others.pt, axis=1, keepdims=True)])
    angle = _double(events.MET.phi) - _double(lead.phi)
    return {
        "transverse_mass": np.sqrt(
            2 * _double(events.MET.pt) * _double(lead.pt) * (1 - np.cos(angle))
        )
    }


QUERIES: Final[dict[str, Callable[[Any], dict[str, Any]]]] = {
    function.__name__: function for function in (q1, q2, q3, q4, q5, q6, q7, q8)
}


def columns_of(query: str) -> list[str]:
    """Return the branches that `query` reads."""
    return [f"{name}_{part}" for name, parts in BRANCHES[query].items() for part in parts]


def collections(query: str, arrays: Any) -> ak.Array:
    """Return events with collections, made of the branches `columns_of` as uproot gives them."""
    made = {
        name: ak.zip({part: arrays[f"{name}_{part}"] for part in parts})
        for name, parts in BRANCHES[query].items()
    }
    return ak.zip(made, depth_limit=1)


def fill(query: str, events: Any) -> dict[str, hist.Hist]:
    """Return the filled histograms of `query`."""
    values = QUERIES[query](events)
    return {name: empty(query, name).fill(values[name]) for name in AXES[query]}


class AdlProcessor(ProcessorABC):  # type: ignore[misc]  # coffea has no types
    """One of the queries as a coffea processor over NanoEvents."""

    def __init__(self, query: str) -> None:
        self.query = query

    def process(self, events: Any) -> dict[str, hist.Hist]:
        """Fill the histograms with the events of one chunk."""
        return fill(self.query, events)

    def postprocess(self, accumulator: Any) -> Any:
        """Leave the sums as they are."""
        return accumulator
