"""A piece travels to a worker as it is, in few bytes."""

from __future__ import annotations

import copy
import pickle
from dataclasses import fields, is_dataclass

import numpy as np

from sxdask.rootio.build import build_index
from sxdask.rootio.model import ColumnBaskets, ColumnZones, FileStamp, Piece

STARTS = np.array([0, 10, 30])
ZONES = ColumnZones(np.array([True, False]), np.array([1.5, 0.0]), np.array([2.5, 0.0]))


def made(**changes):
    facts = {
        "index": 7,
        "url": "root://host//é.root",
        "tree": "a/b",
        "kind": "ttree",
        "stamp": FileStamp(2**40, "123", "ab"),
        "entry_start": 5,
        "entry_stop": 30,
        "cluster_starts": np.array([5, 10, 30]),
        "baskets": {
            "x": ColumnBaskets(np.array([2**40, 9]), np.array([4, 5]), STARTS),
            "y": ColumnBaskets(np.array([1, 2]), np.array([3, 4]), STARTS),
            "none": ColumnBaskets(np.empty(0, np.int64), np.empty(0, np.int64), STARTS[:1]),
        },
        "zones": {"x": ZONES},
        "layout": 3,
        "learn": False,
    }
    return Piece(**{**facts, **changes})


def same(found, wanted):
    """Say whether values are equal, array for array and dtype for dtype."""
    if isinstance(wanted, np.ndarray):
        return found.dtype == wanted.dtype and np.array_equal(found, wanted)
    if isinstance(wanted, dict):
        return list(found) == list(wanted) and all(same(found[key], wanted[key]) for key in wanted)
    if is_dataclass(wanted):
        names = [item.name for item in fields(wanted)]
        return all(same(getattr(found, name), getattr(wanted, name)) for name in names)
    return type(found) is type(wanted) and found == wanted


def test_a_piece_is_the_same_after_pickling():
    for piece in (made(), made(baskets={}, zones={}, cluster_starts=np.empty(0, np.int64))):
        for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
            assert same(pickle.loads(pickle.dumps(piece, protocol=protocol)), piece)
        assert same(copy.deepcopy(piece), piece)


def test_a_piece_of_a_real_index_is_the_same_after_pickling(nanoaod):
    index = build_index(str(nanoaod), "Events")
    piece = index.piece(1, 4_000, 12_000, ("event", "Muon_pt", "nMuon"))
    assert same(pickle.loads(pickle.dumps(piece)), piece)


def test_columns_that_share_basket_edges_still_do():
    piece = pickle.loads(pickle.dumps(made()))
    assert piece.baskets["x"].entry_starts is piece.baskets["y"].entry_starts
