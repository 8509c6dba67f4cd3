"""Processors that tests run through sxdask and through coffea's own Runner."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import awkward as ak
import hist
import numpy as np
from coffea.analysis_tools import Weights
from coffea.processor import (
    IterativeExecutor,
    ProcessorABC,
    Runner,
    column_accumulator,
    dict_accumulator,
)


def reference(fileset: Any, processor: Any, schema: Any, **options: Any) -> Any:
    """Return what coffea's Runner gives, chunk after chunk in this thread."""
    options = {"metadata_cache": {}, **options}  # the common one forgets that metadata differ
    return Runner(IterativeExecutor(status=False), schema=schema, **options)(fileset, processor)


class DimuonMass(ProcessorABC):  # type: ignore[misc]
    """The mass of the two leading muons of opposite charge, as analyses have it."""

    def process(self, events):
        muons = events.Muon[events.Muon.pt > 10]
        pairs = muons[ak.num(muons) >= 2][:, :2]
        pairs = pairs[pairs.charge[:, 0] != pairs.charge[:, 1]]
        mass = hist.Hist.new.Reg(60, 0, 120, name="mass").Int64()
        mass.fill(mass=ak.to_numpy((pairs[:, 0] + pairs[:, 1]).mass))
        return {
            events.metadata["dataset"]: {"events": len(events), "pairs": len(pairs), "mass": mass}
        }

    def postprocess(self, accumulator):
        return accumulator


class EveryKindOfAccumulator(ProcessorABC):  # type: ignore[misc]
    """Nested dictionaries, histograms, columns, sets, lists, weights up and down."""

    def process(self, events):
        weights, ones = Weights(len(events)), np.ones(len(events))
        pt = ak.to_numpy(events.MET.pt)
        weights.add("pileup", ones, 2 * ones, 0 * ones)
        filled = hist.Hist.new.StrCat([], growth=True, name="syst").Reg(10, 0, 100, name="met")
        met = filled.Weight()
        for name in (None, "pileupUp", "pileupDown"):
            met.fill(syst=str(name), met=pt, weight=weights.weight(name))
        flow: dict[str, int] = defaultdict(int)
        flow["all"] += len(events)
        flow["high"] += int(np.sum(pt > 40))
        self.seen = getattr(self, "seen", 0) + 1  # a copy for each chunk: always 1
        return {
            "met": met,
            "old": dict_accumulator({"pt": column_accumulator(pt[pt > 100])}),
            "runs": set(events.run.to_numpy().tolist()),
            "flow": flow,
            "starts": [events.metadata["entrystart"]],
            "nested": {"deep": {"sum": int(np.sum(events.event.to_numpy()))}},
            "seen": {self.seen},
        }

    def postprocess(self, accumulator):
        accumulator["met"] = accumulator["met"].project("met", "syst")
        return accumulator


def buffers_of(events):
    """Return for forty fields of the events, or more, a digest of its type and its buffers."""
    found: dict[str, list[Any]] = {}
    layout = events.layout
    for name in events.fields[:: 1 + len(events.fields) // 80]:
        try:
            field = ak.to_packed(ak.materialize(layout[name]), highlevel=False)
        except Exception as error:  # noqa: BLE001 - both sides must fail in the same way
            found[name] = [type(error).__name__]
            continue
        form, length, buffers = ak.to_buffers(field)
        data = tuple((key, value.tobytes()) for key, value in sorted(buffers.items()))
        found[name] = [(str(form.type), length, hash(data))]
    return found
