"""The eight ADL benchmark queries as an analyser writes them for ROOT's RDataFrame, in C++.

``python -m tests.adl.root_dataframe FILE...`` prints the contents of all
histograms as JSON: file, query, histogram. ROOT runs in a process of its own,
so that its threads, signal handlers and warnings are nobody else's.
"""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from tests.adl.axes import AXES, empty

if TYPE_CHECKING:
    from collections.abc import Sequence

    import hist

FUNCTIONS: Final[dict[str, str]] = {
    "q5": """
using ROOT::RVecF; using ROOT::RVecI;
bool adl_has_z(const RVecF& pt, const RVecF& eta, const RVecF& phi, const RVecI& charge) {
  for (std::size_t i = 0; i < pt.size(); ++i)
    for (std::size_t j = i + 1; j < pt.size(); ++j) {
      if (charge[i] == charge[j]) continue;
      const double mass = std::sqrt(2. * pt[i] * pt[j] *
          (std::cosh(double(eta[i]) - eta[j]) - std::cos(double(phi[i]) - phi[j])));
      if (mass > 60. && mass < 120.) return true;
    }
  return false;
}
""",
    "q6": """
using ROOT::RVecF;
struct AdlTrijet { double pt; float max_btag; };
AdlTrijet adl_trijet(const RVecF& pt, const RVecF& eta, const RVecF& phi, const RVecF& mass,
                     const RVecF& btag) {
  const auto n = pt.size();
  ROOT::RVecD px(n), py(n), pz(n), energy(n);
  for (std::size_t i = 0; i < n; ++i) {
    px[i] = pt[i] * std::cos(double(phi[i]));
    py[i] = pt[i] * std::sin(double(phi[i]));
    pz[i] = pt[i] * std::sinh(double(eta[i]));
    energy[i] = std::sqrt(px[i] * px[i] + py[i] * py[i] + pz[i] * pz[i] +
                          double(mass[i]) * mass[i]);
  }
  double closest = 1e300;
  AdlTrijet best{};
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t j = i + 1; j < n; ++j)
      for (std::size_t k = j + 1; k < n; ++k) {
        const double x = px[i] + px[j] + px[k], y = py[i] + py[j] + py[k];
        const double z = pz[i] + pz[j] + pz[k], e = energy[i] + energy[j] + energy[k];
        const double distance = std::abs(std::sqrt(e * e - x * x - y * y - z * z) - 172.5);
        if (distance < closest) {
          closest = distance;
          best = {std::hypot(x, y), std::max(std::max(btag[i], btag[j]), btag[k])};
        }
      }
  return best;
}
""",
    "q7": """
using ROOT::RVecF;
bool adl_is_near(float eta, float phi, const RVecF& pts, const RVecF& etas, const RVecF& phis) {
  for (std::size_t i = 0; i < pts.size(); ++i) {
    if (pts[i] <= 10) continue;
    const double d_eta = double(eta) - etas[i];
    double d_phi = std::abs(double(phi) - phis[i]);
    d_phi = std::min(d_phi, 2 * M_PI - d_phi);
    if (d_eta * d_eta + d_phi * d_phi < 0.4 * 0.4) return true;
  }
  return false;
}
float adl_ht(const RVecF& pt, const RVecF& eta, const RVecF& phi,
             const RVecF& mu_pt, const RVecF& mu_eta, const RVecF& mu_phi,
             const RVecF& el_pt, const RVecF& el_eta, const RVecF& el_phi) {
  float sum = 0;
  for (std::size_t i = 0; i < pt.size(); ++i)
    if (pt[i] > 30 && !adl_is_near(eta[i], phi[i], mu_pt, mu_eta, mu_phi) &&
        !adl_is_near(eta[i], phi[i], el_pt, el_eta, el_phi))
      sum += pt[i];
  return sum;
}
""",
    "q8": """
using ROOT::RVecF; using ROOT::RVecI;
double adl_transverse_mass(const RVecF& pt, const RVecF& eta, const RVecF& phi, const RVecI& id,
                           float met_pt, float met_phi) {
  const auto n = pt.size();
  double closest = 1e300;
  std::size_t first = n, second = n;
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t j = i + 1; j < n; ++j) {
      if (id[i] + id[j] != 0) continue;
      const double mass = std::sqrt(2. * pt[i] * pt[j] *
          (std::cosh(double(eta[i]) - eta[j]) - std::cos(double(phi[i]) - phi[j])));
      if (std::abs(mass - 91.2) < closest) {
        closest = std::abs(mass - 91.2);
        first = i;
        second = j;
      }
    }
  if (first == n) return -1;
  std::size_t lead = n;
  for (std::size_t i = 0; i < n; ++i)
    if (i != first && i != second && (lead == n || pt[i] > pt[lead])) lead = i;
  return std::sqrt(2. * met_pt * pt[lead] * (1 - std::cos(double(met_phi) - phi[lead])));
}
""",
}
"""What is more than one line of C++, as text for ROOT's interpreter."""


