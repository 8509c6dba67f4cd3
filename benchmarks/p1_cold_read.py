"""P1: ten columns of a file with 1 500 branches, with and without an index of it."""

from __future__ import annotations

import operator
import os
from functools import partial
from typing import TYPE_CHECKING

import awkward as ak
import uproot

import sxdask as sx
from benchmarks.data import TEN, one_file, real_file
from benchmarks.harness import in_turn, paired_row
from sxdask.pipeline.compile import compile_plan
from sxdask.rootio.build import build_index

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.harness import Row, Times

_TREE = "Events"


def rows(runs: int) -> list[Row]:
    """Measure what a worker does for a partition, and the whole call of a user."""
    found: list[Row] = []
    cases = [
        (f"real CMS file {real_file().name}, 40 events", real_file()),
        ("10 000 events", one_file(10_000, extra=1_420, cluster=5_000)),
        ("100 000 events", one_file(100_000, extra=1_420, cluster=50_000)),
    ]
    for name, path in cases:
        found.extend(_case(name, path, runs))
    return found


def _case(name: str, path: Path, runs: int) -> list[Row]:
    data = sx.dataset(path, _TREE)
    query = data.select(*TEN)
    (table,) = compile_plan(query.plan, query.source).tables
    (piece,) = table.pieces
    # A new time makes the process open the index from the disk once more.
    forget = partial(os.utime, data.source.store.path_of(str(path), _TREE))

    def worker() -> ak.Array:
        return table.reader.read(piece).array

    def user() -> ak.Array:
        return sx.dataset(path, _TREE).select(*TEN).compute(scheduler="sync")

    def peer() -> ak.Array:
        # by default uproot keeps neither opened files nor trees beyond the block
        with uproot.open(path, object_cache=None, array_cache=None) as file:
            return file[_TREE].arrays(list(TEN))

    task = in_turn(worker, peer, ak.array_equal, runs=runs)
    call = in_turn(user, peer, ak.array_equal, runs=runs, before=forget)
    return [
        paired_row("P1", f"{name}: one task", task, 8),
        paired_row("P1", f"{name}: whole call", call),
        paired_row("P1", f"{name}: index of another file like it", _index(path, runs)),
    ]


def _index(path: Path, runs: int) -> tuple[Times, Times]:
    """Time an index of a tree whose like this process has indexed, beside uproot's own opening."""

    def index() -> list[str]:
        return list(build_index(str(path), _TREE).layout.names)

    def peer() -> list[str]:
        with uproot.open(path, object_cache=None, array_cache=None) as file:
            names: list[str] = file[_TREE].keys(recursive=True)
        return names

    return in_turn(index, peer, operator.eq, runs=runs)
