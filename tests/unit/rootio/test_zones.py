"""Zone tests never lose a row, and rule out what can be ruled out."""

from __future__ import annotations

import operator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sxdask.core.bounds import ZoneAll, ZoneAny, ZoneCompare, ZoneOp
from sxdask.rootio.decode import ColumnValues
from sxdask.rootio.model import ColumnBaskets, ColumnZones
from sxdask.rootio.zones import compute_zones, may_match, merge_zones, zone_blocks

OPERATORS = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
}


def _ints(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def _baskets(*edges: int) -> ColumnBaskets:
    none = np.zeros(len(edges) - 1, np.int64)
    return ColumnBaskets(none, none, _ints(*edges))


def _zones(values: np.ndarray, edges: np.ndarray) -> ColumnZones:
    return compute_zones(ColumnValues(values), edges, np.ones(len(edges) - 1, np.bool_))


def _may(test: ZoneCompare, values: np.ndarray) -> bool:
    edges = _ints(0, len(values))
    zones = {"x": _zones(values, edges)}
    return bool(may_match(test, zones, {"x": _baskets(0, len(values))}, edges[:1], edges[1:])[0])


def test_extremes_are_kept_in_the_columns_own_kind_of_number() -> None:
    zones = _zones(np.array([3, 1, 2, 9], np.uint8), _ints(0, 3, 4))
    assert zones.low.dtype == np.uint64
    assert (zones.low.tolist(), zones.high.tolist()) == ([1, 9], [3, 9])
    assert _zones(np.array([True, False]), _ints(0, 2)).high.tolist() == [1]


def test_nan_is_ignored_and_an_all_nan_basket_holds_nothing() -> None:
    values = np.array([np.nan, 2.0, np.nan, np.nan], np.float32)
    zones = _zones(values, _ints(0, 2, 4))
    assert (zones.low[0], zones.high[0]) == (2.0, 2.0)
    assert zones.low[1] > zones.high[1]
    assert not _may(ZoneCompare("x", "<", np.inf), values[2:])


def test_list_lengths_have_statistics_of_their_own() -> None:
    column = ColumnValues(np.array([5.0, 7.0, 6.0]), _ints(0, 2, 2, 3, 3))
    zones = compute_zones(column, _ints(0, 2, 3, 4), np.ones(3, np.bool_))
    assert zones.count_low is not None
    assert zones.count_high is not None
    assert (zones.count_low.tolist(), zones.count_high.tolist()) == ([0, 1, 0], [2, 1, 0])
    assert (zones.low.tolist(), zones.high.tolist()) == ([5, 6, np.inf], [7, 6, -np.inf])


@pytest.mark.parametrize("constant", [2**53 + 1, 2**63, -1, 10**400, -(10**400)])
def test_integers_beyond_float_precision_are_compared_exactly(constant: int) -> None:
    values = np.array([2**53], np.uint64)
    for op, compare in OPERATORS.items():
        assert _may(ZoneCompare("x", op, constant), values) == compare(2**53, constant)  # type: ignore[arg-type]


def test_a_constant_that_numpy_rounds_does_not_lose_the_row() -> None:
    assert _may(ZoneCompare("x", "<=", 0.1), np.array([0.1], np.float32))  # 0.1f is above 0.1
    assert _may(ZoneCompare("x", "==", float(2**53)), np.array([2**53 + 1], np.int64))


NUMBERS = st.one_of(
    st.integers(-(2**63), 2**63 - 1),
    st.integers(-5, 5),
    st.floats(allow_nan=False),
    st.floats(width=32, allow_nan=False),
)


@given(
    values=st.one_of(
        st.lists(st.integers(-(2**63), 2**63 - 1) | st.integers(-5, 5), min_size=1).map(
            lambda items: np.array(items, np.int64)
        ),
        st.lists(st.integers(0, 2**64 - 1) | st.integers(0, 5), min_size=1).map(
            lambda items: np.array(items, np.uint64)
        ),
        st.lists(st.floats(width=32), min_size=1).map(lambda items: np.array(items, np.float32)),
        st.lists(st.floats(), min_size=1).map(lambda items: np.array(items, np.float64)),
    ),
    op=st.sampled_from(sorted(OPERATORS)),
    constant=NUMBERS,
)
def test_a_zone_with_a_passing_value_always_may_match(
    values: np.ndarray, op: ZoneOp, constant: float
) -> None:
    with np.errstate(over="ignore"):
        passes = bool(OPERATORS[op](values, constant).any())
    assert _may(ZoneCompare("x", op, constant), values) or not passes


@given(values=st.lists(st.integers(-5, 5), min_size=1), constant=st.integers(-7, 7))
def test_small_integers_are_ruled_out_exactly(values: list[int], constant: int) -> None:
    low, high = min(values), max(values)
    column = np.array(values, np.int32)
    assert _may(ZoneCompare("x", ">", constant), column) == (high > constant)
    assert _may(ZoneCompare("x", "<=", constant), column) == (low <= constant)
    assert _may(ZoneCompare("x", "==", constant), column) == (low <= constant <= high)


def test_what_is_not_known_may_match() -> None:
    test = ZoneCompare("x", ">", 100)
    starts, stops = _ints(0, 10, 20), _ints(10, 20, 30)
    baskets = {"x": _baskets(0, 10, 20, 30)}
    zones = _zones(np.arange(30), _ints(0, 10, 20, 30))
    assert may_match(test, {}, baskets, starts, stops).all()
    assert may_match(test, {"x": zones}, {}, starts, stops).all()
    partly = ColumnZones(np.array([True, False, True]), zones.low, zones.high)
    assert may_match(test, {"x": partly}, baskets, starts, stops).tolist() == [False, True, False]
    counts = ZoneCompare("x", ">", 100, "count")  # a column without lists has no lengths
    assert may_match(counts, {"x": zones}, baskets, starts, stops).all()


def test_a_range_is_kept_if_any_basket_that_overlaps_it_may_match() -> None:
    zones = {"x": _zones(np.arange(30), _ints(0, 10, 20, 30))}
    baskets = {"x": _baskets(0, 10, 20, 30)}
    starts, stops = _ints(0, 5, 9, 12), _ints(10, 11, 25, 13)
    found = may_match(ZoneCompare("x", ">=", 20), zones, baskets, starts, stops)
    assert found.tolist() == [False, False, True, False]


def test_entries_beyond_the_known_baskets_may_match() -> None:
    zones = {"x": _zones(np.arange(10), _ints(0, 10))}
    found = may_match(
        ZoneCompare("x", ">", 100), zones, {"x": _baskets(0, 10)}, _ints(0, 5), _ints(10, 15)
    )
    assert found.tolist() == [False, True]


def test_all_and_any_combine_their_parts() -> None:
    zones = {"x": _zones(np.arange(20), _ints(0, 10, 20))}
    baskets = {"x": _baskets(0, 10, 20)}
    starts, stops = _ints(0, 10), _ints(10, 20)
    low, high = ZoneCompare("x", "<", 5), ZoneCompare("x", ">", 15)

    def ask(test: ZoneAll | ZoneAny) -> list[bool]:
        return list(may_match(test, zones, baskets, starts, stops))

    assert ask(ZoneAll((low, high))) == [False, False]
    assert ask(ZoneAny((low, high))) == [True, True]
    assert ask(ZoneAll(())) == [True, True]
    assert ask(ZoneAny(())) == [False, False]


def test_blocks_are_clusters_cut_at_the_baskets_of_tested_columns() -> None:
    baskets = {"x": _baskets(0, 4, 12, 30), "y": _baskets(0, 7, 30)}
    edges = zone_blocks(_ints(2, 10, 20), [ZoneCompare("x", ">", 0)], baskets)
    assert edges.tolist() == [2, 4, 10, 12, 20]


def test_merging_keeps_what_either_side_knows() -> None:
    new = _zones(np.arange(20), _ints(0, 10, 20))
    old = ColumnZones(np.array([False, True]), _ints(7, 10), _ints(7, 19))
    first = ColumnZones(np.array([True, False]), new.low, new.high)
    both = merge_zones(old, first)
    assert both.known.all()
    assert (both.low.tolist(), both.high.tolist()) == ([0, 10], [9, 19])
    assert merge_zones(None, first) is first
