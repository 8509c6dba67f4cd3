"""Folds: what becomes of all rows together does not depend on how they are cut."""

from __future__ import annotations

from functools import reduce
from itertools import pairwise
from typing import Any

import awkward as ak
import hist
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sxdask.core.errors import RequestError
from sxdask.core.results import Axis, Histogram
from sxdask.graph.fold import HistogramFold, TotalFold

ROWS = ak.Array(
    {
        "met": np.arange(6, dtype=np.float32) * 10,
        "pt": ak.Array([[1.0, 2.0], [], [30.0], [4.0, 5.0, 6.0], [], [7.0]]),
        "lead": ak.Array([2.0, None, 30.0, 6.0, None, 7.0]),
        "w": ak.Array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0]),
        "kind": ak.Array(["a", "b", "a", "c", "a", "b"]),
    }
)


def filled(*axes: Axis, weight: str | None = None, rows: ak.Array = ROWS) -> Any:
    fold = HistogramFold((Histogram("h", axes, weight),))
    return fold.result(fold.rows(rows))


def test_a_histogram_equals_one_filled_by_hand() -> None:
    mine = filled(Axis("met", bins=5, start=0, stop=40))
    theirs = hist.Hist.new.Reg(5, 0, 40).Double().fill(ROWS.met)
    assert mine.values(flow=True).tolist() == theirs.values(flow=True).tolist()


def test_lists_are_filled_item_by_item() -> None:
    assert filled(Axis("pt", bins=1, start=0, stop=100)).sum() == 7


def test_missing_values_are_not_filled() -> None:
    assert filled(Axis("lead", bins=1, start=0, stop=100)).sum(flow=True) == 4


def test_missing_values_take_their_weight_with_them() -> None:
    found = filled(Axis("lead", bins=1, start=0, stop=100), weight="w")
    assert found.sum().value == 1 + 3 + 4 + 6
    assert found.sum().variance == 1 + 9 + 16 + 36


def test_a_value_of_the_event_meets_every_item_of_a_list() -> None:
    found = filled(Axis("pt", edges=(0.0, 5.0, 50.0)), Axis("met", bins=6, start=0, stop=60))
    assert found.values().tolist() == [[2, 0, 0, 1, 0, 0], [0, 0, 1, 2, 0, 1]]


def test_two_axes_may_be_of_one_column() -> None:
    found = filled(Axis("met", bins=2, start=0, stop=60), Axis("met", bins=3, start=0, stop=60))
    assert found.values().tolist() == [[2, 1, 0], [0, 1, 2]]


def test_a_column_may_have_the_name_of_an_argument_of_fill() -> None:
    rows = ak.Array({"weight": [1.0, 2.0], "sample": [1.0, 2.0]})
    axes = (Axis("weight", bins=3, start=0, stop=3), Axis("sample", bins=3, start=0, stop=3))
    assert filled(*axes, weight="weight", rows=rows).sum().value == 3


def test_categories_are_filled_by_value() -> None:
    assert filled(Axis("kind", categories=("a", "b"))).values().tolist() == [3, 2]


def test_lists_that_do_not_line_up_are_refused_by_name() -> None:
    rows = ak.Array({"pt": [[1.0], []], "eta": [[1.0], [2.0]]})
    axes = (Axis("pt", bins=1, start=0, stop=1), Axis("eta", bins=1, start=0, stop=1))
    with pytest.raises(RequestError, match="histogram 'h'"):
        filled(*axes, rows=rows)


def test_no_rows_give_an_empty_histogram() -> None:
    assert filled(Axis("pt", bins=2, start=0, stop=1), rows=ROWS[:0]).sum(flow=True) == 0


@given(cuts=st.lists(st.integers(0, 6), max_size=4))
def test_partitions_join_to_the_whole(cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), 6]
    parts = [ROWS[begin:end] for begin, end in pairwise(edges)]
    fold = HistogramFold((Histogram("h", (Axis("pt", bins=9, start=0, stop=9),), "w"),))
    whole = fold.result(fold.rows(ROWS))
    joined = fold.result(reduce(fold.join, map(fold.rows, parts)))
    assert joined == whole
    for function in ("count", "sum", "min", "max"):
        total = TotalFold(function)
        assert total.result(reduce(total.join, (total.rows(part.w) for part in parts))) == (
            total.rows(ROWS.w)
        )
    for function in ("any", "all"):
        total = TotalFold(function)
        states = (total.rows(part.w > 2) for part in parts)
        assert total.result(reduce(total.join, states)) == total.rows(ROWS.w > 2)


def test_joining_changes_neither_side() -> None:
    fold = HistogramFold((Histogram("h", (Axis("met", bins=5, start=0, stop=40),)),))
    left, right = fold.rows(ROWS), fold.rows(ROWS)
    fold.join(left, right)
    assert left == right


def test_the_extreme_of_no_rows_is_none() -> None:
    assert TotalFold("max").rows(ROWS.w[:0]) is None
    assert TotalFold("count").rows(ROWS.w[:0]) == 0
