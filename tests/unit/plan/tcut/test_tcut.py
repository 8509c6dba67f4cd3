"""Cuts of TTree::Draw as plans: what is pushed down, and where they meet the native language."""

from __future__ import annotations

import pytest

import sxdask as sx
from sxdask.core.types import Field, ListOf, Primitive, Schema
from sxdask.plan.codec import plan_from_json, plan_to_json
from sxdask.plan.fingerprint import fingerprint
from sxdask.plan.frontend import FRONTENDS
from sxdask.plan.nodes import Filter, Project
from sxdask.plan.optimize import optimize
from sxdask.plan.text import expression_text
from tests.unit.plan.schemas import EVENTS, LIMITS, Source

COUNTED = Schema(
    tuple(
        Field(name, ListOf(Primitive("float32")), counter=name[:1])
        for name in ("a_pt", "a_eta", "b_pt")
    ),
    tree="Events",
)


class Counted(Source):
    """Columns of two collections, with the branches that count them."""

    def schema(self, tree):
        """Return the columns of `tree`."""
        assert tree == "Events"
        return COUNTED


def parse(cut, source=None, **options):
    return FRONTENDS.load("tcut")(LIMITS).parse({"selection": cut, **options}, source or Source())


def condition(cut, source=None):
    """Return the condition of `cut` as text of the native language."""
    (output,) = parse(cut, source).outputs
    assert isinstance(output.root, Project)
    assert isinstance(output.root.source, Filter)
    return expression_text(output.root.source.predicate)


@pytest.mark.parametrize(
    ("cut", "native"),
    [
        ("nMuon>=2 && MET_pt>50", "(nMuon >= 2) & (MET_pt > 50)"),
        ("(nMuon >= 2) && ((MET_pt > 50))", "(nMuon >= 2) & (MET_pt > 50)"),
        ("nMuon>=2 || MET_pt>50 || run==1", "(nMuon >= 2) | (MET_pt > 50) | (run == 1)"),
        ("HLT_A && !HLT_B", "HLT_A & ~HLT_B"),
        ("!(MET_pt > 2*25)", "~(MET_pt > 50)"),
        ("Muon_pt>30", "any(Muon_pt > 30)"),
        ("MET_pt > 50 && Muon_pt > 30", "(MET_pt > 50) & any(Muon_pt > 30)"),
        ("Muon_pt > 30 && MET_pt > 50", "(MET_pt > 50) & any(Muon_pt > 30)"),
        ("Muon_pt[0] > 30", "(num(Muon_pt) > 0) & (Muon_pt[:, 0] > 30)"),
        ("Length$(Muon_pt) > 2", "num(Muon_pt) > 2"),
        ("Sum$(Muon_pt > 30) >= 2", "sum(Muon_pt > 30) >= 2"),
        ("Sum$(Muon_charge) == 0", "sum(Muon_charge) == 0"),
        ("(Muon_flags & 4) != 0", "any((Muon_flags & 4) != 0)"),
        ('label == "data"', 'label == "data"'),
        ("LocalEntry$ < 10", 'get("LocalEntry$") < 10'),
    ],
)
def test_a_cut_is_the_plan_of_its_native_spelling(cut, native):
    request = {"tree": "Events", "where": native, "select": ["Muon_pt", "MET_pt"]}
    plans = [
        FRONTENDS.load("native")(LIMITS).parse(request, Source()),
        parse(cut, columns=["Muon_pt", "MET_pt"]),
    ]
    found = [optimize(plan, {"Events": EVENTS})[0] for plan in plans]
    assert found[0] == found[1]
    assert fingerprint(found[0]) == fingerprint(found[1])


@pytest.mark.parametrize(
    ("cut", "expected"),
    [
        ("MET_pt > 0.1", "MET_pt > float64(0.1)"),  # not rounded to the column's precision
        ("weight > 0.1", "weight > 0.1"),
        ("nMuon > -1", "nMuon > -1"),
        ("run > -1", "run > -1.0"),  # an unsigned number
        ("event == run", "float64(event) == float64(run)"),  # ROOT compares doubles
        ("MET_pt * 2 > 3", "float64(MET_pt) * 2 > 3"),
        ("MET_pt / 2 > 3", "float64(MET_pt) / 2 > 3"),
        ("1 / nMuon > 3", "where(nMuon != 0, 1 / float64(nMuon), 0.0) > 3"),
        ("MET_pt^2 > 3", "float64(MET_pt) * float64(MET_pt) > 3"),
        ("sqrt(weight) > 3", "sqrt(abs(weight)) > 3"),
        ("TMath::Sqrt(weight) > 3", "sqrt(weight) > 3"),
        ("nMuon % 2 == 1", "float64(fmod(int64(nMuon), 2)) == 1"),
        ("nMuon", "nMuon != 0"),
        ("TMath::Pi() * 0 + 1 < nMuon", "1.0 < nMuon"),
        ("cells > 2", "any(from_regular(cells) > 2, axis=1)"),
        ("Jet_tracks > 2", "any(flatten(Jet_tracks > 2, axis=2), axis=1)"),
    ],
)
def test_numbers_are_doubles_where_it_matters(cut, expected):
    assert condition(cut) == expected


