"""What a detector makes of a collision: muons, electrons, jets, missing momentum, triggers.

Branch names and types are those of CMS NanoAOD version 12.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from sxdask.testing.collisions import BOTTOM, ELECTRON, ELECTRON_MASS, MUON, MUON_MASS, Truth
from sxdask.testing.kinematics import FourVector, reduce_mantissa

Columns: TypeAlias = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Collection:
    """Objects of a block of events in event order: how many an event, and their columns."""

    counts: npt.NDArray[np.int64]
    columns: Columns


def _float(values: npt.NDArray[Any], bits: int = 12) -> npt.NDArray[np.float32]:
    return reduce_mantissa(values.astype(np.float32), bits)


def _collect(
    num_events: int, event: npt.NDArray[np.int64], pt: npt.NDArray[np.float64], columns: Columns
) -> Collection:
    """Sort objects by event and falling transverse momentum, as NanoAOD stores them."""
    order = np.lexsort((-pt, event))
    counts = np.bincount(event, minlength=num_events)
    return Collection(counts, {name: values[order] for name, values in columns.items()})


def leptons(rng: np.random.Generator, truth: Truth, *, flavour: int) -> Collection:
    """Measure the muons or the electrons and add those from decays inside jets."""
    is_muon = flavour == MUON
    mass, max_eta, min_pt = (MUON_MASS, 2.4, 3.0) if is_muon else (ELECTRON_MASS, 2.5, 5.0)
    num_events = truth.process.size
    source = np.flatnonzero(np.abs(truth.pdg_id) == flavour)
    momentum = truth.momentum
    soft_event = np.repeat(
        np.arange(num_events), rng.poisson(0.35 if is_muon else 0.25, num_events)
    )
    num_prompt, num_soft = source.size, soft_event.size
    pt_true = np.hypot(momentum.px[source], momentum.py[source])
    eta_true = np.arcsinh(momentum.pz[source] / np.maximum(pt_true, 1e-4))
    phi_true = np.arctan2(momentum.py[source], momentum.px[source])
    resolution = 0.012 if is_muon else 0.018
    pt = np.concatenate(
        [
            pt_true * (1 + resolution * rng.standard_normal(num_prompt)),
            min_pt + rng.exponential(5.0, num_soft),
        ]
    )
    eta = np.concatenate([eta_true, rng.uniform(-max_eta, max_eta, num_soft)])
    phi = np.concatenate([phi_true, rng.uniform(-np.pi, np.pi, num_soft)])
    charge = np.concatenate(
        [-np.sign(truth.pdg_id[source]), rng.choice(np.array([-1, 1]), num_soft)]
    )
    prompt = np.arange(pt.size) < num_prompt
    link = np.concatenate([truth.position[source], np.full(num_soft, -1)])
    event = np.concatenate([truth.event[source], soft_event])
    seen = (pt > min_pt) & (np.abs(eta) < max_eta) & (rng.random(pt.size) < 0.95)
    pt, eta, phi, charge, prompt, link, event = (
        values[seen] for values in (pt, eta, phi, charge, prompt, link, event)
    )
    num = pt.size
    isolation = np.where(prompt, rng.exponential(0.04, num), 0.1 + rng.exponential(0.8, num))
    columns: Columns = {
        "pt": pt.astype(np.float32),
        "eta": _float(eta),
        "phi": _float(phi),
        "mass": np.full(num, mass, dtype=np.float32),
        "charge": charge.astype(np.int32),
        "pdgId": (-charge * flavour).astype(np.int32),
        "dxy": _float(rng.normal(0, 1, num) * np.where(prompt, 0.003, 0.03), 10),
        "dz": _float(rng.normal(0, 1, num) * np.where(prompt, 0.006, 0.06), 10),
        "sip3d": _float(rng.exponential(1, num) * np.where(prompt, 1.2, 6), 10),
        "genPartIdx": link.astype(np.int16),
        "genPartFlav": np.where(prompt, 1, rng.choice(np.array([0, 4, 5]), num)).astype(np.uint8),
    }
    quality = rng.random(num)
    if is_muon:
        columns |= {
            "pfRelIso03_all": _float(isolation * 0.8, 10),
            "pfRelIso04_all": _float(isolation, 10),
            "looseId": quality < np.where(prompt, 0.998, 0.95),
            "mediumId": quality < np.where(prompt, 0.985, 0.75),
            "tightId": quality < np.where(prompt, 0.965, 0.5),
            "isGlobal": quality < np.where(prompt, 0.99, 0.7),
            "nStations": rng.integers(1, 5, num, dtype=np.uint8),
        }
    else:
        columns |= {
            "deltaEtaSC": _float(rng.normal(0, 0.02, num), 10),
            "r9": _float(np.minimum(rng.normal(0.93, 0.06, num), 1.1), 10),
            "pfRelIso03_all": _float(isolation, 10),
            "cutBased": np.where(
                prompt, rng.choice(5, num, p=[0.02, 0.03, 0.1, 0.15, 0.7]), rng.choice(5, num)
            ).astype(np.uint8),
            "mvaIso": _float(np.where(prompt, 1 - 2 * quality**8, 2 * quality - 1), 10),
            "mvaIso_WP90": quality < np.where(prompt, 0.9, 0.15),
            "convVeto": rng.random(num) < 0.97,
        }
    return _collect(num_events, event, pt, columns)


def jets(rng: np.random.Generator, truth: Truth) -> Collection:
    """Make jets of the quarks and gluons and add radiation and pile-up."""
    num_events = truth.process.size
    source = np.flatnonzero(
        (truth.status == 23) & ((np.abs(truth.pdg_id) <= BOTTOM) | (truth.pdg_id == 21))
    )
    momentum = truth.momentum
    parton_pt = np.hypot(momentum.px[source], momentum.py[source])
    event_more = np.repeat(np.arange(num_events), rng.poisson(2.2, num_events))
    num_hard, num_more = source.size, event_more.size
    pt = np.concatenate(
        [
            parton_pt * np.maximum(rng.normal(0.98, 0.13, num_hard), 0.2),
            15 * rng.random(num_more) ** (-1 / 3.5),
        ]
    )
    eta = np.concatenate(
        [
            np.arcsinh(momentum.pz[source] / np.maximum(parton_pt, 1e-4)),
            np.clip(rng.normal(0, 2.2, num_more), -4.7, 4.7),
        ]
    )
    phi = np.concatenate(
        [
            np.arctan2(momentum.py[source], momentum.px[source]),
            rng.uniform(-np.pi, np.pi, num_more),
        ]
    )
    parton = np.concatenate([truth.pdg_id[source], rng.choice(np.array([21, 1, 2]), num_more)])
    event = np.concatenate([truth.event[source], event_more])
    seen = (pt > 15) & (np.abs(eta) < 4.7)
    pt, eta, phi, parton, event = (values[seen] for values in (pt, eta, phi, parton, event))
    num = pt.size
    hadron = np.where(np.abs(parton) == 5, 5, np.where(np.abs(parton) == 4, 4, 0))
    # Two populations: bottom jets pile up near one, light ones near zero.
    exponent = np.select([hadron == 5, hadron == 4], [0.12, 1.5], default=7.0)
    tag = rng.random(num) ** exponent
    stored_eta = _float(eta)
    inside = np.abs(stored_eta) < 2.5
    neutral = rng.beta(2, 6, num)
    columns: Columns = {
        "pt": pt.astype(np.float32),
        "eta": stored_eta,
        "phi": _float(phi),
        "mass": _float(pt * np.abs(rng.normal(0.12, 0.03, num)), 10),
        "rawFactor": _float(rng.normal(0.05, 0.03, num), 6),
        "area": _float(rng.normal(0.5, 0.03, num), 10),
        "btagDeepFlavB": _float(np.where(inside, tag, -1), 10),
        "btagDeepFlavCvB": _float(np.where(inside, rng.random(num), -1), 10),
        "neHEF": _float(neutral, 6),
        "chHEF": _float((1 - neutral) * rng.beta(6, 3, num), 6),
        "nConstituents": rng.poisson(12, num).astype(np.uint8),
        "jetId": np.where(rng.random(num) < 0.97, 6, 2).astype(np.uint8),
        "hadronFlavour": hadron.astype(np.uint8),
        "partonFlavour": parton.astype(np.int16),
    }
    return _collect(num_events, event, pt, columns)


def gen_particles(truth: Truth) -> Collection:
    """Return the generated particles in NanoAOD's columns."""
    momentum: FourVector = truth.momentum
    stays = momentum.mass > 10  # NanoAOD stores the mass of heavy particles only
    columns: Columns = {
        "pt": _float(momentum.pt, 10),
        "eta": _float(momentum.eta, 10),
        "phi": _float(momentum.phi, 10),
        "mass": _float(np.where(stays, momentum.mass, 0), 10),
        "pdgId": truth.pdg_id.astype(np.int32),
        "status": truth.status.astype(np.int32),
        "statusFlags": np.where(truth.mother < 0, 0x2181, 0x2081).astype(np.uint16),
        "genPartIdxMother": truth.mother.astype(np.int16),
    }
    return Collection(np.bincount(truth.event, minlength=truth.process.size), columns)


