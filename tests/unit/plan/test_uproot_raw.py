"""The uproot-raw language: every key, its defaults, and its errors."""

from __future__ import annotations

import json

import pytest

from sxdask.core.errors import (
    RequestError,
    SelectionSyntaxError,
    SelectionTypeError,
    UnknownBranchError,
    UnknownTreeError,
)
from sxdask.plan.explain import show
from sxdask.plan.expr import Column, Subscript
from sxdask.plan.frontends.uproot_raw import UprootRawFrontend
from sxdask.plan.name_filter import name_filter
from sxdask.plan.nodes import Filter, Project, Scan
from tests.unit.plan.schemas import LIMITS, Source


def plan_of(*queries):
    return UprootRawFrontend(LIMITS).parse(list(queries), Source())


def columns_of_only(plan):
    (output,) = plan.outputs
    assert isinstance(output.root, Project)
    return [name for name, _ in output.root.outputs]


def test_outputs_are_named_by_their_text():
    plan = plan_of({"treename": "Events", "expressions": ["MET_pt", "MET_pt*2", "MET_pt"]})
    assert columns_of_only(plan) == ["MET_pt", "MET_pt*2"]
    assert columns_of_only(plan_of({"treename": "Events", "expressions": "nMuon"})) == ["nMuon"]


def test_expressions_win_over_filters():
    query = {"treename": "Events", "expressions": ["MET_pt"], "filter_name": "Muon_*"}
    assert columns_of_only(plan_of(query)) == ["MET_pt"]
    assert columns_of_only(plan_of({"treename": "Events", "expressions": []})) == []


@pytest.mark.parametrize(
    ("filters", "columns"),
    [
        ({"filter_name": "MET_pt"}, ["MET_pt"]),
        ({"filter_name": "Muon_p*"}, ["Muon_pt"]),
        ({"filter_name": ["/^muon_(pt|eta)$/i", "MET_pt"]}, ["MET_pt", "Muon_pt", "Muon_eta"]),
        ({"filter_name": "/Muon_(pt|eta)/"}, ["Muon_pt", "Muon_eta"]),
        ({"filter_name": "/uon_pt/"}, []),
        ({"filter_name": "HLT_[AB]"}, ["HLT_A", "HLT_B"]),
        ({"filter_name": "muon_pt"}, []),
        ({"filter_name": "Jets/Jets.fPt"}, ["Jets.fPt"]),
        ({"filter_name": ["nothing", "MET_pt"]}, ["MET_pt"]),
        ({"filter_name": []}, []),
        ({"filter_name": "*_pt", "filter_typename": "float"}, ["MET_pt"]),
        ({"filter_typename": ["bool*", "/string/"]}, ["HLT_A", "HLT_B", "Muon_isGood", "label"]),
    ],
)
def test_filters_choose_branches_as_uproot_does(filters, columns):
    assert columns_of_only(plan_of({"treename": "Events", **filters})) == columns


def test_without_filters_every_readable_branch_comes():
    names = columns_of_only(plan_of({"treename": "Events", "filter_name": None}))
    assert "broken" not in names
    assert {"MET_pt", "odd name/x", "Jets.fPt"} <= set(names)


def test_a_cut_keeps_what_is_not_zero():
    plan = plan_of({"treename": "Events", "expressions": "MET_pt", "cut": "nMuon & 2"})
    assert "Filter (nMuon & 2) != 0" in show(plan)
    plan = plan_of({"treename": "Events", "expressions": "MET_pt", "cut": "nMuon > 2"})
    assert "Filter nMuon > 2" in show(plan)
    for number in (1, "1", True, "0.5"):
        plan = plan_of({"treename": "Events", "expressions": "MET_pt", "cut": number})
        assert isinstance(plan.outputs[0].root.source, Filter)


def test_a_cut_with_lists_masks_the_items_of_every_output():
    plan = plan_of({"treename": "Events", "expressions": ["Muon_eta"], "cut": "Muon_pt > 30"})
    (output,) = plan.outputs
    assert isinstance(output.root, Project)
    assert output.root.source == Scan("Events")
    ((name, expr),) = output.root.outputs
    assert name == "Muon_eta"
    assert isinstance(expr, Subscript)
    assert expr.value == Column("Muon_eta")
    plan = plan_of({"treename": "Events", "expressions": ["Muon_eta"], "cut": "Muon_charge"})
    assert "Muon_eta[Muon_charge != 0]" in show(plan)


def test_a_cut_with_lists_cannot_mask_one_value_per_event():
    with pytest.raises(SelectionTypeError, match="cannot mask 'MET_pt'") as caught:
        plan_of({"treename": "Events", "expressions": ["MET_pt"], "cut": "Muon_pt > 30"})
    assert "any(..., axis=1)" in str(caught.value.hint)


def test_the_axis_is_within_the_event_unless_the_standard_is_asked_for():
    texts = ["any(Muon_pt > 3)", "num(Jet_tracks)", "flatten(Jet_tracks)"]
    shown = show(plan_of({"treename": "Events", "expressions": texts}))
    assert "any(Muon_pt > 3, axis=1)" in shown
    assert "flatten(Jet_tracks, axis=2)" in shown
    standard = {"treename": "Events", "use_standard_awkward_axis": True}
    with pytest.raises(SelectionTypeError, match="mix events"):
        plan_of({**standard, "expressions": "any(Muon_pt > 3)"})
    with pytest.raises(SelectionTypeError, match="mix events"):
        plan_of({**standard, "expressions": "flatten(Jet_tracks)"})
    plan_of({**standard, "expressions": "any(Muon_pt > 3, axis=1)"})


