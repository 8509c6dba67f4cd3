"""Any tree, baskets, range, conditions and statistics: a scan equals uproot and a mask."""

from __future__ import annotations

import operator
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any

import awkward as ak
import numpy as np
import uproot
from hypothesis import given
from hypothesis import strategies as st

from sxdask.core.bounds import ZoneAny, ZoneCompare, ZoneOp, ZoneTest
from sxdask.rootio.fallback import close_trees
from sxdask.rootio.model import ColumnZones, Conjunct, ReadOptions, ScanSpec
from sxdask.rootio.read import zones_of
from sxdask.rootio.scan import scan
from tests.pieces import Tree, assert_same, describe

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import pytest

TYPES = {
    "id": "uint64",
    "small": "int8",
    "met": "float32",
    "flag": "bool",
    "pt": "var * float32",
    "hits": "var * int16",
    "pair": np.dtype((np.int32, (2,))),
    "label": "string",
}
SCALARS = ["id", "small", "met", "flag"]
LISTS = ["pt", "hits"]
OPERATORS: dict[str, Any] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
}
_numbers = count()


@dataclass(frozen=True)
class Condition:
    """A comparison of a column, of any item of a list, or of the length of a list."""

    column: str
    op: ZoneOp
    constant: float
    of_length: bool = False

    def __call__(self, columns: Mapping[str, Any]) -> np.ndarray:
        values = columns[self.column]
        if self.of_length:
            values = ak.num(values)
        if self.column in SCALARS:
            values = np.asarray(values)  # awkward refuses a constant outside of the type's range
        found = OPERATORS[self.op](values, self.constant)
        lists = self.column in LISTS and not self.of_length
        return np.asarray(ak.any(found, axis=1) if lists else found)

    def conjunct(self, zoned: bool) -> Conjunct:
        stat: Any = "count" if self.of_length else "value"
        test: ZoneTest = ZoneCompare(self.column, self.op, self.constant, stat)
        zone = ZoneAny((test, test)) if zoned else None
        return Conjunct((self.column,), self, f"{self}", zone)


CONDITIONS = st.builds(
    Condition,
    st.sampled_from(SCALARS),
    st.sampled_from(sorted(OPERATORS)),
    st.integers(-5, 15) | st.sampled_from([0.1, 2**53 + 1, float(2**53), 2.5, -1.5]),
) | st.builds(
    Condition,
    st.sampled_from(LISTS),
    st.sampled_from(sorted(OPERATORS)),
    st.integers(-5, 15) | st.sampled_from([0.1, 2.5]),
    st.booleans(),
)


def _cluster(start: int, entries: int, rng: np.random.Generator) -> dict[str, Any]:
    def lists(values: Any) -> ak.Array:
        counts = rng.multinomial(len(values), np.full(entries, 1 / entries))
        return ak.unflatten(values, counts)

    met = rng.choice(np.array([0.1, 1, 2.5, 3, np.nan, np.inf], np.float32), entries)
    return {
        "id": np.arange(start, start + entries, dtype=np.uint64) + rng.choice([0, 2**53]),
        "small": rng.integers(-4, 14, entries).astype(np.int8) // (start + 1),
        "met": met,
        "flag": rng.integers(0, 2, entries).astype(np.bool_),
        "pt": lists(rng.choice(np.array([0.1, 5, 12, np.nan], np.float32), 2 * entries)),
        "hits": lists(rng.integers(-5, 15, entries).astype(np.int16)),
        "pair": rng.integers(0, 9, (entries, 2)).astype(np.int32),
        "label": ak.Array(["s" * int(n) for n in rng.choice([0, 1, 3, 254, 255, 300], entries)]),
    }


def _write(folder: Path, clusters: list[int], seed: int) -> Tree:
    path = folder / f"{next(_numbers)}.root"
    rng = np.random.default_rng(seed)
    with uproot.recreate(path, compression=uproot.LZ4(1)) as file:
        tree = file.mktree("t", TYPES)
        start = 0
        for entries in clusters:
            tree.extend(_cluster(start, entries, rng))
            start += entries
    return describe(path, "t")


def _forget(zones: ColumnZones, kept: np.ndarray) -> ColumnZones:
    """Return the statistics with some baskets unknown, whose numbers are then wrong."""
    return ColumnZones(
        zones.known & kept,
        np.where(kept, zones.low, zones.high),
        np.where(kept, zones.high, zones.low),
        zones.count_low,
        zones.count_high,
    )


@given(
    clusters=st.lists(st.integers(1, 12), min_size=1, max_size=6),
    seed=st.integers(0, 2**32 - 1),
    conditions=st.lists(CONDITIONS, max_size=3),
    columns=st.lists(st.sampled_from(sorted(TYPES)), max_size=5),
    cut=st.tuples(st.floats(0, 1), st.floats(0, 1)),
    zoned=st.booleans(),
    through_uproot=st.sets(st.sampled_from(sorted(TYPES)), max_size=2),
    options=st.builds(
        ReadOptions,
        gap_bytes=st.sampled_from([0, 200, 64 * 1024]),
        request_bytes=st.sampled_from([1, 1000, 2**20]),
        threads=st.sampled_from([1, 3]),
    ),
)
def test_a_scan_equals_reading_everything_and_masking(  # noqa: PLR0917
    tmp_path_factory: pytest.TempPathFactory,
    clusters: list[int],
    seed: int,
    conditions: list[Condition],
    columns: list[str],
    cut: tuple[float, float],
    zoned: bool,
    through_uproot: set[str],
    options: ReadOptions,
) -> None:
    tree = _write(tmp_path_factory.getbasetemp(), clusters, seed)
    for name in through_uproot:
        del tree.baskets[name]
    start, stop = sorted(round(part * tree.num_entries) for part in cut)
    rng = np.random.default_rng(seed)
    piece = tree.piece(start, stop)
    zones = {
        name: _forget(found, rng.random(len(found.known)) < 0.7)
        for name, found in zones_of(piece, tree.layouts, list(TYPES)).items()
    }
    spec = ScanSpec(tuple(columns), tuple(item.conjunct(zoned) for item in conditions))
    found = scan(tree.piece(start, stop, zones=zones), tree.layouts, spec, options)
    with uproot.open(tree.path) as file:
        theirs = {name: file["t"][name].array(entry_start=start, entry_stop=stop) for name in TYPES}
    mask = np.ones(stop - start, np.bool_)
    for condition in conditions:
        mask &= condition(theirs)
    assert found.num_rows == mask.sum()
    assert set(found.arrays) == set(columns)
    for name in set(columns):
        assert_same(found.arrays[name], ak.to_packed(theirs[name][mask]), name)
    report = found.report
    used = {*columns, *(item.column for item in conditions)} & set(piece.baskets)
    total = sum(len(piece.baskets[name].seek) for name in used)
    assert report.baskets_read + report.baskets_skipped == total
    assert (report.entries_in, report.entries_out) == (stop - start, mask.sum())
    close_trees()
    tree.path.unlink()
