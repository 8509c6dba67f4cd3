"""All events of 100 columns: how many a second."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import awkward as ak
import uproot

import sxdask as sx
from benchmarks.data import hundred_columns, one_file
from benchmarks.harness import Row, in_turn
from sxdask.core.settings import load_settings

if TYPE_CHECKING:
    from pathlib import Path

NUM_EVENTS = 1_000_000
_MEGA = 1_000_000


def rows(runs: int) -> list[Row]:
    """Measure as one array, in few partitions and in many."""
    path = one_file(NUM_EVENTS, extra=40, cluster=10_000)
    return [_row(path, runs, partition_mib) for partition_mib in (32, 4)]


def _row(path: Path, runs: int, partition_mib: int) -> Row:
    settings = replace(load_settings(), partition_bytes=partition_mib * 1024 * 1024)
    data = sx.dataset(path, settings=settings)
    columns = hundred_columns(path)
    query = data.select(*columns)

    def ours() -> ak.Array:
        return query.compute()

    def peer() -> ak.Array:
        with uproot.open(path, object_cache=None, array_cache=None) as file:
            return file["Events"].arrays(columns)

    mine, theirs = in_turn(ours, peer, ak.array_equal, runs=runs)
    index = data.source.index_of_first("Events")
    size = int(index.uncompressed_bytes(columns).sum())

    def rate(seconds: float) -> str:
        return f"{NUM_EVENTS / seconds / _MEGA:.2f} M events/s, {size / seconds / _MEGA:.0f} MB/s"

    what = f"100 columns of 1 M events, partitions of {partition_mib} MiB"
    left = f"{mine}: {rate(mine.middle)}"
    right = f"{theirs}: {rate(theirs.middle)}"
    return Row("read", what, left, right, theirs.middle / mine.middle)
