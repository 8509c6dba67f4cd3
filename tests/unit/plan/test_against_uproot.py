"""uproot-raw means what ``TTree.arrays`` gives with ServiceX's functions, value for value."""

from __future__ import annotations

from functools import partial

import awkward as ak
import numpy as np
import pytest
import uproot

from sxdask.core.types import Field, FixedList, ListOf, Primitive, Schema, Type
from sxdask.graph.kernel import MaskProgram, compile_program, run
from sxdask.plan.frontends.uproot_raw import UprootRawFrontend
from sxdask.plan.functions import FUNCTIONS
from sxdask.plan.nodes import Filter, Project
from tests.unit.plan.schemas import LIMITS

NUM_EVENTS = 200
# ServiceX's transformer gives these a default axis of its own
OWN_AXIS = {name: item.axis for name, item in FUNCTIONS.items() if item.axis != item.awkward_axis}


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """A tree with flat, fixed-size and jagged branches, and branches with odd names."""
    random = np.random.default_rng(1)
    counts = random.integers(0, 4, NUM_EVENTS)
    total = int(counts.sum())
    jagged = {
        "pt": random.exponential(30.0, total).astype(np.float32),
        "charge": random.integers(-1, 2, total).astype(np.int32),
    }
    path = tmp_path_factory.mktemp("uproot") / "small.root"
    with uproot.recreate(path) as file:
        columns = {
            "Muon": ak.unflatten(ak.zip(jagged), counts),
            "met": random.exponential(20.0, NUM_EVENTS).astype(np.float32),
            "flags": random.integers(0, 8, NUM_EVENTS).astype(np.uint8),
            "passed": random.random(NUM_EVENTS) < 0.5,
            "cells": random.random((NUM_EVENTS, 3)),
            "event": np.arange(NUM_EVENTS, dtype=np.uint64) + 2**63,
        }
        file.mktree("t", columns)
    with uproot.open(path) as file:
        yield file["t"]


class TreeSource:
    """What a frontend may know of the tree."""

    trees = ("t",)
    default_tree = "t"

    def __init__(self, tree):
        self._tree = tree

    def cycles(self, _):
        """Return the only cycle."""
        return (1,)

    def schema(self, name):
        """Return the columns with their types from uproot's forms."""
        fields = []
        for branch in self._tree.branches:
            text = str(branch.interpretation.awkward_form(branch.file).type)
            dtype = Primitive(text.rpartition(" * ")[2])
            kind: Type = ListOf(dtype) if text.startswith("var * ") else dtype
            if text.startswith("3 * "):
                kind = FixedList(dtype, 3)
            fields.append(Field(branch.name, kind, typename=branch.typename))
        return Schema(tuple(fields), name)


def language():
    """Return uproot's language with the functions of ServiceX's transformer."""
    python = uproot.language.python.PythonLanguage()
    functions = dict(python.functions)
    for name, item in FUNCTIONS.items():
        if item.kind != "elementwise" or name in {"where", "isclose"}:
            if not hasattr(ak, name):
                continue  # a function of our own
            function = getattr(ak, name)
            functions[name] = (
                partial(function, axis=OWN_AXIS[name]) if name in OWN_AXIS else function
            )
    functions["where"] = ak.where
    return uproot.language.python.PythonLanguage(functions)


def ours(tree, query):
    """Evaluate the plan of `query` on all of the tree's arrays."""
    (output,) = (
        UprootRawFrontend(LIMITS).parse({"treename": "t", **query}, TreeSource(tree)).outputs
    )
    arrays = {name: tree[name].array() for name in tree.keys()}  # noqa: SIM118
    root = output.root
    assert isinstance(root, Project)
    if isinstance(root.source, Filter):
        mask = MaskProgram(compile_program([root.source.predicate]))(arrays)
        arrays = {name: array[mask] for name, array in arrays.items()}
    names = [name for name, _ in root.outputs]
    return dict(
        zip(names, run(compile_program([expr for _, expr in root.outputs]), arrays), strict=True)
    )


QUERIES = [
    {},
    {"filter_name": "Muon_*"},
    {"filter_name": ["/MU.*/i", "met"]},
    {"filter_name": "/uon/"},
    {"filter_name": "Muon_[pc]?"},
    {"filter_typename": "float*"},
    {"filter_typename": "/.*int.*/", "filter_name": ["nMuon", "flags", "met"]},
    {"expressions": "met*2", "filter_name": "Muon_*"},
    {"expressions": ["met", "met**2/3", "-flags", "event + 1", "cells*2"]},
    {"expressions": ["sum(Muon_pt)", "max(Muon_pt)", "num(Muon_pt)", "sort(Muon_pt)"]},
    {"expressions": ["Muon_pt[Muon_charge > 0]", "Muon_pt[:, :1]", "firsts(Muon_pt)"]},
    {"expressions": ["count_nonzero(Muon_charge)", "mean(Muon_pt)", "argmax(Muon_pt)"]},
    {"expressions": ["concatenate([Muon_pt, Muon_charge])", "where(passed, met, 0)"]},
    {"expressions": ["gamma(met/100)", "erf(met)", "hypot(met, flags)", "round(met)"]},
    {"expressions": ["cells[:, 0]", "sum(cells)"], "cut": "passed"},
    {"expressions": ["met"], "cut": "flags & 4"},
    {"expressions": ["met"], "cut": "flags & 4 == 4"},
    {"expressions": ["met", "Muon_pt"], "cut": "(met > 10) & any(Muon_pt > 30)"},
    {"expressions": ["event"], "cut": "event % 3 == 1"},
    {"expressions": ["met"], "cut": "10 < met"},
    {"expressions": ["Muon_pt", "Muon_charge"], "cut": "Muon_pt > 20"},
    {"expressions": ["Muon_pt", "Muon_pt*2"], "cut": "Muon_charge"},
    {"expressions": ["ht", "met"], "aliases": {"ht": "sum(Muon_pt)", "met": "flags"}},
    {"expressions": ["b"], "aliases": {"a": "met*2", "b": "a + 1"}, "cut": "b > 30"},
    {"expressions": ['get("met")', "nMuon"], "cut": "nMuon > 1"},
    {"cut": "met > 1e9"},
]


@pytest.mark.parametrize("query", QUERIES, ids=str)
@pytest.mark.filterwarnings("ignore:'met' is both an alias and a branch name")
def test_values_and_types_are_those_of_uproot(tree, query):
    expected = tree.arrays(language=language(), **query)
    found = ours(tree, query)
    assert list(found) == expected.fields
    for name, value in found.items():
        assert str(value.type) == str(expected[name].type)
        assert ak.array_equal(value, expected[name], equal_nan=True)
