"""Plans have one name and one JSON text, in every process and for every value."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from dataclasses import replace

import pytest

from sxdask.core.errors import RequestError
from sxdask.plan.codec import decode_expr, encode_expr, plan_from_json, plan_to_json
from sxdask.plan.expr import Column, Constant, Pack, Scalar, Slice, Subscript
from sxdask.plan.fingerprint import fingerprint
from sxdask.plan.nodes import Filter, Output, Plan, Project, Scan
from sxdask.plan.selection import parse_expression
from tests.unit.plan.schemas import EVENTS, LIMITS

TEXTS = [
    "(nMuon >= 2) & ~HLT_A",
    "sum(Muon_pt[Muon_charge > 0], axis=1, keepdims=True)",
    'cartesian({"a": Muon_pt, "b": Jet_pt}).a',
    'combinations(Muon_pt, 2, fields=["one", "two"])',
    "Muon_pt[:, ::-1][:, :1]",
    "-0.0 * MET_pt + np.inf - np.nan",
    "event == 18446744073709551615",
    'label == "\u00b5"',
    "MET_pt[:, None]",
]


def plan_with(expr):
    return Plan((Output("", Project(Scan("Events", ("a", "b"), (expr,)), (("x", expr),))),))


SCRIPT = """
from sxdask.plan.codec import plan_from_json
from sxdask.plan.fingerprint import fingerprint
import sys
print(fingerprint(plan_from_json(sys.stdin.read())))
"""


@pytest.mark.parametrize("seed", ["0", "1", "random"])
def test_the_name_is_the_same_in_every_process(seed):
    plans = [plan_with(parse_expression(text, EVENTS, LIMITS)) for text in TEXTS[:4]]
    plan = Plan(tuple(item.outputs[0] for item in plans), ("h_*",))
    found = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        input=plan_to_json(plan),
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONHASHSEED": seed},
    )
    assert found.stdout.strip() == fingerprint(plan)


def test_the_name_does_not_change_between_versions():
    # A changed value here means that every cached partition of every user is lost.
    plan = plan_with(parse_expression("(nMuon >= 2) & (MET_pt > 0.5)", EVENTS, LIMITS))
    assert fingerprint(plan) == "84bb19be461ae2c75081a56425b81608"


@pytest.mark.parametrize("text", TEXTS)
def test_expressions_come_back_as_they_were(text):
    expr = parse_expression(text, EVENTS, LIMITS)
    assert decode_expr(json.loads(json.dumps(encode_expr(expr)))) == expr
    plan = plan_with(expr)
    assert plan_from_json(plan_to_json(plan)) == plan


def test_the_place_in_the_text_does_not_count():
    one = parse_expression("MET_pt>1", EVENTS, LIMITS)
    other = parse_expression("  MET_pt  >  1", EVENTS, LIMITS)
    assert one.span != other.span
    assert fingerprint(plan_with(one)) == fingerprint(plan_with(other))


def test_kinds_of_constants_count():
    values: list[Scalar] = [
        1,
        1.0,
        True,
        "1",
        0,
        0.0,
        -0.0,
        False,
        None,
        math.inf,
        -math.inf,
        math.nan,
        2**64 - 1,
    ]
    names = {fingerprint(plan_with(Constant(value))) for value in values}
    assert len(names) == len(values)
    for value in values:
        (output,) = plan_from_json(plan_to_json(plan_with(Constant(value)))).outputs
        assert isinstance(output.root, Project)
        assert output.root.outputs[0][1] == Constant(value)


def test_everything_that_changes_the_result_counts():
    base = Project(Scan("t", ("a", "b"), (Column("a"),)), (("x", Column("a")), ("y", Column("b"))))
    different = [
        base,
        replace(base, outputs=base.outputs[::-1]),
        replace(base, outputs=(("z", Column("a")), ("y", Column("b")))),
        replace(base, source=Scan("u", ("a", "b"), (Column("a"),))),
        replace(base, source=Scan("t", ("a", "b"))),
        replace(base, source=Scan("t", None, (Column("a"),))),
        replace(base, source=Filter(Scan("t", ("a", "b")), Column("a"))),
        Project(base.source, (("x", Pack((Column("a"), Column("b")))),)),
        Project(base.source, (("x", Pack((Column("a"), Column("b")), ("a", "b"))),)),
        Project(base.source, (("x", Subscript(Column("a"), (Slice(), Slice(0, 1)))),)),
        Project(base.source, (("x", Subscript(Column("a"), (Slice(), Slice(None, 1)))),)),
    ]
    names = {fingerprint(node) for node in different}
    names |= {fingerprint(Output("o", base)), fingerprint(Output("p", base))}
    names |= {fingerprint(Output("o", base, allow_missing_tree=True))}
    names |= {
        fingerprint(Plan((Output("o", base),))),
        fingerprint(Plan((Output("o", base),), ("h",))),
    }
    assert len(names) == len(different) + 5


def stored(*outputs):
    return json.dumps({"sxdask-plan": 1, "outputs": outputs, "copies": []})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"sxdask-plan": 2, "outputs": [], "copies": []}',
        '{"sxdask-plan": 1}',
        stored(3),
        stored(["output", "", ["scan", 3, None, []], False]),
        stored(["output", "", ["scan", "t", [3], []], False]),
        stored(["x", "", ["scan", "t", [], []], False]),
        stored(["output", "", ["scan", "t", [], [["constant", [1]]]], False]),
        stored(["output", "", ["scan", "t", [], [["nothing", 1]]], False]),
        "[" * 100_000,
    ],
)
def test_text_that_is_no_plan_is_refused(text):
    with pytest.raises(RequestError, match="the stored plan"):
        plan_from_json(text)