def missing_momentum(rng: np.random.Generator, truth: Truth, found: Collection) -> Columns:
    """Return MET: the neutrinos' momentum and a resolution that grows with activity."""
    num_events = truth.process.size
    invisible = np.isin(np.abs(truth.pdg_id), (ELECTRON + 1, MUON + 1))
    event = truth.event[invisible]
    owner = np.repeat(np.arange(num_events), found.counts)
    activity = np.bincount(owner, weights=found.columns["pt"], minlength=num_events)
    total = 250 + rng.gamma(4, 60, num_events) + activity
    spread = 0.55 * np.sqrt(total) * (1 + (rng.random(num_events) < 0.02) * 2)
    component = [
        np.bincount(event, weights=values[invisible], minlength=num_events)
        + spread * rng.standard_normal(num_events)
        for values in (truth.momentum.px, truth.momentum.py)
    ]
    pt = np.hypot(*component)
    return {
        "MET_pt": pt.astype(np.float32),
        "MET_phi": _float(np.arctan2(component[1], component[0])),
        "MET_sumEt": _float(total, 10),
        "MET_significance": _float((pt / spread) ** 2, 10),
        "GenMET_pt": _float(
            np.hypot(
                np.bincount(event, weights=truth.momentum.px[invisible], minlength=num_events),
                np.bincount(event, weights=truth.momentum.py[invisible], minlength=num_events),
            ),
            10,
        ),
    }