def test_aliases_are_names_and_no_outputs():
    query = {
        "treename": "Events",
        "aliases": {"ht": "sum(Jet_pt)", "twice": "2*ht", "MET_pt": "nMuon"},
        "cut": "twice > 10",
    }
    assert "ht" not in columns_of_only(plan_of(query))
    plan = plan_of({**query, "expressions": ["ht", "MET_pt"]})
    assert columns_of_only(plan) == ["ht", "MET_pt"]
    # a branch hides an alias of the same name, as in uproot
    assert plan.outputs[0].root.outputs[1][1] == Column("MET_pt")


def test_trees_may_be_text_list_or_map():
    one = plan_of({"treename": "Events;1", "expressions": "MET_pt"})
    assert one.outputs[0].name == ""
    several = plan_of({"treename": ["Events", "Runs"], "expressions": "run"})
    assert [item.name for item in several.outputs] == ["Events", "Runs"]
    renamed = plan_of({"treename": {"Events": "small"}, "expressions": "run"})
    assert [item.name for item in renamed.outputs] == ["small"]


def test_a_missing_tree_is_skipped_unless_it_must_not_be():
    query = {"treename": ["Events", "Other"], "expressions": "run"}
    (output,) = plan_of(query).outputs
    assert output.allow_missing_tree
    assert plan_of({"treename": "Other"}).outputs == ()
    with pytest.raises(UnknownTreeError):
        plan_of({**query, "fail_on_missing_trees": True})
    (output,) = plan_of({"treename": "Events", "fail_on_missing_trees": True}).outputs
    assert not output.allow_missing_tree


def test_two_sub_queries_may_write_one_tree_if_their_columns_agree():
    first = {"treename": "Events", "expressions": ["MET_pt"], "cut": "nMuon == 1"}
    second = {**first, "cut": "nMuon == 2"}
    assert [item.name for item in plan_of(first, second).outputs] == ["Events", "Events"]
    with pytest.raises(SelectionTypeError, match="different columns: weight") as caught:
        plan_of(first, {**second, "expressions": ["MET_pt", "weight"]})
    assert "treename" in str(caught.value.hint)
    with pytest.raises(SelectionTypeError, match="different columns: x"):
        plan_of(
            {"treename": "Events", "aliases": {"x": "MET_pt"}, "expressions": "x"},
            {"treename": "Events", "aliases": {"x": "nMuon"}, "expressions": "x"},
        )


def test_histograms_are_copied_by_name():
    plan = plan_of(
        {"copy_histograms": ["h_*", "/cut.*/"]},
        {"treename": None, "copy_histograms": "h_*"},
        {"treename": "Events", "expressions": "MET_pt", "copy_histograms": None},
    )
    assert plan.copies == ("h_*", "/cut.*/")
    assert len(plan.outputs) == 1


def test_unknown_keys_are_ignored_and_nulls_are_absent():
    empty = dict.fromkeys(
        ["cut", "aliases", "filter_name", "filter_typename", "copy_histograms", "expressions"]
    )
    query = {"treename": "Events", **empty, "fail_on_missing_trees": None, "new_key": [1]}
    assert plan_of(query) == plan_of({"treename": "Events"})


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "empty string"),
        ("  ", "empty string"),
        ("3", "not a list"),
        ('"Events"', "not a list"),
        ("[3]", "a sub-query is 3"),
        ("[{}]", "at least one tree or histogram must be specified"),
        ('[{"treename": ""}]', "at least one tree or histogram must be specified"),
        ('[{"treename": null, "copy_histograms": null}]', "at least one tree or histogram"),
        ('[{"treename": 3}]', "'treename' is 3"),
        ('[{"treename": ["Events", 3]}]', "'treename' is"),
        ('[{"treename": {"Events": ""}}]', "'treename' is"),
        ('[{"treename": "Events", "expressions": 3}]', "'expressions' is 3"),
        ('[{"treename": "Events", "aliases": ["a"]}]', "'aliases' is"),
        ('[{"treename": "Events", "cut": [1]}]', "'cut' is"),
        ('[{"treename": "Events", "fail_on_missing_trees": "yes"}]', "'fail_on_missing_trees' is"),
        ("[{", "not JSON"),
    ],
)
def test_malformed_queries_are_refused(text, problem):
    with pytest.raises(RequestError) as caught:
        UprootRawFrontend(LIMITS).parse(text, Source())
    assert problem in caught.value.problem


def test_a_mistake_names_its_sub_query():
    good = {"treename": "Events", "expressions": "MET_pt"}
    with pytest.raises(UnknownBranchError) as caught:
        plan_of(good, {**good, "cut": "nowhere > 1"})
    assert caught.value.context["sub_query"] == 1


def test_a_dictionary_is_one_sub_query():
    query = {"treename": "Events", "expressions": "MET_pt"}
    frontend = UprootRawFrontend(LIMITS)
    assert frontend.parse(query, Source()) == frontend.parse(json.dumps([query]), Source())


@pytest.mark.parametrize(
    ("pattern", "problem"),
    [
        ("/(/", "not a regular expression"),
        ("/a/L", "is for bytes"),
        ("/(a+)+$/", "very long"),
        ("/" + "a" * 2000 + "/", "very long"),
    ],
)
def test_regular_expressions_that_cannot_be_used_are_refused(pattern, problem):
    with pytest.raises(SelectionSyntaxError, match=problem):
        name_filter(pattern)


def test_flags_of_a_regular_expression_count():
    accepts = name_filter("/ muon # a comment/ix")
    assert accepts("MUON_pt")
    assert name_filter("/a.b/s")("a\nb")
    assert not name_filter("/a.b/")("a\nb")
