"""Selections are read when they are submitted."""

from __future__ import annotations

import base64
import json
import time

import pytest

from sxdask.core.errors import RequestError, RequestTooLargeError
from sxdask.service.rest.selections import SelectionLimits, require_selection

LIMITS = SelectionLimits(allow_python=True)


def raw(**query) -> str:
    return json.dumps([{"treename": "Events", **query}])


def coded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    "expression",
    [
        "MET_pt",
        "sum(Jet_pt > 50)",
        "ak.num(x) >= 2",
        "np.sqrt(px**2 + py**2)",
        "Jet_pt[:, 0]",
        "(a > 1) & (b < 2)",
        "flags & 4 == 4",
        "argsort(pt, axis=1, ascending=False)",
        "AnalysisElectronsAuxDyn.pt[AnalysisElectronsAuxDyn.pt > 10]",
        "where(a > 1, b, c)",
        "3lep_SR",
        "lead-jet 1",
    ],
)
def test_what_some_data_could_answer_is_let_through(expression):
    require_selection("uproot-raw", raw(expressions=[expression]), LIMITS)
    require_selection("uproot-raw", raw(cut=expression, filter_name="a*"), LIMITS)


@pytest.mark.parametrize(
    ("language", "selection"),
    [
        ("uproot-raw", '[{"copy_histograms": "cutflow*", "treename": null}]'),
        ("uproot-raw", '{"treename": {"a": "b"}, "unknown": 1}'),
        ("qastle", "(call Select (call EventDataset 'bogus' 't') (lambda (list e) (attr e 'x')))"),
        ("tcut", "Muon_pt > 20 && abs(Muon_eta) < 2.4"),
        ("skyhook", "select event_id>5, project Events;75.Muon_eta,Events;75.Muon_phi"),
        ("python", coded("def run_query(path):\n    return 'Grüße'")),
    ],
)
def test_each_language_is_read_by_its_own_parser(language, selection):
    require_selection(language, selection, LIMITS)


@pytest.mark.parametrize(
    ("language", "selection", "problem"),
    [
        ("qastle", " ", "empty"),
        ("uproot-raw", "{", "not JSON"),
        ("uproot-raw", "[]", "no query"),
        ("uproot-raw", "7", "not a list"),
        ("uproot-raw", '[{"cut": "a"}]', "at least one tree"),
        ("uproot-raw", raw(expressions=["a >"]), "not an expression"),
        ("uproot-raw", raw(cut="a && b"), "&& is not part"),
        ("uproot-raw", raw(cut="exec('x')"), "no function 'exec'"),
        ("uproot-raw", raw(cut="__import__('os').system('x')"), "__import__ is not part"),
        ("uproot-raw", raw(expressions=["a[0].__class__()"]), "__class__ is not part"),
        ("qastle", "(call Select (call EventDataset) (lamda (list e) 1))", "no node 'lamda'"),
        ("qastle", "(call Select (call EventDataset) (lambda (list e) (call eval 'e')))", "'eval'"),
        ("qastle", "(call Select (call EventDataset) (lambda (list e) other))", "no variable"),
        ("qastle", "(call __import__ 'os')", "not part of the language"),
        ("tcut", 'gSystem->Exec("rm -rf /")', "cannot be called"),
        ("tcut", "a >", "both sides"),
        ("skyhook", "drop table users", "begins with 'select'"),
        ("python", coded("def f(x): pass"), "does not define"),
        ("python", coded("def run_query("), "not Python"),
        ("python", "!!", "neither"),
    ],
)
def test_what_no_data_could_answer_is_refused(language, selection, problem):
    with pytest.raises(RequestError, match=problem):
        require_selection(language, selection, LIMITS)


@pytest.mark.parametrize(
    ("language", "selection"),
    [
        ("uproot-raw", raw(cut="(" * 300 + "a" + ")" * 300)),
        ("uproot-raw", raw(cut="+".join(["a"] * 60_000))),
        ("uproot-raw", " " * 2_000_000),
        ("uproot-raw", raw(cut="a" * 2_000_000)),
        ("uproot-raw", json.dumps([{"treename": "t"}] * 1_001)),
        ("qastle", "(not " * 2_000 + "a" + ")" * 2_000),
        ("tcut", "(" * 5_000 + "a" + ")" * 5_000),
        ("python", coded("def run_query(p): return " + "(" * 500 + ")" * 500)),
    ],
    ids=range(8),
)
def test_size_and_depth_have_limits(language, selection):
    with pytest.raises(RequestError):
        require_selection(language, selection, LIMITS)


def test_trees_times_expressions_are_not_planned_one_by_one():
    """More than a million pairs in a text of half a megabyte."""
    names = [f"t{n}" for n in range(40_000)]
    for trees in (names, dict.fromkeys(names, "same")):
        begin = time.process_time()
        text = json.dumps([{"treename": trees, "expressions": ["a + b"] * 40}])
        require_selection("uproot-raw", text, LIMITS)
        assert time.process_time() - begin < 20
    with pytest.raises(RequestError, match="treename"):
        require_selection("uproot-raw", '[{"treename": ["a", 1]}]', LIMITS)


def test_the_operators_limits_count():
    with pytest.raises(RequestTooLargeError, match="limit is 10"):
        require_selection("tcut", "Muon_pt > 20", SelectionLimits(max_selection_bytes=10))
    with pytest.raises(RequestError, match="switched off"):
        require_selection("python", coded("def run_query(path): pass"), SelectionLimits())
