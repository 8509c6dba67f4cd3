"""What the methods of the xAOD classes compute from the variables that are stored.

A formula is written in the native language; its names are other methods or
variables of the same object. What the file stores wins over a formula, except
where a method means something else than the variable of its name. Momenta are
computed in double precision from what is stored in single, as the C++ classes
do; energies, momenta and masses are MeV, lengths mm.

References
----------
.. [1] Athena, ``Event/xAOD``: ``TrackParticle_v1``, ``Muon_v1``, ``CaloCluster_v1``,
   ``MissingET_v1``, ``TruthParticle_v1``, ``TauJet_v3``.
.. [2] Particle Data Group, Review of Particle Physics (2024): masses.
"""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Final

from sxdask.core.settings import load_settings
from sxdask.core.types import Field, Schema, Unknown
from sxdask.plan.expr import Constant, columns_of, substitute, transform
from sxdask.plan.syntax import Scope, parse

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from sxdask.plan.expr import Expr, Span
    from sxdask.plan.func_adl.algebra import Algebra
    from sxdask.plan.func_adl.values import Array

_FOUR_MOMENTUM: Final = {
    "px": "float64(pt) * cos(float64(phi))",
    "py": "float64(pt) * sin(float64(phi))",
    "pz": "float64(pt) * sinh(float64(eta))",
    "p": "float64(pt) * cosh(float64(eta))",
    "e": "sqrt(p ** 2 + float64(m) ** 2)",
    "rapidity": "arcsinh(pz / hypot(float64(pt), float64(m)))",
}

_FORMULAS: Final[dict[str, dict[str, str]]] = {
    "Electron": {**_FOUR_MOMENTUM, "m": "0.51099895"},
    "Muon": {
        **_FOUR_MOMENTUM,
        "m": "105.6583755",
    },
    "Photon": {**_FOUR_MOMENTUM, "m": "0.0"},
    "Jet": _FOUR_MOMENTUM,
    "TauJet": _FOUR_MOMENTUM,
    "TauTrack": {**_FOUR_MOMENTUM, "m": "139.57039"},
    "TrackParticle": {
        **_FOUR_MOMENTUM,
        # without curvature the classes say 10 TeV
        "p": "where(qOverP == 0, 1e7, 1 / abs(float64(qOverP)))",
        "pt": "p * sin(float64(theta))",
        "eta": "-log(tan(float64(theta) / 2))",
        "phi0": "phi",
        "m": "139.57039",
        "charge": "where(qOverP > 0, 1.0, where(qOverP < 0, -1.0, 0.0))",
    },
    "TruthParticle": {
        "pt": "hypot(float64(px), float64(py))",
        "phi": "arctan2(float64(py), float64(px))",
        "eta": "arcsinh(float64(pz) / pt)",
        "p": "hypot(pt, float64(pz))",
        "rapidity": "arcsinh(float64(pz) / hypot(pt, float64(m)))",
        "absPdgId": "abs(pdgId)",
        "isElectron": "abs(pdgId) == 11",
        "isMuon": "abs(pdgId) == 13",
        "isTau": "abs(pdgId) == 15",
        "isPhoton": "pdgId == 22",
        "isZ": "pdgId == 23",
        "isW": "abs(pdgId) == 24",
        "isHiggs": "pdgId == 25",
        "isTop": "abs(pdgId) == 6",
        "isNeutrino": "(abs(pdgId) == 12) | (abs(pdgId) == 14) | (abs(pdgId) == 16)",
        "isChLepton": "(abs(pdgId) == 11) | (abs(pdgId) == 13) | (abs(pdgId) == 15)",
    },
    "CaloCluster": {
        **_FOUR_MOMENTUM,
        "e": "calE",
        "eta": "calEta",
        "phi": "calPhi",
        "m": "calM",
        "p": "copysign(sqrt(float64(calE) ** 2 - float64(calM) ** 2), float64(calE))",
        "pt": "p / cosh(float64(calEta))",
    },
    "MissingET": {
        "met": "hypot(float64(mpx), float64(mpy))",
        "phi": "arctan2(float64(mpy), float64(mpx))",
    },
}

OVERRIDING: Final[dict[str, dict[str, str]]] = {
    "Muon": {
        "quality": "quality & 3",
        "passesIDCuts": "(quality & 8) != 0",
        "passesHighPtCuts": "(quality & 16) != 0",
    },
}
"""Methods whose names are variables of another meaning; within, names are variables."""

COUNTS: Final[dict[tuple[str, str], str]] = {
    ("Electron", "nTrackParticles"): "trackParticleLinks",
    ("Electron", "nCaloClusters"): "caloClusterLinks",
    ("Photon", "nCaloClusters"): "caloClusterLinks",
    ("Photon", "nVertices"): "vertexLinks",
    ("Jet", "numConstituents"): "constituentLinks",
    ("TauJet", "nAllTracks"): "tauTrackLinks",
    ("TruthParticle", "nParents"): "parentLinks",
    ("TruthParticle", "nChildren"): "childLinks",
    ("TruthVertex", "nIncomingParticles"): "incomingParticleLinks",
    ("TruthVertex", "nOutgoingParticles"): "outgoingParticleLinks",
    ("Vertex", "nTrackParticles"): "trackParticleLinks",
}
"""Class and method -> the variable whose items are counted."""


def formula(kind: str, method: str) -> str | None:
    """Return what `method` of class `kind` computes; None if nothing."""
    return _FORMULAS.get(kind, {}).get(method)


def methods_of(kind: str, stored: Collection[str] | None = None) -> tuple[str, ...]:
    """Return the methods of class `kind` that compute something.

    With the names of `stored` variables, without counts of what is not stored.
    """
    counts = (
        method
        for (owner, method), links in COUNTS.items()
        if owner == kind and (stored is None or links in stored)
    )
    return (*_FORMULAS.get(kind, {}), *OVERRIDING.get(kind, {}), *counts)


def computed(
    algebra: Algebra, text: str, value: Callable[[str], Array], span: Span | None
) -> Array:
    """Return what the formula `text` gives, where `value` tells what its names are.

    Errors about it point at `span` of the user's text.
    """
    template = transform(_parsed(text), lambda node: replace(node, span=span))
    names = columns_of(template)
    if not names and isinstance(template, Constant):
        return algebra.constant(template.value, span)
    arrays = [value(name) for name in names]

    def node(*parts: Expr) -> Expr:
        return substitute(template, dict(zip(names, parts, strict=True)))

    return algebra.elementwise(node, *arrays)


_NAME: Final = re.compile(r"\b[A-Za-z_]\w*\b(?!\s*\()")


@cache
def _parsed(text: str) -> Expr:
    names = dict.fromkeys(_NAME.findall(text))
    known = Schema(tuple(Field(name, Unknown()) for name in names))
    return parse(text, Scope(known, load_settings({})))