@dataclass(frozen=True, slots=True)
class Chain:
    """A query as calls on a data frame: each step is ``Filter`` or ``Define`` and its texts."""

    steps: tuple[tuple[str, ...], ...]
    columns: tuple[str, ...]  # in the order of `AXES`


CHAINS: Final[dict[str, Chain]] = {
    "q1": Chain((), ("MET_pt",)),
    "q2": Chain((), ("Jet_pt",)),
    "q3": Chain((("Define", "central_pt", "Jet_pt[abs(Jet_eta) < 1]"),), ("central_pt",)),
    "q4": Chain((("Filter", "Sum(Jet_pt > 40) >= 2"),), ("MET_pt",)),
    "q5": Chain(
        (
            ("Filter", "nMuon >= 2"),
            ("Filter", "adl_has_z(Muon_pt, Muon_eta, Muon_phi, Muon_charge)"),
        ),
        ("MET_pt",),
    ),
    "q6": Chain(
        (
            ("Filter", "nJet >= 3"),
            (
                "Define",
                "best",
                "adl_trijet(Jet_pt, Jet_eta, Jet_phi, Jet_mass, Jet_btagDeepFlavB)",
            ),
            ("Define", "trijet_pt", "best.pt"),
            ("Define", "max_btag", "best.max_btag"),
        ),
        ("trijet_pt", "max_btag"),
    ),
    "q7": Chain(
        (
            (
                "Define",
                "ht",
                (
                    "adl_ht(Jet_pt, Jet_eta, Jet_phi, Muon_pt, Muon_eta, Muon_phi, "
                    "Electron_pt, Electron_eta, Electron_phi)"
                ),
            ),
        ),
        ("ht",),
    ),
    "q8": Chain(
        (
            ("Filter", "nMuon + nElectron >= 3"),
            ("Define", "pt", "Concatenate(Muon_pt, Electron_pt)"),
            ("Define", "eta", "Concatenate(Muon_eta, Electron_eta)"),
            ("Define", "phi", "Concatenate(Muon_phi, Electron_phi)"),
            ("Define", "id", "Concatenate(13 * Muon_charge, 11 * Electron_charge)"),
            ("Define", "mt", "adl_transverse_mass(pt, eta, phi, id, MET_pt, MET_phi)"),
            ("Filter", "mt >= 0"),
        ),
        ("mt",),
    ),
}


def declare(ROOT: Any, query: str) -> None:  # noqa: N803  the name everybody knows
    """Compile the functions of `query`; a process may do it once."""
    if query in FUNCTIONS:
        ROOT.gInterpreter.Declare(FUNCTIONS[query])


def fill(ROOT: Any, query: str, files: Sequence[str]) -> dict[str, Any]:  # noqa: N803
    """Return the filled histograms of `query` over the tree ``Events`` of `files`, ROOT's own."""
    frame = ROOT.RDataFrame("Events", list(files))
    for method, *texts in CHAINS[query].steps:
        frame = getattr(frame, method)(*texts)
    booked = {
        name: frame.Histo1D((f"{query}_{name}", "", *bins), column)
        for (name, bins), column in zip(AXES[query].items(), CHAINS[query].columns, strict=True)
    }
    return {name: result.GetValue() for name, result in booked.items()}


def contents(found: Any) -> list[float]:
    """Return the numbers of entries of ROOT's histogram `found`, under- and overflow included."""
    return [found.GetBinContent(number) for number in range(found.GetNbinsX() + 2)]


def as_hist(query: str, name: str, numbers: Sequence[float]) -> hist.Hist:
    """Return `contents` as the histogram that others fill."""
    made = empty(query, name)
    made.view(flow=True)[...] = np.array(numbers)
    return made


def histograms_of(files: Sequence[Path]) -> dict[Path, dict[str, dict[str, hist.Hist]]]:
    """Return what a ROOT process gives for each of `files`: file, query, histogram."""
    command = [sys.executable, "-m", "tests.adl.root_dataframe", *map(str, files)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    found = json.loads(done.stdout.splitlines()[-1])
    return {
        Path(file): {
            query: {name: as_hist(query, name, numbers) for name, numbers in one.items()}
            for query, one in queries.items()
        }
        for file, queries in found.items()
    }


def main() -> None:
    """Print the contents of all histograms of the files that are named."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the wheel says that it is young
        import ROOT

        ROOT.gROOT.SetBatch(True)
    for query in CHAINS:
        declare(ROOT, query)
    found = {
        file: {
            query: {name: contents(made) for name, made in fill(ROOT, query, [file]).items()}
            for query in CHAINS
        }
        for file in sys.argv[1:]
    }
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main()
