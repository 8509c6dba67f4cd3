"""P4: events of a file that pass a selection of 0.1 %, with 100 columns of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import awkward as ak
import uproot

import sxdask as sx
from benchmarks.data import hundred_columns, one_file
from benchmarks.harness import Row, Times, in_turn, paired_row, timed
from sxdask.rootio.basket import object_bytes, parse_header

if TYPE_CHECKING:
    from pathlib import Path

NUM_EVENTS = 1_000_000
RANDOM = "(MET_phi > 0) & (MET_phi < 0.00628)"
CLUSTERED = "(event > 500000) & (event <= 501000)"


def rows(runs: int) -> list[Row]:
    """Measure a condition that holds anywhere and one that holds in one place, by cluster size."""
    found: list[Row] = []
    for cluster in (1_000, 10_000, 50_000):
        path = one_file(NUM_EVENTS, extra=40, cluster=cluster)
        anywhere, floor = _compare(path, runs, RANDOM), _decompression(path, runs)
        size = f"clusters of {cluster:,} events"
        peer = anywhere[1]
        found += [
            paired_row("P4", f"anywhere, {size}", anywhere, 5),
            Row(
                "P4", f"... of it decompression, {size}", str(floor), "", peer.middle / floor.middle
            ),
            paired_row("P4", f"in one place, {size}", _compare(path, runs, CLUSTERED), 20),
        ]
    return found


def _compare(path: Path, runs: int, cut: str) -> tuple[Times, Times]:
    columns = hundred_columns(path)

    def ours() -> ak.Array:
        return sx.dataset(path, "Events").where(cut).select(*columns).compute()

    def peer() -> ak.Array:
        with uproot.open(path, object_cache=None, array_cache=None) as file:
            return file["Events"].arrays(columns, cut=cut)

    return in_turn(ours, peer, ak.array_equal, runs=runs)


def _decompression(path: Path, runs: int) -> Times:
    """Time one thread that decompresses, and nothing else, the baskets that hold a survivor.

    No reader on one core can be faster than this.
    """
    data = sx.dataset(path, "Events")
    kept = data.where(RANDOM).select("event").compute()
    index = data.source.index_of_first("Events")
    rows_ = ak.to_numpy(kept.event).astype("int64") - 1  # `event` counts from 1
    content = path.read_bytes()
    work = []
    for name in hundred_columns(path):
        baskets = index.column(name)
        edges = rows_.searchsorted(baskets.entry_starts)
        for number in (edges[1:] > edges[:-1]).nonzero()[0].tolist():
            seek, size = int(baskets.seek[number]), int(baskets.num_bytes[number])
            entries = int(baskets.entry_starts[number + 1] - baskets.entry_starts[number])
            basket = memoryview(content)[seek : seek + size]
            work.append((basket, parse_header(basket, entries)))

    def run() -> None:
        for basket, header in work:
            object_bytes(basket, header)

    return Times(tuple(timed(run)[0] for _ in range(runs)))