def triggers(rng: np.random.Generator, collections: dict[str, Collection], met: Columns) -> Columns:
    """Return HLT decisions: thresholds on what was measured, with an efficiency."""
    num_events = met["MET_pt"].size
    muons, electrons, jet = (collections[name] for name in ("Muon", "Electron", "Jet"))

    def num_above(found: Collection, threshold: float) -> npt.NDArray[np.int64]:
        owner = np.repeat(np.arange(num_events), found.counts)
        return np.bincount(owner[found.columns["pt"] > threshold], minlength=num_events)

    owner = np.repeat(np.arange(num_events), jet.counts)
    scalar_sum = np.bincount(owner, weights=jet.columns["pt"], minlength=num_events)
    fired = rng.random((6, num_events)) < 0.93
    return {
        "HLT_IsoMu24": fired[0] & (num_above(muons, 24) > 0),
        "HLT_Mu17_TrkIsoVVL_Mu8_TrkIsoVVL_DZ_Mass3p8": fired[1]
        & (num_above(muons, 17) > 0)
        & (num_above(muons, 8) > 1),
        "HLT_Ele32_WPTight_Gsf": fired[2] & (num_above(electrons, 32) > 0),
        "HLT_Ele23_Ele12_CaloIdL_TrackIdL_IsoVL": fired[3]
        & (num_above(electrons, 23) > 0)
        & (num_above(electrons, 12) > 1),
        "HLT_PFMET120_PFMHT120_IDTight": fired[4] & (met["MET_pt"] > 120),
        "HLT_PFHT1050": fired[5] & (scalar_sum > 1050),
    }
