"""Four-vectors of generated particles: resonances, two-body decays, detector coordinates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Float64: TypeAlias = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class FourVector:
    """Momenta of n particles in GeV, each component of shape ``(n,)``."""

    px: Float64
    py: Float64
    pz: Float64
    mass: Float64

    @property
    def pt(self) -> Float64:
        """Transverse momentum."""
        return np.hypot(self.px, self.py)

    @property
    def phi(self) -> Float64:
        """Azimuth in ``(-pi, pi]``."""
        return np.arctan2(self.py, self.px)

    @property
    def eta(self) -> Float64:
        """Pseudorapidity; beyond 10 where the particle stays in the beam pipe."""
        return np.arcsinh(self.pz / np.maximum(self.pt, 1e-4))

    @property
    def energy(self) -> Float64:
        """Energy."""
        return np.sqrt(self.px**2 + self.py**2 + self.pz**2 + self.mass**2)


def from_rapidity(pt: Float64, rapidity: Float64, phi: Float64, mass: Float64) -> FourVector:
    """Return the momenta of particles with the given transverse momentum and rapidity."""
    pz = np.sqrt(pt**2 + mass**2) * np.sinh(rapidity)
    return FourVector(pt * np.cos(phi), pt * np.sin(phi), pz, mass)


def breit_wigner(
    rng: np.random.Generator, num: int, *, mass: float, width: float, limits: tuple[float, float]
) -> Float64:
    """Draw `num` masses from a non-relativistic Breit-Wigner cut at `limits`, all in GeV.

    The inverse of the distribution function is used between the limits, so
    that no draw is thrown away and the number of random numbers is fixed.
    """
    low, high = (np.arctan(2 * (edge - mass) / width) for edge in limits)
    return mass + width / 2 * np.tan(rng.uniform(low, high, num))


def decay(
    rng: np.random.Generator, parent: FourVector, first: float, second: Float64 | float
) -> tuple[FourVector, FourVector]:
    """Decay each parent to two particles of masses `first` and `second`, isotropically."""
    num = parent.px.size
    mass = parent.mass
    momentum = np.sqrt(
        np.maximum((mass**2 - (first + second) ** 2) * (mass**2 - (first - second) ** 2), 0)
    ) / (2 * mass)
    cosine, phi = rng.uniform(-1, 1, num), rng.uniform(-np.pi, np.pi, num)
    sine = np.sqrt(1 - cosine**2)
    here = (momentum * sine * np.cos(phi), momentum * sine * np.sin(phi), momentum * cosine)
    return (
        _boosted(here, np.full(num, first, dtype=np.float64), parent),
        _boosted((-here[0], -here[1], -here[2]), np.broadcast_to(second, num) * 1.0, parent),
    )


def _boosted(
    momentum: tuple[Float64, Float64, Float64], mass: Float64, parent: FourVector
) -> FourVector:
    """Take momenta from the parent's rest frame to the laboratory."""
    px, py, pz = momentum
    energy = np.sqrt(px**2 + py**2 + pz**2 + mass**2)
    along = px * parent.px + py * parent.py + pz * parent.pz
    factor = (along / (parent.energy + parent.mass) + energy) / parent.mass
    return FourVector(
        px + factor * parent.px, py + factor * parent.py, pz + factor * parent.pz, mass
    )


def reduce_mantissa(values: npt.NDArray[np.float32], bits: int) -> npt.NDArray[np.float32]:
    """Round to `bits` bits of mantissa, as NanoAOD does so that columns compress.

    See ``MiniFloatConverter::reduceMantissaToNbitsRounding`` in CMSSW.
    """
    drop = 23 - bits
    pattern = values.view(np.uint32)
    kept = (pattern + np.uint32(1 << (drop - 1))) & np.uint32((0xFFFFFFFF << drop) & 0xFFFFFFFF)
    return kept.view(np.float32)
