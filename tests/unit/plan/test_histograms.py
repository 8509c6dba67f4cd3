"""Histograms as users write them, and every way to write them wrong."""

from __future__ import annotations

from typing import Any

import pytest

from sxdask.core.errors import RecipeError, SelectionTypeError, UnknownBranchError
from sxdask.core.results import Axis, Histogram
from sxdask.core.settings import load_settings
from sxdask.core.types import Field, ListOf, Primitive, Schema, String
from sxdask.plan.expr import Column
from sxdask.plan.histograms import parse_histograms
from sxdask.plan.nodes import Project, Scan

FLOAT = Primitive("float32")
SCHEMA = Schema(
    (
        Field("met", FLOAT),
        Field("pt", ListOf(FLOAT)),
        Field("w", FLOAT),
        Field("name", String()),
        Field("n", Primitive("int32")),
    ),
    tree="Events",
)
REGULAR = {"column": "met", "bins": 10, "start": 0, "stop": 100}


def parsed(specs: object) -> tuple[Project, tuple[Histogram, ...]]:
    return parse_histograms(specs, Scan("Events"), SCHEMA, load_settings())


def test_one_axis_needs_no_list() -> None:
    project, (found,) = parsed({"met": {**REGULAR, "label": "MET [GeV]"}})
    axis = Axis("met", bins=10, start=0.0, stop=100.0, label="MET [GeV]")
    assert found == Histogram("met", (axis,))
    assert project.outputs == (("met", Column("met")),)


def test_expressions_become_columns_of_their_own_and_nothing_else_is_computed() -> None:
    project, (found,) = parsed(
        {"h": {"axes": [REGULAR, {"column": "max(pt)", "edges": [0, 1, 5]}], "weight": "w * 2"}}
    )
    assert [name for name, _ in project.outputs] == ["met", "max(pt)", "w * 2"]
    assert found.axes[1] == Axis("max(pt)", edges=(0.0, 1.0, 5.0))
    assert found.weight == "w * 2"


def test_categories_may_be_texts_or_whole_numbers() -> None:
    _, (found,) = parsed({"h": {"column": "name", "categories": ["a", "b"]}})
    assert found.axes[0].categories == ("a", "b")
    _, (found,) = parsed({"h": {"column": "n", "categories": [1, 2]}})
    assert found.axes[0].categories == (1, 2)


@pytest.mark.parametrize(
    ("specs", "problem"),
    [
        ({}, "the histograms are"),
        ([], "the histograms are"),
        ({"h": 3}, "it is 3"),
        ({"h": {"bins": 3, "start": 0, "stop": 1}}, "names no 'column'"),
        ({"h": {"column": "met"}}, "needs bins, edges or categories"),
        ({"h": {**REGULAR, "edges": [0, 1]}}, "needs bins, edges or categories"),
        ({"h": {**REGULAR, "bins": 0}}, "'bins' is 0"),
        ({"h": {**REGULAR, "bins": True}}, "'bins' is True"),
        ({"h": {**REGULAR, "start": 100}}, "from 100 to 100"),
        ({"h": {**REGULAR, "stop": float("inf")}}, "from 0 to inf"),
        ({"h": {**REGULAR, "stop": "x"}}, "from 0 to 'x'"),
        ({"h": {"column": "met", "edges": [1, 0]}}, "'edges' is"),
        ({"h": {"column": "met", "edges": "01"}}, "'edges' is"),
        ({"h": {"column": "name", "categories": [1, "a"]}}, "'categories' is"),
        ({"h": {"column": "n", "categories": [1, 1]}}, "'categories' is"),
        ({"h": {"column": "name", "bins": 1, "start": 0, "stop": 1}}, "name is string"),
        ({"h": {"column": "met", "categories": ["a"]}}, "met is float32"),
        ({"h": {"column": "met", "categories": [1, 2]}}, "met is float32"),
        ({"h": {**REGULAR, "binz": 3}}, "no key 'binz'"),
        ({"h": {**REGULAR, "label": 3}}, "'label' is 3"),
        ({"h": {"axes": [], "weight": "w"}}, "'axes' is"),
        ({"h": {"axes": [REGULAR], "bins": 3}}, "'bins' stands beside 'axes'"),
        ({"h": {"axes": [{**REGULAR, "bins": 100_000}, {**REGULAR, "bins": 1000}]}}, "bins, more"),
        ({"h": {**REGULAR, "column": 3}}, "a column is 3"),
    ],
)
def test_a_mistake_is_refused_with_the_histogram_and_the_key(specs: Any, problem: str) -> None:
    with pytest.raises(RecipeError, match=problem):
        parsed(specs)


def test_unknown_columns_and_wrong_types_are_refused_where_they_stand() -> None:
    with pytest.raises(UnknownBranchError):
        parsed({"h": {**REGULAR, "column": "mett"}})
    with pytest.raises(SelectionTypeError):
        parsed({"h": {**REGULAR, "column": "sum(met)"}})
