"""Arrays side by side as ROOT goes through them, against a loop over events."""

from __future__ import annotations

import awkward as ak
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sxdask.graph.instances import instances, iteration


def number_of_instances(lengths):
    """Return what ROOT makes of the lengths of arrays, one after the other."""
    used = 1
    for length in lengths:
        if used == 1 or length < used:
            used = length
    return used


@given(
    st.lists(
        st.lists(st.lists(st.integers(0, 9), max_size=4), min_size=3, max_size=3),
        min_size=1,
        max_size=20,
    )
)
def test_arrays_are_cut_to_the_instances_that_they_have_together(events):
    columns = [ak.Array([event[place] for event in events]) for place in range(3)]
    columns = [ak.values_astype(column, np.int64) for column in columns]
    for place, column in enumerate(columns):
        expected = [
            (event[place] + [None] * 4)[: number_of_instances(map(len, event))] for event in events
        ]
        assert instances(column, *columns).to_list() == expected


def test_inner_lists_are_cut_too():
    deep = ak.Array([[[1, 2, 3], [4]], [[5, 6]], []])
    flat = ak.Array([[7, 8], [9], [9]])
    rows = ak.from_regular(ak.Array(np.arange(12).reshape(3, 2, 2)), axis=1)
    assert instances(deep, deep, flat).to_list() == deep.to_list()
    assert instances(deep, deep, rows).to_list() == [[[1, 2], [4, None]], [[5, 6], []], []]
    assert instances(rows, deep, rows).to_list() == [[[0, 1], [2, 3]], [[4, 5], []], []]


@pytest.mark.parametrize("length", [0, 3])
def test_the_type_does_not_depend_on_the_data(length):
    x = ak.Array([[1.0, 2.0], [3.0], []])[:length]
    y = ak.Array([[1.0], [3.0, 4.0], []])[:length]
    for first, second in ((x, x), (x, y), (y, x)):
        assert str(instances(x, first, second).type) == f"{length} * var * ?float64"


def test_iterations_are_counted_through_all_lists_of_an_event():
    deep = ak.Array([[[], [7, 7], [], [7]], [], [[]], [[7], []]])
    assert iteration(deep).to_list() == [[[], [0, 1], [], [2]], [], [[]], [[0], []]]
    assert iteration(deep[:0]).to_list() == []
