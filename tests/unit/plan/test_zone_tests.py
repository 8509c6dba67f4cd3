"""Which conditions give zone tests, and how constants are rounded for each dtype."""

from __future__ import annotations

import math

import numpy as np
import pytest

from sxdask.core.bounds import ZoneAll, ZoneAny, ZoneCompare
from sxdask.plan.bounds import is_fallible, zone_test
from sxdask.plan.selection import parse_expression, parse_predicate
from tests.unit.plan.schemas import EVENTS, LIMITS


def zone_of(text):
    return zone_test(parse_predicate(text, EVENTS, LIMITS), EVENTS)


MET_30 = ZoneCompare("MET_pt", ">", 30)


@pytest.mark.parametrize(
    ("text", "test"),
    [
        ("MET_pt > 30", MET_30),
        ("30 < MET_pt", MET_30),
        ("nMuon >= 2", ZoneCompare("nMuon", ">=", 2)),
        ("event == 18446744073709551615", ZoneCompare("event", "==", 2**64 - 1)),
        ("30 < MET_pt < 80", ZoneAll((MET_30, ZoneCompare("MET_pt", "<", 80)))),
        ("(MET_pt > 30) & HLT_A", MET_30),
        ("(MET_pt > 30) | (run == 1)", ZoneAny((MET_30, ZoneCompare("run", "==", 1)))),
        ("(MET_pt > 30) | HLT_A", None),
        ("any(Muon_pt > 30)", ZoneCompare("Muon_pt", ">", 30)),
        (
            "any((Muon_pt > 30) & (Muon_charge > 0))",
            ZoneAll((ZoneCompare("Muon_pt", ">", 30), ZoneCompare("Muon_charge", ">", 0))),
        ),
        ("all(Muon_pt > 30)", None),
        ("num(Muon_pt) >= 2", ZoneCompare("Muon_pt", ">=", 2, "count")),
        ("max(Muon_pt) > 30", ZoneCompare("Muon_pt", ">", 30)),
        ("min(Muon_pt) < 3", ZoneCompare("Muon_pt", "<", 3)),
        ("max(Muon_pt, initial=50) > 30", None),
        ("sum(Muon_pt) > 30", None),
        (
            "any(abs(Muon_eta) < 2)",
            ZoneAll((ZoneCompare("Muon_eta", "<", 2), ZoneCompare("Muon_eta", ">", -2))),
        ),
        (
            "abs(MET_pt) > 2",
            ZoneAny((ZoneCompare("MET_pt", ">", 2), ZoneCompare("MET_pt", "<", -2))),
        ),
        ("any(abs(Muon_charge) < 2)", None),
        ("Muon_pt[:, 0] > 30", ZoneCompare("Muon_pt", ">", 30)),
        ("MET_pt != 30", None),
        ("~(MET_pt > 30)", None),
        ("MET_pt > weight", None),
        ("MET_pt + 1 > 30", None),
        ("MET_pt > np.nan", None),
        ('label == "a"', None),
        ("HLT_A", None),
    ],
)
def test_conditions_and_their_tests(text, test):
    assert zone_of(text) == test


@pytest.mark.parametrize("sign", ["<=", "==", ">="])
@pytest.mark.parametrize("constant", [0.1, 0.3, -0.1, 16777217, 1e-50, 3.5e38, 123456789.123])
def test_a_float32_value_that_passes_is_inside_its_bounds(sign, constant):
    with np.errstate(over="ignore"):
        value = float(np.float64(constant).astype(np.float32))  # what a file would hold of it
    test = zone_of(f"MET_pt {sign} {constant!r}")
    parts = test.tests if isinstance(test, ZoneAll) else (test,)
    for part in parts:
        assert isinstance(part, ZoneCompare)
        holds = {
            "<=": value <= part.constant,
            ">=": value >= part.constant,
            "==": value == part.constant,
        }
        assert holds[part.op]


def test_without_a_schema_constants_are_as_wide_as_any_type_needs():
    exact = zone_test(parse_expression("event >= 16777217", EVENTS, LIMITS), EVENTS)
    assert exact == ZoneCompare("event", ">=", 16777217)
    wide = zone_test(parse_expression("event >= 16777217", EVENTS, LIMITS))
    assert isinstance(wide, ZoneCompare)
    assert wide.constant <= 16777216.0
    rounded = zone_test(parse_expression("event >= 9007199254740994.0", EVENTS, LIMITS), EVENTS)
    assert isinstance(rounded, ZoneCompare)
    assert rounded.constant == math.nextafter(9007199254740994.0, 0.0)


@pytest.mark.parametrize(
    ("text", "fallible"),
    [
        ("Muon_pt[:, 0] > 30", True),
        ("any(Muon_pt[Muon_charge] > 3)", True),
        ("any(Muon_pt[Muon_pt > 3] > 30)", False),
        ("any(Muon_pt[(Muon_pt > 3) & Muon_isGood] > 30)", False),
        ("any(Muon_pt[:, :1] > 30)", False),
        ("nMuon > 1", False),
    ],
)
def test_picking_an_item_can_fail(text, fallible):
    assert is_fallible(parse_predicate(text, EVENTS, LIMITS)) == fallible
