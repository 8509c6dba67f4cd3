"""Items are found by their positions, event by event, at any depth, missing ones included."""

from __future__ import annotations

import awkward as ak
import numpy as np
import pytest

from sxdask.core.errors import RequestError
from sxdask.graph.follow import follow
from sxdask.plan.syntax import Scope, parse
from sxdask.plan.types import infer
from tests.refusals import error_of
from tests.unit.plan.schemas import EVENTS, LIMITS

ITEMS = ak.Array([[1.5, 2.5], [], [3.5]])


@pytest.mark.parametrize(
    ("index", "expected"),
    [
        ([[1, 0, 1], [], [0]], [[2.5, 1.5, 2.5], [], [3.5]]),
        ([[[1, 0], []], [], [[0], [None]]], [[[2.5, 1.5], []], [], [[3.5], [None]]]),
        ([[None, 1], [None], []], [[None, 2.5], [None], []]),
        ([[[0], None], [], []], [[[1.5], None], [], []]),
        ([1, None, 0], [2.5, None, 3.5]),
        ([[], [], []], [[], [], []]),
    ],
)
@pytest.mark.parametrize("dtype", ["int64", "uint32", "int8"])
def test_items_take_the_shape_of_their_positions(index, expected, dtype):
    positions = ak.values_astype(ak.Array(index), dtype)
    assert follow(ITEMS, positions).to_list() == expected


@pytest.mark.parametrize("shape", [ak.from_regular, ak.to_regular])
def test_a_masked_position_may_be_anything(shape):
    index = shape(ak.Array(np.array([[0, 4294967295], [7, 1]], dtype=np.uint32)))
    masked = ak.mask(index, ak.Array([[True, False], [False, True]]))
    assert follow(ak.Array([[1], [2, 3]]), masked).to_list() == [[1, None], [None, 3]]


@pytest.mark.parametrize("items", [[["a", "b"], ["c"]], [[[1], [2, 3]], [[]]]])
def test_items_may_be_texts_and_lists(items):
    (first, second), (third,) = items
    assert follow(ak.Array(items), ak.Array([[1, 0, 1], [0]])).to_list() == [
        [second, first, second],
        [third],
    ]


@pytest.mark.parametrize("index", [[[2], [], []], [[], [0], []], [[-1], [], []]])
def test_a_position_outside_the_list_is_refused(index):
    with pytest.raises(RequestError, match="beyond the end"):
        follow(ITEMS, ak.Array(index))


def test_a_position_without_sign_outside_the_list_is_refused_too():
    with pytest.raises(RequestError, match="beyond the end"):
        follow(ITEMS, ak.values_astype(ak.Array([[2], [], []]), np.uint32))


def test_a_slice_of_a_larger_array_is_followed_in_its_own_events():
    assert follow(ITEMS[1:], ak.Array([[], [0]])).to_list() == [[], [3.5]]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("follow(Muon_pt, local_index(Jet_pt))", "var * float32"),
        ("follow(Muon_pt, nMuon)", "float32"),
        ("follow(Muon_pt, mask(local_index(Jet_pt), Jet_pt > 1))", "var * ?float32"),
    ],
)
def test_its_type_is_that_of_the_items_in_the_shape_of_the_positions(text, expected):
    assert str(infer(parse(text, Scope(EVENTS, LIMITS)), EVENTS)) == expected


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("follow(MET_pt, nMuon)", "needs a list of items per event"),
        ("follow(Muon_pt, MET_pt)", "needs positions, which are integers"),
    ],
)
def test_what_cannot_be_followed_is_refused(text, problem):
    error = error_of(lambda: parse(text, Scope(EVENTS, LIMITS)), "SX103")
    assert problem in str(error)
