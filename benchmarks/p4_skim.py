"""P4: events of a file that pass a selection of 0.1 %, with 100 columns of them."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import awkward as ak
import uproot

import sxdask as sx
from benchmarks.data import one_file
from benchmarks.harness import Row, Times, in_turn, paired_row

if TYPE_CHECKING:
    from pathlib import Path

NUM_EVENTS = 1_000_000
RANDOM = "(MET_phi > 0) & (MET_phi < 0.00628)"
CLUSTERED = "(event > 500000) & (event <= 501000)"


def rows(runs: int) -> list[Row]:
    """Measure a condition that holds anywhere and one that holds in one place, by cluster size."""
    found: list[Row] = []
    columns: list[str] = []
    for cluster in (1_000, 10_000, 50_000):
        path = one_file(NUM_EVENTS, extra=40, cluster=cluster)
        names = [name for name in sx.dataset(path).schema if name not in {"MET_phi", "event"}]
        columns = names[:100]
        compared = partial(_compare, path, columns, runs)
        size = f"clusters of {cluster:,} events"
        found += [
            paired_row("P4", f"anywhere, {size}", compared(RANDOM), 5),
            paired_row("P4", f"in one place, {size}", compared(CLUSTERED), 20),
        ]
    whole = one_file(NUM_EVENTS, extra=40, cluster=10_000)
    found.append(
        paired_row("P4", "no condition, 100 columns", _compare(whole, columns, runs, None))
    )
    return found


def _compare(path: Path, columns: list[str], runs: int, cut: str | None) -> tuple[Times, Times]:
    def ours() -> ak.Array:
        data = sx.dataset(path, "Events")
        query = data.where(cut).select(*columns) if cut else data.select(*columns)
        return query.compute()

    def peer() -> ak.Array:
        with uproot.open(path) as file:
            return file["Events"].arrays(columns, cut=cut)

    return in_turn(ours, peer, ak.array_equal, runs=runs)
