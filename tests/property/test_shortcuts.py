"""A phrase in one step gives what its steps one by one give in awkward."""

from __future__ import annotations

from typing import Any

import awkward as ak
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sxdask.graph.kernel import compile_program, run
from sxdask.graph.shortcut import first_by, least, max_across, min_across
from sxdask.plan.expr import Call, Column, Constant, Pack, Slice, Subscript

ALL = Slice(None, None, None)
NUMBERS = st.sampled_from([0, 1, 2, 3, 5, 8])
FLOATS = st.sampled_from([0.0, -0.0, 1.5, -2.0, np.inf, -np.inf, np.nan])
COUNTS = st.lists(st.integers(0, 4), max_size=6)


@st.composite
def lists(draw: st.DrawFn, counts: list[int], dtype: str) -> ak.Array:
    items = FLOATS if dtype.startswith("float") else NUMBERS
    values = draw(st.lists(items, min_size=sum(counts), max_size=sum(counts)))
    found = ak.unflatten(np.array(values, dtype), np.array(counts, np.int64))
    if not draw(st.booleans()):
        return found
    return ak.concatenate([found[:0], ak.unflatten(np.zeros(2, dtype), [2]), found])[1:]


def attempt(function: Any, *args: Any) -> Any:
    try:
        return function(*args)
    except (IndexError, ValueError) as error:
        return type(error)


def same(found: Any, wanted: Any) -> bool:
    if isinstance(wanted, type):
        return found is wanted
    # as text, where NaN is NaN; the sign of a zero is no difference
    texts = [str(array.to_list()).replace("-0.0", "0.0") for array in (found, wanted)]
    return found.type == wanted.type and texts[0] == texts[1]


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "uint8", "bool"])
@given(data=st.data())
def test_the_first_item_by_an_order_needs_no_order(dtype, data):
    counts = data.draw(COUNTS)
    value, key = (data.draw(lists(counts, kind)) for kind in ("int64", dtype))
    if data.draw(st.booleans()) and len(counts):
        value = data.draw(lists([1, *counts[1:]], "int64"))  # now and then they do not line up
    short = attempt(lambda: first_by(value, least(key), key))
    assert same(short, attempt(lambda: value[ak.argsort(key, axis=1)][:, 0]))


@pytest.mark.parametrize("dtype", ["float32", "int32"])
@pytest.mark.parametrize(("short", "long"), [(max_across, ak.max), (min_across, ak.min)])
@given(data=st.data())
def test_the_largest_of_a_tuple_needs_no_lists(short, long, dtype, data):
    counts = data.draw(COUNTS)
    arrays = [data.draw(lists(counts, dtype)) for _ in range(data.draw(st.integers(1, 3)))]

    def in_lists(*members: ak.Array) -> ak.Array:
        stacked = ak.concatenate([item[:, :, np.newaxis] for item in members], axis=2)
        return long(ak.from_regular(stacked, axis=2), axis=2)

    assert same(attempt(short, *arrays), attempt(in_lists, *arrays))


def test_the_phrases_of_the_languages_are_found():
    order = Call("argsort", (Column("key"),), (("axis", 1),))
    first = Subscript(Subscript(Column("x"), (order,)), (ALL, Constant(0)))
    members = tuple(Subscript(Column(name), (ALL, ALL, Constant(None))) for name in ("x", "key"))
    stacked = Call("concatenate", (Pack(members, None),), (("axis", 2),))
    largest = Call("max", (Call("from_regular", (stacked,), (("axis", 2),)),), (("axis", 2),))
    program = compile_program([first, Subscript(largest, (order,)), largest])
    names = [step.name for step in program.steps]
    assert names == ["least", "first_by", "max_across", "argsort", "subscript"]
    arrays = {"x": ak.Array([[3, 1, 2], [5, 4]]), "key": ak.Array([[2, 0, 1], [1, 7]])}
    found = [array.to_list() for array in run(program, arrays)]
    assert found == [[1, 5], [[1, 2, 3], [5, 7]], [[3, 1, 2], [5, 7]]]
