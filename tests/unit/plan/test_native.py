"""The native language: tree, conditions, columns and definitions."""

from __future__ import annotations

import pytest

from sxdask.core.errors import RecipeError, SelectionTypeError, UnknownTreeError
from sxdask.plan.explain import show
from sxdask.plan.frontends.native import NativeFrontend
from tests.unit.plan.schemas import LIMITS, Source


class TwoTrees(Source):
    """A file that does not say which of its trees is meant."""

    default_tree = None  # type: ignore[assignment]


def plan_of(query, source=None):
    return NativeFrontend(LIMITS).parse(query, source or Source())


def test_a_query_is_conditions_and_columns():
    plan = plan_of(
        {
            "where": ["nMuon >= 2", "ht > 100"],
            "select": ["Muon_[pe]*", "ht", "MET_pt / ht"],
            "define": {"ht": "sum(Jet_pt)"},
        }
    )
    ht = "sum(Jet_pt, axis=1)"
    assert show(plan).splitlines() == [
        f"Project [Muon_pt, Muon_eta, ht={ht}, MET_pt / ht=MET_pt / {ht}]",
        f"  Filter {ht} > 100",
        "    Filter nMuon >= 2",
        "      Scan Events [*]",
    ]


def test_without_select_everything_readable_and_defined_comes():
    (output,) = plan_of({"define": {"ht": "sum(Jet_pt)"}}).outputs
    names = [name for name, _ in output.root.outputs]
    assert names[-1] == "ht"
    assert "MET_pt" in names
    assert "broken" not in names


def test_a_tree_may_be_named():
    assert "Scan Runs" in show(plan_of({"tree": "Runs"}))
    with pytest.raises(UnknownTreeError):
        plan_of({"tree": "Other"})
    with pytest.raises(RecipeError, match="several trees") as caught:
        plan_of({"where": "run > 1"}, TwoTrees())
    assert "'Events', 'Runs'" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("query", "problem"),
    [
        ({"wher": "nMuon > 1"}, "no key 'wher'"),
        ({"where": 3}, "'where' is 3"),
        ({"select": [3]}, "'select' is"),
        ({"define": ["a"]}, "'define' is"),
        ({"tree": 3}, "'tree' is 3"),
        ([], "is a mapping"),
        ("{", "not JSON"),
    ],
)
def test_malformed_queries_are_refused(query, problem):
    with pytest.raises(RecipeError, match=problem.replace("(", r"\(")):
        plan_of(query)


def test_a_definition_does_not_hide_a_column():
    with pytest.raises(SelectionTypeError, match="already a column"):
        plan_of({"define": {"MET_pt": "nMuon"}})


def test_one_name_is_one_column():
    plan = plan_of({"select": ["MET_pt", "MET_*"]})
    assert [name for name, _ in plan.outputs[0].root.outputs] == ["MET_pt"]
