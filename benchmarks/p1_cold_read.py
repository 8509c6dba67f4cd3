"""P1: ten columns of a file with 1 500 branches; the index is warm, nothing is open."""

from __future__ import annotations

from typing import TYPE_CHECKING

import awkward as ak
import uproot

import sxdask as sx
from benchmarks.data import TEN, one_file, real_file
from benchmarks.harness import Row, in_turn, paired_row
from sxdask.pipeline.compile import compile_plan

if TYPE_CHECKING:
    from pathlib import Path

REAL_TEN = (
    *("run", "event", "MET_pt", "MET_phi", "PV_npvs", "nMuon"),
    *("Muon_pt", "Muon_eta", "Jet_pt", "Electron_pt"),
)


def rows(runs: int) -> list[Row]:
    """Measure what a worker does for a partition, and the whole call of a user."""
    found: list[Row] = []
    cases = [
        (f"real CMS file, {real_file().name}", real_file(), REAL_TEN),
        ("10 000 events, 1 500 branches", one_file(10_000, extra=1_420, cluster=5_000), TEN),
        ("100 000 events, 1 500 branches", one_file(100_000, extra=1_420, cluster=50_000), TEN),
    ]
    for name, path, columns in cases:
        found.extend(_case(name, path, columns, runs))
    return found


def _case(name: str, path: Path, columns: tuple[str, ...], runs: int) -> list[Row]:
    data = sx.dataset(path, "Events")
    query = data.select(*columns)
    (table,) = compile_plan(query.plan, query.source).tables
    (piece,) = table.pieces

    def worker() -> ak.Array:
        return table.reader.read(piece).array

    def user() -> ak.Array:
        return sx.dataset(path, "Events").select(*columns).compute(scheduler="sync")

    def peer() -> ak.Array:
        with uproot.open(path) as file:
            return file["Events"].arrays(list(columns))

    return [
        paired_row("P1", f"{name}: one task", in_turn(worker, peer, ak.array_equal, runs=runs), 8),
        paired_row("P1", f"{name}: whole call", in_turn(user, peer, ak.array_equal, runs=runs)),
    ]
