"""The histograms of the eight ADL benchmark queries.

Numbers and widths of bins are powers of two, so that the bin of a value is the
same for whoever computes it: ``(x - start) / (stop - start) * bins`` is exact
in whatever order it is evaluated, also where `x` lies on an edge.
"""

from __future__ import annotations

from typing import Final

import hist

AXES: Final[dict[str, dict[str, tuple[int, float, float]]]] = {
    "q1": {"met": (128, 0.0, 256.0)},
    "q2": {"jet_pt": (128, 0.0, 256.0)},
    "q3": {"jet_pt": (128, 0.0, 256.0)},
    "q4": {"met": (128, 0.0, 256.0)},
    "q5": {"met": (128, 0.0, 256.0)},
    "q6": {"trijet_pt": (128, 0.0, 512.0), "max_btag": (64, 0.0, 1.0)},
    "q7": {"ht": (128, 0.0, 1024.0)},
    "q8": {"transverse_mass": (128, 0.0, 256.0)},
}
"""Histogram by histogram of each query: bins, start and stop."""


def empty(query: str, name: str) -> hist.Hist:
    """Return histogram `name` of `query` with nothing in it; `name` is the column filled in."""
    bins, start, stop = AXES[query][name]
    return hist.Hist(hist.axis.Regular(bins, start, stop, name=name))