def test_columns_of_one_counter_need_nothing_to_line_up():
    assert condition("a_pt > 2 && a_eta < 1", Counted()) == "any((a_pt > 2) & (a_eta < 1), axis=1)"
    found = condition("a_pt > 2 && b_pt < 1", Counted())
    assert "instances(a_pt, a_pt, b_pt)" in found
    assert "instances(b_pt, a_pt, b_pt)" in found


def test_the_highest_index_of_a_counter_is_enough():
    cut = "a_pt[0] > 2 && a_eta[2] < 1 && a_pt[1] > 2 && b_pt[0] > 1"
    found = condition(cut, Counted())
    assert found.count("num(") == 2
    assert found.startswith("(num(a_eta) > 2) & (num(b_pt) > 0) & ")


def test_constant_cuts_are_decided():
    assert condition("1") == "True"
    assert condition("2 > 3 || 0") == "False"
    assert condition("3 && sqrt(4) == 2") == "True"


def test_an_empty_cut_keeps_every_event():
    (output,) = parse("  ").outputs
    assert not isinstance(output.root.source, Filter)
    assert parse(" ") == FRONTENDS.load("tcut")(LIMITS).parse("", Source())


@pytest.mark.parametrize(
    ("columns", "names"),
    [
        ("Muon_pt", ["Muon_pt"]),
        (["Muon_*", "MET_pt"], None),
        (["MET_pt", "double := 2*MET_pt"], ["MET_pt", "double"]),
        ({"pt": "Muon_pt", "lead": "Muon_pt[0]", "n": "Length$(Muon_pt)"}, ["pt", "lead", "n"]),
        (["Sum$(Muon_pt)"], ["Sum$(Muon_pt)"]),
        (["odd name/x"], ["odd name/x"]),
    ],
)
def test_columns_are_names_patterns_and_formulas(columns, names):
    (output,) = parse("nMuon > 0", columns=columns).outputs
    found = [name for name, _ in output.root.outputs]
    if names is None:
        names = [name for name in EVENTS if name.startswith("Muon_")] + ["MET_pt"]
    assert found == names


def test_a_plan_of_a_cut_travels():
    plan = parse("Muon_pt > 20 && Jet_pt[0] > 3 || Max$(Jet_pt) > 3", columns=["MET_pt"])
    assert plan_from_json(plan_to_json(plan)) == plan


def test_formulas_as_columns_have_a_value_an_event_or_an_item(make_nanoaod):
    data = sx.dataset(make_nanoaod(200))
    columns = {
        "lead": "Muon_pt[0]",
        "double": "2*Muon_pt",
        "ht": "Sum$(Jet_pt)",
        "n": "@Muon_pt.size()",
    }
    events = sx.request("tcut", "nJet > 1", dataset=data, columns=columns).compute()
    native = data.where("nJet > 1").select(
        lead="firsts(Muon_pt)",
        double="2 * float64(Muon_pt)",
        ht="sum(float64(Jet_pt))",
        n="num(Muon_pt)",
    )
    assert events.to_list() == native.compute().to_list()


def test_explain_shows_what_is_pushed_down(make_nanoaod):
    data = sx.dataset(make_nanoaod(200))
    query = sx.request(
        "tcut", "MET_pt > 20 && Muon_pt > 30 && abs(Muon_eta) < 2.4", dataset=data, columns="event"
    )
    text = query.explain()
    assert "where MET_pt > 20" in text
    assert "where any((Muon_pt > 30) & (abs(Muon_eta) < float64(2.4)), axis=1)" in text
    zones = next(line for line in text.splitlines() if "zone tests" in line)
    for column in ("MET_pt", "Muon_pt", "Muon_eta"):
        assert column in zones
