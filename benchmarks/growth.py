"""How cost grows: ten times the events, the files, the branches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import awkward as ak

import sxdask as sx
from benchmarks.data import TEN, many_files, one_file
from benchmarks.harness import Row, in_turn

if TYPE_CHECKING:
    from collections.abc import Callable


def rows(runs: int) -> list[Row]:
    """Measure the same request on inputs ten times as large."""
    small = one_file(100_000, extra=70, cluster=10_000)
    wide = one_file(100_000, extra=1_420, cluster=10_000)
    large = one_file(1_000_000, extra=70, cluster=10_000)
    few, many = many_files(100_000, 10), many_files(1_000_000, 100)
    return [
        _grown("10 times the events (0.1 to 1 M)", small, large, runs, 11.0),
        _grown("10 times the files (10 to 100)", few, many, runs, 11.0),
        _grown("10 times the branches (150 to 1 500)", small, wide, runs, 1.1),
    ]


def _grown(what: str, small: Any, large: Any, runs: int, target: float) -> Row:
    before, after = _request(small), _request(large)
    # a fraction of a second each, and the last target leaves a tenth: more runs
    base, grown = in_turn(before, after, _nothing_lost, runs=5 * runs)
    ratio = grown.middle / base.middle
    return Row("growth", what, str(grown), f"{base} before", ratio, target, at_most=True)


def _nothing_lost(small: ak.Array, large: ak.Array) -> bool:
    """Say whether the larger input holds the events of the smaller one, first of all."""
    return len(small) > 0 and ak.array_equal(large[: len(small)], small)


def _request(files: Any) -> Callable[[], Any]:
    def run() -> Any:
        data = sx.dataset(files, "Events")
        return data.where("nMuon >= 1").select(*TEN).compute()

    return run
