"""Joining lists within events gives what awkward gives."""

from __future__ import annotations

import awkward as ak
import numpy as np
import pytest

from sxdask.graph.concat import Joined, concatenate
from sxdask.graph.plain import plain_lists

MUONS = ak.values_astype(ak.Array([[1, 2], [], [3], [4, 5, 6]]), np.float32)
ELECTRONS = ak.values_astype(ak.Array([[], [], [7, 8], [9]]), np.float32)
TAUS = ak.values_astype(ak.Array([[10], [11], [], [12]]), np.float32)
FLAGS = ak.Array([[True], [], [False, True], []])

PLAIN = {
    "two": [MUONS, ELECTRONS],
    "three": [MUONS, ELECTRONS, TAUS],
    "one": [MUONS],
    "one twice": [MUONS, MUONS],
    "booleans": [FLAGS, FLAGS],
    "parts of larger arrays": [MUONS[1:], ELECTRONS[:3]],
    "no event": [MUONS[:0], ELECTRONS[:0]],
    "no item": [MUONS[1:2], ELECTRONS[1:2]],
}
OTHER = {
    "types differ": [MUONS, ak.values_astype(ELECTRONS, np.float64)],
    "booleans and numbers": [MUONS, FLAGS],
    "missing values": [MUONS, ak.mask(ELECTRONS, ELECTRONS > 7)],
    "lists of lists": [ak.Array([[[1.0]], []]), ak.Array([[], [[2.0], []]])],
    "texts": [ak.Array([["a"], []]), ak.Array([["b"], ["c"]])],
    "records": [ak.zip({"pt": MUONS}), ak.zip({"pt": ELECTRONS})],
    "fixed sizes": [ak.to_regular(ak.Array([[1, 2], [3, 4]])), ak.Array([[5], []])],
}


@pytest.mark.parametrize("arrays", (PLAIN | OTHER).values(), ids=PLAIN | OTHER)
def test_lists_are_joined_as_awkward_joins_them(arrays):
    found, wanted = concatenate(arrays, axis=1), ak.concatenate(arrays, axis=1)
    assert found.type == wanted.type
    assert found.to_list() == wanted.to_list()


@pytest.mark.parametrize("arrays", PLAIN.values(), ids=PLAIN)
def test_plain_lists_stay_plain(arrays):
    assert plain_lists(concatenate(arrays, axis=1)) is not None


def test_columns_of_the_same_lists_share_where_items_lie():
    known: list[Joined] = []
    first = concatenate([MUONS, ELECTRONS], known, axis=1)
    second = concatenate([MUONS * 2, ELECTRONS * 2], known, axis=1)
    third = concatenate([ELECTRONS, MUONS], known, axis=1)
    assert len(known) == 2
    assert second.to_list() == (first * 2).to_list()
    assert third.to_list() == ak.concatenate([ELECTRONS, MUONS], axis=1).to_list()


def test_events_can_be_joined_too():
    assert concatenate([MUONS, ELECTRONS], axis=0).to_list() == [
        *MUONS.to_list(),
        *ELECTRONS.to_list(),
    ]


def test_lists_of_other_events_are_awkwards_error():
    with pytest.raises(ValueError, match="cannot broadcast"):
        concatenate([MUONS, ELECTRONS[:2]], axis=1)
