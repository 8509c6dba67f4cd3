"""The picture of the demonstration: the Z peak, and the muon pairs that CMS saw."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import matplotlib as mpl
import numpy as np
from hist.intervals import poisson_interval
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

if TYPE_CHECKING:
    from pathlib import Path

    from sxdask.cli.demo_analysis import Spectrum

_BLUE: Final = "#3f90da"  # CMS's palette for figures, https://arxiv.org/abs/2107.02270
_RED: Final = "#bd1f01"
_GREY: Final = "#717581"
_Z_MASS: Final = 91.19  # GeV, Particle Data Group

_STYLE: Final = {
    "font.size": 12,
    "axes.linewidth": 1.0,
    "xtick.direction": "in",
    "ytick.direction": "in",
    "xtick.top": True,
    "ytick.right": True,
    "xtick.minor.visible": True,
    "ytick.minor.visible": True,
    "legend.frameon": False,
}


def draw(generated: Spectrum, real: Spectrum | None, path: Path) -> Path:
    """Draw the spectra side by side into a PNG file and return its path."""
    with mpl.rc_context(_STYLE):
        # A figure of its own, not pyplot's: no window, no state, no backend to choose.
        layout = ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.1)
        figure = Figure(figsize=(11.5 if real else 7.5, 5.2), layout=layout, dpi=150)
        if real is None:
            _draw_generated(figure.subplots(), generated)
        else:
            left, right = figure.subplots(1, 2, width_ratios=[1.45, 1])
            _draw_generated(left, generated)
            _draw_real(right, real)
        figure.savefig(path)
    return path


def _draw_generated(axes: Any, spectrum: Spectrum) -> None:
    edges = spectrum.histogram.axes[0].edges
    values = spectrum.values / 1000
    axes.stairs(values, edges, fill=True, color=_BLUE, alpha=0.35)
    axes.stairs(values, edges, color=_BLUE, linewidth=1.4, label="streamed by sxdask")
    if spectrum.other is not None:
        centres = (edges[1:] + edges[:-1]) / 2
        axes.plot(
            centres,
            spectrum.other / 1000,
            "o",
            color="black",
            markersize=3.2,
            label="coffea processor",
        )
    axes.set_xlim(edges[0], edges[-1])
    axes.set_ylim(0, values.max() * 1.28)
    axes.set_xlabel(r"$m_{\mu\mu}$  [GeV]", loc="right")
    width = edges[1] - edges[0]
    axes.set_ylabel(f"thousand events / {width:g} GeV", loc="top")
    axes.set_title(f"generated events: {spectrum.total:,} Z candidates", loc="left", fontsize=12)
    axes.legend(loc="upper left")
    peak = (edges[:-1] + width / 2)[int(np.argmax(values))]
    axes.annotate(
        f"peak at {peak:.1f} GeV",
        (peak, values.max()),
        xytext=(18, -4),
        textcoords="offset points",
        color=_GREY,
    )


def _draw_real(axes: Any, spectrum: Spectrum) -> None:
    edges = spectrum.histogram.axes[0].edges
    values = spectrum.values
    centres = (edges[1:] + edges[:-1]) / 2
    filled = values > 0
    low, high = poisson_interval(values[filled])  # central 68 %, Garwood 1936
    axes.stairs(values, edges, fill=True, color=_GREY, alpha=0.2)
    axes.errorbar(
        centres[filled],
        values[filled],
        yerr=[values[filled] - low, high - values[filled]],
        fmt="o",
        color="black",
        markersize=4.5,
        linewidth=1.2,
        label="data",
    )
    axes.axvline(_Z_MASS, color=_RED, linestyle="--", linewidth=1.2, label="Z boson")
    axes.set_xlim(edges[0], edges[-1])
    axes.set_ylim(0, high.max() * 1.25)
    axes.set_xlabel(r"$m_{\mu\mu}$  [GeV]", loc="right")
    axes.set_ylabel(f"events / {edges[1] - edges[0]:g} GeV", loc="top")
    axes.set_title(f"{spectrum.label}: {spectrum.total} pairs", loc="left", fontsize=12)
    axes.legend(loc="upper left")
