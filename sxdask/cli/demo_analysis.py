"""The physics of the demonstration: dimuon masses, as a request and as a coffea processor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import awkward as ak
import hist
import numpy as np
import numpy.typing as npt
from coffea.nanoevents import NanoAODSchema, NanoEventsFactory
from coffea.nanoevents.mapping import SimplePreloadedColumnSource
from coffea.processor import ProcessorABC, accumulate

if TYPE_CHECKING:
    from sxdask.api import Dataset, Query

# Invariant mass of two massless particles, in GeV.
MASS: Final = (
    "sqrt(2 * Muon_pt[:, 0] * Muon_pt[:, 1] *"
    " (cosh(Muon_eta[:, 0] - Muon_eta[:, 1]) - cos(Muon_phi[:, 0] - Muon_phi[:, 1])))"
)
MAX_ISOLATION: Final = 0.25

COFFEA_COLUMNS: Final = (
    "run",
    "luminosityBlock",
    "event",
    "nMuon",
    *(f"Muon_{name}" for name in ("pt", "eta", "phi", "mass", "charge", "pfRelIso04_all")),
)

# Of all events, how many may change their bin by rounding and by the mass of the muon.
_MOST_MOVED: Final = 1e-3


@dataclass(frozen=True, slots=True)
class Binning:
    """Equal bins of mass in GeV."""

    bins: int
    low: float
    high: float


GENERATED: Final = Binning(60, 60.0, 120.0)
REAL: Final = Binning(15, 0.0, 120.0)


@dataclass(slots=True)
class Spectrum:
    """A histogram of masses; `other` are the counts that another program found."""

    binning: Binning
    label: str
    histogram: hist.Hist
    other: npt.NDArray[np.float64] | None = None

    @classmethod
    def empty(cls, binning: Binning, label: str) -> Spectrum:
        """Return a histogram without entries."""
        return cls(binning, label, _histogram(binning))

    def fill(self, masses: Any) -> None:
        """Add masses, an Arrow column or an awkward array."""
        self.histogram.fill(mass=np.asarray(masses))

    @property
    def values(self) -> npt.NDArray[np.float64]:
        """Counts, shape ``(bins,)``."""
        return np.asarray(self.histogram.values())

    @property
    def total(self) -> int:
        """Entries in all bins."""
        return int(self.values.sum())

    @property
    def moved(self) -> int:
        """How many entries the other program has in another bin, or has not."""
        if self.other is None:
            return 0
        difference = self.values - self.other
        return int(max(difference[difference > 0].sum(), -difference[difference < 0].sum()))

    @property
    def tolerance(self) -> float:
        """How many of the entries may be in another bin."""
        return _MOST_MOVED * self.total


def _histogram(binning: Binning) -> hist.Hist:
    axis = hist.axis.Regular(binning.bins, binning.low, binning.high, name="mass")
    return hist.Hist(axis)


def pair_query(data: Dataset, *, low: float, high: float) -> Query:
    """Return the events whose two leading muons have opposite charge."""
    return (
        data.where("nMuon >= 2")
        .where("Muon_charge[:, 0] + Muon_charge[:, 1] == 0")
        .where(f"({MASS} > {low}) & ({MASS} < {high})")
        .select("run", "event", dimuon_mass=MASS)
    )


def z_query(data: Dataset) -> Query:
    """Return the Z candidates: two isolated muons of opposite charge near the Z mass."""
    return (
        data.where("nMuon == 2")
        .where("sum(Muon_charge) == 0")
        .where(f"all(Muon_pfRelIso04_all < {MAX_ISOLATION})")
        .where(f"({MASS} >= {GENERATED.low}) & ({MASS} < {GENERATED.high})")
        .select("event", dimuon_mass=MASS, leading_pt="Muon_pt[:, 0]", trailing_pt="Muon_pt[:, 1]")
    )


class _Schema(NanoAODSchema):  # type: ignore[misc]
    """NanoAOD without remarks on collections that were not asked for."""

    warn_missing_crossrefs = False


class DimuonProcessor(ProcessorABC):  # type: ignore[misc]
    """The same selection as coffea's users write it: objects, masks and four-vectors."""

    def process(self, events: Any) -> dict[str, hist.Hist]:
        """Return the histogram of one chunk of events."""
        muons = events.Muon
        kept = (ak.sum(muons.charge, axis=1) == 0) & ak.all(
            muons.pfRelIso04_all < MAX_ISOLATION, axis=1
        )
        pairs = muons[kept]
        found = _histogram(GENERATED)
        found.fill(mass=np.asarray((pairs[:, 0] + pairs[:, 1]).mass))
        return {"mass": found}

    def postprocess(self, accumulator: Any) -> Any:
        """Return the sum of all chunks as it is."""
        return accumulator


def run_processor(query: Query, client: Any) -> npt.NDArray[np.float64]:
    """Feed every partition to the processor as NanoEvents; return the counts."""
    processor = DimuonProcessor()
    total: dict[str, hist.Hist] = {"mass": _histogram(GENERATED)}
    for part in query.stream(client=client, progress=True):
        rows = ak.from_arrow(part.table)
        source = SimplePreloadedColumnSource(
            {name: rows[name] for name in rows.fields},
            uuid=f"{part.file}:{part.entry_start}",
            num_rows=len(rows),
            object_path="Events",
        )
        events = NanoEventsFactory.from_preloaded(source, schemaclass=_Schema).events()
        total = accumulate([processor.process(events)], total)
    return np.asarray(processor.postprocess(total)["mass"].values())
