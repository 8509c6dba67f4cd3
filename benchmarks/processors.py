"""Three coffea processors as analyses have them, for P6: dimuon, top pairs, Z -> ll of PHYSLITE."""

from __future__ import annotations

from typing import Any

import awkward as ak
import correctionlib
import correctionlib.schemav2 as cs
import hist
import numpy as np
from coffea import processor
from coffea.analysis_tools import PackedSelection, Weights


def corrections() -> str:
    """Return a set of corrections as JSON: scale factors in bins, a formula, pile-up weights."""
    pt = cs.Variable(name="pt", type="real")
    eta = cs.Variable(name="eta", type="real")
    kind = cs.Variable(name="variation", type="string")
    out = cs.Variable(name="weight", type="real")
    binned = cs.MultiBinning(
        nodetype="multibinning",
        inputs=["eta", "pt"],
        edges=[[-2.5, -1.5, 0.0, 1.5, 2.5], [0.0, 30.0, 60.0, 120.0]],
        content=[0.91 + 0.01 * number for number in range(12)],
        flow="clamp",
    )
    shifts = [
        cs.CategoryItem(
            key=name,
            value=cs.Formula(
                nodetype="formula",
                expression=f"1+({size})*(0.03+0.5/x)",
                parser="TFormula",
                variables=["pt"],
            ),
        )
        for name, size in (("nominal", 0), ("up", 1), ("down", -1))
    ]
    scale = cs.Category(nodetype="category", input="variation", content=shifts)
    pileup = cs.Binning(
        nodetype="binning",
        input="pt",
        edges=[0.0, 10.0, 20.0, 30.0, 40.0, 60.0, 100.0],
        content=[0.6, 0.8, 1.0, 1.1, 1.2, 1.3],
        flow="clamp",
    )
    made = [
        cs.Correction(name="lepton", version=1, inputs=[eta, pt], output=out, data=binned),
        cs.Correction(name="jets", version=1, inputs=[pt, kind], output=out, data=scale),
        cs.Correction(name="pileup", version=1, inputs=[pt], output=out, data=pileup),
    ]
    return str(cs.CorrectionSet(schema_version=2, corrections=made).model_dump_json())


class Dimuon(processor.ProcessorABC):  # type: ignore[misc]
    """The mass of the two leading muons of opposite charge."""

    def process(self, events: Any) -> dict[str, Any]:
        """Return the histogram, weighted, and the cut flow."""
        muons = events.Muon
        muons = muons[(muons.pt > 10) & (abs(muons.eta) < 2.4) & muons.mediumId]
        two = ak.num(muons) >= 2
        pairs = muons[two][:, :2]
        opposite = pairs.charge[:, 0] != pairs.charge[:, 1]
        pairs = pairs[opposite]
        mass = (pairs[:, 0] + pairs[:, 1]).mass
        filled = hist.Hist.new.Reg(120, 0, 120, name="mass").Weight()
        filled.fill(mass=ak.to_numpy(mass), weight=ak.to_numpy(events.genWeight[two][opposite]))
        flow = {"all": len(events), "two": int(ak.sum(two)), "opposite": len(pairs)}
        return {events.metadata["dataset"]: {"mass": filled, "flow": flow}}

    def postprocess(self, accumulator: Any) -> Any:
        """Return `accumulator` as it is."""
        return accumulator


class TopPairs(processor.ProcessorABC):  # type: ignore[misc]
    """One lepton, four jets, b tags; scale factors, pile-up, jet energy up and down."""

    def __init__(self, corrections_json: str) -> None:
        self.corrections_json = corrections_json

    def process(self, events: Any) -> dict[str, Any]:
        """Return the mass of the hadronic top for each variation of the jet energy."""
        known = correctionlib.CorrectionSet.from_string(self.corrections_json)
        muons = events.Muon[
            (events.Muon.pt > 25) & (abs(events.Muon.eta) < 2.4) & events.Muon.tightId
        ]
        electrons = events.Electron[(events.Electron.pt > 25) & (abs(events.Electron.eta) < 2.4)]
        filled = (
            hist.Hist.new.Reg(40, 0, 400, name="mass").StrCat([], name="jes", growth=True).Weight()
        )
        flow = {}
        for name in ("nominal", "up", "down"):
            jets = events.Jet
            counts, flat = ak.num(jets), ak.flatten(jets.pt)
            scaled = ak.to_numpy(flat) * known["jets"].evaluate(ak.to_numpy(flat), name)
            jets = ak.with_field(jets, ak.unflatten(scaled, counts), "pt")
            jets = jets[(jets.pt > 25) & (abs(jets.eta) < 2.4)]
            jets = jets[ak.all(jets.metric_table(muons) > 0.4, axis=2)]
            tagged = jets.btagDeepFlavB > 0.3
            selection = PackedSelection()
            selection.add("lepton", ak.num(muons) + ak.num(electrons) == 1)
            selection.add("jets", ak.num(jets) >= 3)
            selection.add("tag", ak.sum(tagged, axis=1) >= 1)
            kept = selection.all("lepton", "jets", "tag")
            weights = Weights(len(events))
            weights.add("gen", ak.to_numpy(events.genWeight))
            weights.add("pileup", known["pileup"].evaluate(ak.to_numpy(events.Pileup.nTrueInt)))
            weights.add("lepton", self._scale_factor(known, muons))
            trijets = ak.combinations(jets[kept][:, :6], 3, fields=["a", "b", "c"])
            top = trijets.a + trijets.b + trijets.c
            best = ak.argmax(top.pt, axis=1, keepdims=True)
            mass = ak.firsts(top.mass[best])
            filled.fill(mass=ak.to_numpy(mass), jes=name, weight=weights.weight()[kept])
            flow[name] = int(np.sum(kept))
        return {events.metadata["dataset"]: {"mass": filled, "flow": flow}}

    def _scale_factor(self, known: Any, muons: Any) -> Any:
        eta, pt = ak.to_numpy(ak.flatten(muons.eta)), ak.to_numpy(ak.flatten(muons.pt))
        factor = ak.unflatten(known["lepton"].evaluate(eta, pt), ak.num(muons))
        return ak.to_numpy(ak.prod(factor, axis=1))

    def postprocess(self, accumulator: Any) -> Any:
        """Return `accumulator` as it is."""
        return accumulator


class PhysliteZ(processor.ProcessorABC):  # type: ignore[misc]
    """Z -> ee and Z -> mumu of ATLAS PHYSLITE."""

    def process(self, events: Any) -> dict[str, Any]:
        """Return the masses, by lepton."""
        filled = (
            hist.Hist.new.Reg(60, 0, 150, name="mass").StrCat(["ee", "mm"], name="kind").Int64()
        )
        flow = {"all": len(events)}
        for kind, leptons in (("ee", events.Electrons), ("mm", events.Muons)):
            good = leptons[(leptons.pt > 10_000) & (abs(leptons.eta) < 2.5)]
            pairs = good[ak.num(good) >= 2][:, :2]
            pairs = pairs[pairs.charge[:, 0] != pairs.charge[:, 1]]
            first, second = pairs[:, 0], pairs[:, 1]
            mass = np.sqrt(
                2
                * first.pt
                * second.pt
                * (np.cosh(first.eta - second.eta) - np.cos(first.phi - second.phi))
            )
            filled.fill(mass=ak.to_numpy(mass) / 1000, kind=kind)
            flow[kind] = len(pairs)
        return {events.metadata["dataset"]: {"mass": filled, "flow": flow}}

    def postprocess(self, accumulator: Any) -> Any:
        """Return `accumulator` as it is."""
        return accumulator
