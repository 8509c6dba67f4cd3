"""Every mistake in a cut is told with its place, in bounded time."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sxdask.core.errors import RequestError, RequestTooLargeError, SxdaskError
from sxdask.core.settings import load_settings
from sxdask.plan.frontend import FRONTENDS
from tests.contracts.test_frontends import HOSTILE
from tests.refusals import error_of
from tests.unit.plan.schemas import LIMITS, Source
from tests.watchdog import at_most

# An empty cut keeps all; these are numbers, too large for a double or not at all.
FINE = {"", "9 ** 9 ** 9 ** 9", "1 << 10000000000", "-" * 100_000 + "1"}


def parse(cut, **options):
    return FRONTENDS.load("tcut")(LIMITS).parse({"selection": cut, **options}, Source())


@pytest.mark.parametrize(
    ("cut", "at", "told"),
    [
        ("MET_ptt > 1", 0, "no branch 'MET_ptt'"),
        ("nMuon > 1 && MET_ptt > 1", 13, "no branch 'MET_ptt'"),
        ("MET_pt = 1", 7, "'='"),
        ("MET_pt > ", 7, "needs a value on both sides"),
        ("> 1", 0, "needs a value on both sides"),
        ("nMuon > 1 &&", 10, "needs a value on both sides"),
        ("nMuon > 1 && && run", 13, "needs a value on both sides"),
        ("(nMuon > 1", 0, "not closed"),
        ("nMuon > 1)", 9, "closes nothing"),
        ("Muon_pt[0)", 9, "closes nothing"),
        ("()", 1, "a value is expected"),
        ("nMuon run", 6, "an operator is expected"),
        ("nMuon and run", 6, "an operator is expected"),
        ("2 MET_pt", 2, "an operator is expected"),
        ("~nMuon", 0, "'~'"),
        ("+nMuon > 1", 0, "no + before a name"),
        ("MET_pt > 1f", 9, "a number has no letter"),
        ("MET_pt > 'a'", 9, '"\'"'),
        ('label == "a', 9, "'\"'"),
        ("label > 2", 0, "text is no number"),
        ("label == 2", 0, "compares text with a number"),
        ("label", 0, "text is no number"),
        ("nMuon ? 1", 6, "without ':'"),
        ("nMuon : 1", 6, "without '?'"),
        ("nMuon<2>1", 5, "template"),
        ("1<=nMuon<=2", 8, "a second '<='"),
        ("frobnicate(nMuon)", 0, "no function"),
        ("nMuon > sqr(2)", 8, "no function"),
        ("Sum(Muon_pt) > 2", 0, "no function"),
        ("Mean$(Muon_pt) > 2", 0, "no function"),
        ("sqrt(2, 3)", 0, "takes 1 argument"),
        ("pow(MET_pt)", 0, "takes 2 arguments"),
        ("pow(MET_pt,)", 11, "a value is expected"),
        ("Sum$()", 0, "takes 1 argument"),
        ("TMath::Pi(2)", 0, "takes no argument"),
        ("Muon_pt[0][1] > 1", 0, "1 dimension and 2 indices"),
        ("MET_pt[0] > 1", 0, "0 dimensions and 1 ind"),
        ("cells[3] > 1", 0, "3 items in this dimension, and no item 3"),
        ("matrix[0][2] > 1", 0, "no item 2"),
        ("cells[Muon_pt] > 1", 0, "fixed size"),
        ("cells > 1 && Jet_pt[Muon_charge] > 1", 13, "beside an array of a fixed size"),
        ("matrix[nMuon] > 1", 0, "2 dimensions"),
        ("Muon_pt[Iteration$] > 1", 8, "no meaning inside an index"),
        ("Muon_pt[Jet_tracks] > 1", 8, "at most one dimension"),
        ("Muon_nStations > 1", 0, "signed bytes"),
        ("Alt$(Muon_pt[0], Muon_pt) > 1", 17, "one value per entry"),
        ("Jet_tracks > 1 && Alt$(Muon_pt, 0)", 18, "one dimension"),
        ("Entries$ > 2", 0, "not available"),
        ("@MET_pt.size() > 1", 0, "no collection"),
        ("@Muon_pt > 1", 0, "'@' stands in"),
        ("Jet_pt.Pt() > 1", 7, "methods"),
        ("broken > 1", 0, "cannot be read"),
        ("MET_pt > 1;", 10, "';'"),
        ("MET_pt > \u0661", 9, "not part of a formula"),
    ],
)
def test_a_mistake_is_told_with_its_place(cut, at, told):
    error = error_of(lambda: parse(cut), "SX101", "SX102", "SX103", "SX107")
    first, line, caret = error.problem.splitlines()
    assert told in first
    assert line == cut
    assert caret == " " * at + "^"


def test_a_mistake_in_a_column_is_told_with_its_place():
    error = error_of(lambda: parse("nMuon > 1", columns=["ht := Sum$(Jet_ptt)"]), "SX101")
    assert error.problem.splitlines()[2].index("^") == len("ht := Sum$(")
    error = error_of(lambda: parse("", columns={"ht": "Sum$(Jet_pt"}), "SX102")
    assert error.problem.splitlines()[2].index("^") == 4


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        ({"selection": 3}, "SX100"),
        ({"selection": None}, "SX100"),
        ({"selection": "1", "colums": ["MET_pt"]}, "SX100"),
        ({"selection": "1", "tree": 3}, "SX100"),
        ({"selection": "1", "tree": "Nothing"}, "SX204"),
        ({"selection": "1", "columns": 3}, "SX100"),
        ({"selection": "1", "columns": {"a": 3}}, "SX100"),
        ({"selection": "1", "columns": ["Nothing_*"]}, "SX101"),
        ({"selection": "1", "columns": ["a := MET_pt", "a := nMuon"]}, "SX103"),
        (["MET_pt > 1"], "SX100"),
    ],
)
def test_a_malformed_request_is_refused(request_, code):
    error_of(lambda: FRONTENDS.load("tcut")(LIMITS).parse(request_, Source()), code)


@pytest.mark.parametrize(
    "text",
    [
        *(text for text in HOSTILE if text not in FINE),
        "MET_pt > " + "9" * 100_000,
        "!" * 50_000 + "MET_pt",
        "max(" * 5_000 + "MET_pt" + ",1)" * 5_000,
        "max(" * 100 + "MET_pt" + ",MET_pt)" * 100,
        "(" * 150 + "MET_pt" + "^2)" * 150,
        "MET_pt" + "[0]" * 5_000,
        "Muon_pt[" * 190 + "0" + "]" * 190,
        "Sum$(" * 190 + "Muon_pt" + "/Muon_pt)" * 190,
        "MET_pt" + " ? MET_pt" * 5_000 + " : 1" * 5_000,
        "MET_pt<1" + "<1" * 5_000,
        '"' + "a" * 5_000 + '"',
        "a." * 5_000 + "a",
        "1e999999999999999999999999999999999999999999",
    ],
    ids=lambda text: repr(text)[:30],
)
def test_hostile_text_is_refused_at_once(text):
    with at_most(2):
        for request in ({"selection": text}, {"selection": "1", "columns": [text]}):
            with pytest.raises(SxdaskError) as caught:
                FRONTENDS.load("tcut")(LIMITS).parse(request, Source())
            assert caught.value.fault == "user"


def test_long_cuts_of_many_triggers_are_fine():
    parse(" || ".join(["HLT_A", "HLT_B"] * 400))
    parse(" && ".join(f"MET_pt > {number}" for number in range(400)))


def test_text_beyond_the_limit_is_refused():
    small = load_settings({"SXDASK_MAX_SELECTION_BYTES": "1000"})
    with pytest.raises(RequestTooLargeError):
        FRONTENDS.load("tcut")(small).parse("MET_pt > 1" + " " * 1000, Source())


_WORDS = [
    *[
        "MET_pt",
        "nMuon",
        "Muon_pt",
        "Jet_tracks",
        "cells",
        "label",
        "HLT_A",
        "Sum$(",
        "Max$(",
        "Alt$(",
    ],
    *[
        "Length$",
        "Iteration$",
        "Entry$",
        "(",
        ")",
        "[",
        "]",
        "[0]",
        ",",
        "+",
        "-",
        "*",
        "/",
        "^",
        "%",
    ],
    *[
        "&&",
        "||",
        "!",
        "&",
        "|",
        "<<",
        ">>",
        "<",
        ">",
        "<=",
        "==",
        "?",
        ":",
        "1",
        "0",
        "2.5",
        "1e-3",
    ],
    *['"a"', "sqrt(", "TMath::Max(", "@", ".size()", ".", "$", " ", "\n"],
]


@given(st.lists(st.sampled_from(_WORDS), max_size=25).map("".join))
def test_any_text_is_a_plan_or_refused_with_a_reason(text):
    with suppress(RequestError):
        parse(text)
