"""What does not fit is refused with its place in the text and a way out."""

from __future__ import annotations

import pytest

from sxdask.core.errors import SelectionTypeError, SxdaskError
from sxdask.plan.selection import parse_expression, parse_predicate
from tests.unit.plan.schemas import EVENTS, LIMITS

REJECTED = [
    ("sum(Muon_pt, axis=0) > 1", "sum", "mix events", "axis=1"),
    ("sum(Muon_pt, axis=None) > 1", "sum", "mix events", "axis=1"),
    ("sum(Jet_tracks, axis=-3)", "sum", "mix events", "axis=1"),
    ("1 + sum(MET_pt)", "sum", "needs a list", ""),
    ("sum(Muon_pt, axis=2)", "sum", "too deep", "axis=1"),
    ("sort(MET_pt)", "sort", "needs a list", ""),
    ("flatten(Jet_tracks, axis=1)", "flatten", "mix events", "axis=2"),
    ("flatten(Muon_pt)", "flatten", "too deep", ""),
    ("num(Muon_pt, axis=0)", "num", "mix events", "axis=1"),
    ("drop_none(firsts(Muon_pt))", "drop", "remove events", "fill_none"),
    ("concatenate([Muon_pt, MET_pt])", "concat", "needs a list", ""),
    ("concatenate([Muon_pt, Jet_pt], axis=0)", "concat", "mix events", "axis=1"),
    ("almost_equal(Muon_pt, Jet_pt)", "almost", "across events", "isclose"),
    ("softmax(Jet_tracks)", "softmax", "innermost", "axis=-1"),
    ("2 * Muon_pt[0]", "Muon_pt", "pick one event", "x[:, 0]"),
    ("Muon_pt[-1]", "Muon_pt", "pick one event", "x[:, -1]"),
    ("Muon_pt[1:3]", "Muon_pt", "drop events", "x[:, ...]"),
    ("Muon_pt[HLT_A]", "Muon_pt", "drop events", "mask"),
    ("Muon_pt[nMuon]", "Muon_pt", "pick events", "mask"),
    ("Muon_pt[:, 0, 0]", "Muon_pt", "more places", ""),
    ("Muon_pt[Muon_isGood, 0]", "Muon_pt", "cannot go together", "two steps"),
    ("Muon_pt[:, Muon_isGood]", "Muon_pt", "numbers and slices", "x[mask]"),
    ("Muon_pt[Muon_pt]", "Muon_pt", "booleans or integers", ""),
    ("MET_pt[Muon_isGood]", "MET_pt", "list per event", "broadcast"),
    ("cells[cells > 1]", "cells", "lose the events", "mask"),
    ("cells[:, 3]", "cells", "no item 3", ""),
    ("cells * MET_pt", "cells", "line up", "x[:, 0]"),
    ("matrix + cells", "matrix", "line up", ""),
    ("label == 1", "label", "text cannot be compared", ""),
    ('label < "b"', "label", "no order", "=="),
    ("label + 1", "label", "does not work on text", ""),
    ("~MET_pt", "~", "booleans or integers, not float32", "compare first"),
    ("MET_pt & HLT_A", "MET_pt", "booleans or integers", "bind tighter"),
    ("-HLT_A", "-", "does not work on booleans", "~"),
    ("HLT_A - HLT_B", "HLT_A", "does not work on booleans", "^"),
    ("Muon_flags + 300", "300", "out of the range of uint8", "300.0"),
    ("Muon_flags > 300", "300", "out of the range of uint8", ""),
    ("combinations(Muon_pt, 2) + 1", "comb", "does not work on records", "'0', '1'"),
    ("combinations(Muon_pt, 2).a", "comb", "no field 'a'", "'0', '1'"),
    ('combinations(Muon_pt, 2, fields=["a"])', "comb", "needs 2 fields", ""),
    ("MET_pt.x", "MET_pt", "has no fields", ""),
    ("MET_pt(3)", "MET_pt", "is a branch", ""),
    ("fill_none(firsts(Muon_pt), MET_pt)", "fill", "takes a constant", "where"),
    ("sum(Muon_pt, 1)", "1)", "fewer arguments", "axis=1"),
    ("max(MET_pt, nMuon)", "nMuon", "fewer arguments", "maximum(a, b)"),
    ("sum(Muon_pt, axes=1)", "1)", "no argument 'axes'", "'axis'"),
    ('sum(Muon_pt, axis="1")', '"1"', "must be a whole number", ""),
    ("sum()", "sum", "needs 1 argument", ""),
    ("where(HLT_A)", "where", "needs 3 arguments", ""),
    ("moment(Muon_pt)", "moment", "needs n", ""),
    ("concatenate(Muon_pt)", "Muon_pt", "takes a list", "[a, b]"),
    ("sqrt([MET_pt])", "[MET_pt]", "", ""),
    ("9 ** 9 ** 9 * MET_pt", "9 ** 9", "64 bits", ""),
    ("1 / 0 + MET_pt", "1 / 0", "cannot be computed", ""),
    ("1 << 70", "1 <<", "64 bits", ""),
]


@pytest.mark.parametrize(
    ("text", "place", "problem", "hint"), REJECTED, ids=[r[0] for r in REJECTED]
)
def test_misfits_are_refused_with_their_place(text, place, problem, hint):
    with pytest.raises(SxdaskError) as caught:
        parse_expression(text, EVENTS, LIMITS)
    message, line, caret = caught.value.problem.split("\n")
    assert problem in message
    assert line == text
    assert text[caret.index("^") :].startswith(place)
    assert hint in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("text", "problem", "hint"),
    [
        ("Muon_pt > 30", "a list per event (var * bool)", "any(Muon_pt > 30, axis=1)"),
        ("MET_pt", "is float32 and not boolean", "!= 0"),
        ("nMuon & 1", "is int32 and not boolean", "!= 0"),
    ],
)
def test_a_condition_is_one_boolean_per_event(text, problem, hint):
    with pytest.raises(SelectionTypeError) as caught:
        parse_predicate(text, EVENTS, LIMITS)
    assert problem in caught.value.problem
    assert hint in str(caught.value.hint)
