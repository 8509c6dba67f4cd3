"""Joined partitions are what ak.concatenate gives, to the last value and type."""

from __future__ import annotations

import awkward as ak
import numpy as np
import pytest

from sxdask.graph.join import join

JAGGED = ak.Array([[1.5, 2.5], [], [3.5]])


def fixed(*rows):
    return ak.Array(np.array(rows, dtype=np.int16))


@pytest.mark.parametrize(
    "parts",
    [
        pytest.param([ak.Array([1, 2]), ak.Array([3])], id="numbers"),
        pytest.param([JAGGED, JAGGED[:0], JAGGED[::-1]], id="lists"),
        pytest.param([JAGGED[1:], JAGGED[2:]], id="lists that begin inside their content"),
        pytest.param([ak.Array([[[1], []], []]), ak.Array([[[2, 3]]])], id="lists of lists"),
        pytest.param([ak.Array(["one", ""]), ak.Array(["two"])], id="strings"),
        pytest.param([fixed([1, 2], [3, 4]), fixed([5, 6])], id="fixed size"),
        pytest.param([ak.Array([1, None]), ak.Array([None, 2])], id="missing values"),
        pytest.param([ak.Array([True, False]), ak.Array([True])], id="booleans"),
        pytest.param([ak.max(JAGGED, axis=1), ak.max(JAGGED[:1], axis=1)], id="maxima"),
        pytest.param([ak.Array([1]), ak.Array([2.5])], id="numbers of two kinds"),
        pytest.param([ak.Array([[1]]), ak.Array([["a"]])], id="two types"),
        pytest.param([ak.Array([{"a": 1, "b": [1]}]), ak.Array([{"a": 2, "b": []}])], id="records"),
        pytest.param([ak.Array([(1, [2])]), ak.Array([(3, [4])])], id="tuples"),
        pytest.param([ak.Array([{"a": 1}]), ak.Array([{"b": 1}])], id="other fields"),
    ],
)
def test_joining_equals_concatenating(parts):
    found, wanted = join(parts), ak.concatenate(parts)
    assert found.type == wanted.type
    assert found.to_list() == wanted.to_list()


def test_rows_without_columns_are_counted():
    parts = [ak.Array(ak.contents.RecordArray([], [], length=length)) for length in (2, 3)]
    assert len(join(parts)) == 5


def test_lists_are_joined_without_the_items_that_no_row_has():
    part = ak.Array(ak.contents.ListOffsetArray(ak.index.Index64([1, 2]), JAGGED.layout.content))
    assert join([part, part]).layout.content.length == 2


def test_one_partition_is_returned_as_it_is():
    assert join([JAGGED]) is JAGGED
