"""Simulated proton collisions: what was produced, before the detector looks at it.

A mixture of Z and W boson production, top pairs and multijet events, with
shapes good enough that cuts select, histograms peak and columns compress as
they do in real files. It is no physics generator.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from sxdask.testing.kinematics import (
    Float64,
    FourVector,
    breit_wigner,
    decay,
    from_rapidity,
)

# Particle Data Group: masses and widths in GeV, and particle numbers.
Z_MASS, Z_WIDTH = 91.1876, 2.4955
W_MASS, W_WIDTH = 80.369, 2.085
TOP_MASS, BOTTOM_MASS = 172.57, 4.18
MUON_MASS, ELECTRON_MASS = 0.1056584, 0.000511
ELECTRON, MUON, BOTTOM, TOP, GLUON, Z_BOSON, W_BOSON = 11, 13, 5, 6, 21, 23, 24

# Shares of the processes, cumulative: Z to muons, Z to electrons, W, top pairs; the rest multijet.
PROCESS_EDGES = (0.14, 0.25, 0.45, 0.57)
Z_MUMU, Z_EE, W_LNU, TOP_PAIR, MULTIJET = range(5)

Int64 = npt.NDArray[np.int64]


@dataclass(slots=True)
class Particles:
    """Rows of particles; lists of arrays of the same lengths, joined by `joined`."""

    event: list[Int64] = field(default_factory=list)
    pdg_id: list[Int64] = field(default_factory=list)
    mother: list[Int64] = field(default_factory=list)
    status: list[Int64] = field(default_factory=list)
    momentum: list[FourVector] = field(default_factory=list)

    def add(
        self,
        event: Int64,
        pdg_id: Int64 | int,
        momentum: FourVector,
        *,
        mother: int = -1,
        status: int = 1,
    ) -> None:
        """Append one particle to each of the events `event`."""
        self.event.append(event)
        self.pdg_id.append(np.broadcast_to(np.asarray(pdg_id, dtype=np.int64), event.shape))
        self.mother.append(np.full(event.shape, mother, dtype=np.int64))
        self.status.append(np.full(event.shape, status, dtype=np.int64))
        self.momentum.append(momentum)


@dataclass(frozen=True, slots=True)
class Truth:
    """Generated particles of a block in event order, shape ``(n,)`` each; `position` in its event.

    `process` is the kind of each event, shape ``(num_events,)``.
    """

    process: Int64
    event: Int64
    position: Int64
    pdg_id: Int64
    mother: Int64
    status: Int64
    momentum: FourVector


def generate(rng: np.random.Generator, num_events: int) -> Truth:
    """Generate `num_events` collisions."""
    process = np.searchsorted(PROCESS_EDGES, rng.random(num_events), side="right")
    found = Particles()
    for kind, lepton, mass in ((Z_MUMU, MUON, MUON_MASS), (Z_EE, ELECTRON, ELECTRON_MASS)):
        _z_boson(rng, np.flatnonzero(process == kind), found, lepton=lepton, mass=mass)
    _w_boson(rng, np.flatnonzero(process == W_LNU), found)
    _top_pair(rng, np.flatnonzero(process == TOP_PAIR), found)
    _multijet(rng, np.flatnonzero(process == MULTIJET), found)
    return _in_event_order(process, found)


def _boson(
    rng: np.random.Generator, num: int, mass: Float64, *, mean_pt: float, spread: float = 1.4
) -> FourVector:
    """Draw heavy particles with a soft, falling transverse momentum."""
    pt = rng.gamma(1.4, mean_pt / 1.4, num)
    rapidity = np.clip(rng.normal(0, spread, num), -4, 4)
    return from_rapidity(pt, rapidity, rng.uniform(-np.pi, np.pi, num), mass)


def _z_boson(
    rng: np.random.Generator, event: Int64, found: Particles, *, lepton: int, mass: float
) -> None:
    masses = breit_wigner(rng, event.size, mass=Z_MASS, width=Z_WIDTH, limits=(40, 300))
    boson = _boson(rng, event.size, masses, mean_pt=18)
    minus, plus = decay(rng, boson, mass, mass)
    found.add(event, Z_BOSON, boson, status=62)
    found.add(event, lepton, minus, mother=0)
    found.add(event, -lepton, plus, mother=0)


def _w_boson(rng: np.random.Generator, event: Int64, found: Particles) -> None:
    masses = breit_wigner(rng, event.size, mass=W_MASS, width=W_WIDTH, limits=(40, 200))
    boson = _boson(rng, event.size, masses, mean_pt=16)
    sign = rng.choice(np.array([-1, 1]), event.size)
    found.add(event, W_BOSON * sign, boson, status=62)
    _leptonic(rng, event, boson, sign, found, mother=0)


def _leptonic(
    rng: np.random.Generator,
    event: Int64,
    boson: FourVector,
    sign: Int64,
    found: Particles,
    *,
    mother: int,
) -> None:
    """Decay W bosons of charge `sign` to a muon or an electron and its neutrino."""
    flavour = np.where(rng.random(event.size) < 0.5, MUON, ELECTRON)
    mass = np.where(flavour == MUON, MUON_MASS, ELECTRON_MASS)
    neutrino, lepton = decay(rng, boson, 0.0, mass)
    found.add(event, -sign * flavour, lepton, mother=mother)
    found.add(event, sign * (flavour + 1), neutrino, mother=mother)


def _top_pair(rng: np.random.Generator, event: Int64, found: Particles) -> None:
    num = event.size
    top = _boson(rng, num, np.full(num, TOP_MASS), mean_pt=110, spread=1.0)
    back = from_rapidity(
        top.pt, np.clip(rng.normal(0, 1.0, num), -4, 4), top.phi + np.pi, np.full(num, TOP_MASS)
    )
    found.add(event, TOP, top, status=62)
    found.add(event, -TOP, back, status=62)
    for mother, (parent, sign) in enumerate(((top, 1), (back, -1))):
        mass = breit_wigner(rng, num, mass=W_MASS, width=W_WIDTH, limits=(60, 110))
        bottom, boson = decay(rng, parent, BOTTOM_MASS, mass)
        found.add(event, sign * BOTTOM, bottom, mother=mother, status=23)
        found.add(event, sign * W_BOSON, boson, mother=mother, status=22)
        leptonic = rng.random(num) < 0.3
        charge = np.full(num, sign, dtype=np.int64)
        for wanted in (True, False):
            chosen = np.flatnonzero(leptonic == wanted)
            part = FourVector(
                boson.px[chosen], boson.py[chosen], boson.pz[chosen], boson.mass[chosen]
            )
            # Position of this W: two tops, then bottom, W and two decay products a top.
            position = 3 + 4 * mother
            if wanted:
                _leptonic(rng, event[chosen], part, charge[chosen], found, mother=position)
            else:
                for index, quark in enumerate(decay(rng, part, 0.1, 0.1)):
                    flavour = rng.choice(np.array([1, 3] if index else [2, 4]), chosen.size)
                    found.add(
                        event[chosen],
                        flavour * charge[chosen] * (1 - 2 * index),
                        quark,
                        mother=position,
                        status=23,
                    )


def _multijet(rng: np.random.Generator, event: Int64, found: Particles) -> None:
    num = event.size
    pt = 25 * rng.random(num) ** (-1 / 4.0)  # dN/dpT falls as the fifth power
    phi = rng.uniform(-np.pi, np.pi, num)
    massless = np.zeros(num)
    flavour = rng.choice(np.array([GLUON, 1, 2, 3, 4, 5]), num, p=[0.6, 0.1, 0.1, 0.08, 0.06, 0.06])
    for side in range(2):
        rapidity = np.clip(rng.normal(0, 1.6, num), -4.5, 4.5)
        parton = from_rapidity(pt, rapidity, phi + np.pi * side, massless)
        found.add(event, flavour, parton, status=23)


def _in_event_order(process: Int64, found: Particles) -> Truth:
    event = np.concatenate(found.event)
    order = np.argsort(event, kind="stable")
    event = event[order]
    counts = np.bincount(event, minlength=process.size)
    starts = np.cumsum(counts) - counts

    def joined(parts: list[npt.NDArray[np.float64]]) -> Float64:
        return np.concatenate(parts)[order]

    return Truth(
        process=process,
        event=event,
        position=np.arange(event.size) - starts[event],
        pdg_id=np.concatenate(found.pdg_id)[order],
        mother=np.concatenate(found.mother)[order],
        status=np.concatenate(found.status)[order],
        momentum=FourVector(
            joined([item.px for item in found.momentum]),
            joined([item.py for item in found.momentum]),
            joined([item.pz for item in found.momentum]),
            joined([item.mass for item in found.momentum]),
        ),
    )
