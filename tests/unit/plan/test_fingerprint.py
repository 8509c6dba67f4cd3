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
from sxdask.graph.kernel import compile_program
from sxdask.plan.bounds import zone_test
from sxdask.plan.codec import plan_from_json, plan_to_json
from sxdask.plan.codec_expr import ExpressionTable, decode_table
from sxdask.plan.explain import explain_text
from sxdask.plan.expr import Binary, Column, Compare, Constant, Expr, Pack, Scalar, Slice, Subscript
from sxdask.plan.fingerprint import fingerprint
from sxdask.plan.nodes import Filter, Output, Plan, Project, Scan
from sxdask.plan.optimize import optimize
from sxdask.plan.selection import parse_expression
from sxdask.plan.text import clipped_text
from tests.unit.plan.schemas import EVENTS, LIMITS
from tests.watchdog import within

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
from sxdask.graph.kernel import compile_program
from sxdask.plan.bounds import zone_test
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
    assert fingerprint(plan) == "0c219f4b9086c7a89be7e7598354398d"


@pytest.mark.parametrize("text", TEXTS)
def test_expressions_come_back_as_they_were(text):
    expr = parse_expression(text, EVENTS, LIMITS)
    table = ExpressionTable()
    place = table.place(expr)
    assert decode_table(json.loads(json.dumps(table.rows)))[place] == expr
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


def doubled(times):
    """Return an expression of `times` objects that would be two to that power written out."""
    expr: Expr = Column("MET_pt")
    for _ in range(times):
        expr = Binary("+", expr, expr)
    return expr


def test_shared_parts_cost_their_own_size_and_not_that_of_the_text():
    with within(10):
        plan, again = (
            plan_with(Compare(">", doubled(150), Constant(1))),
            plan_with(Compare(">", doubled(150), Constant(1))),
        )
        assert plan == again
        assert hash(plan) == hash(again)
        assert fingerprint(plan) == fingerprint(again)
        text = plan_to_json(plan)
        assert len(text) < 10_000
        assert plan_from_json(text) == plan
        optimized, _ = optimize(plan, {"Events": EVENTS})
        assert len(explain_text(optimized)) < 20_000


@pytest.mark.parametrize("op", ["+", "*", "&", "|"])
def test_doubled_conditions_are_optimised_and_run(op):
    expr: Expr = Column("MET_pt")
    expr = Compare(">", expr, Constant(1)) if op in "&|" else expr
    for _ in range(100):
        expr = Binary(op, expr, expr)
    condition = expr if op in "&|" else Compare(">", expr, Constant(1))
    with within(10):
        root = Project(Filter(Scan("Events"), condition), (("x", expr),))
        (output,) = optimize(Plan((Output("", root),)), {"Events": EVENTS})[0].outputs
        assert isinstance(output.root, Project)
        assert isinstance(output.root.source, Scan)
        (conjunct,) = output.root.source.predicate
        assert zone_test(condition) is None or zone_test(condition) == zone_test(conjunct)
        program = compile_program([conjunct, expr])
        assert len(program.steps) <= 110
        assert clipped_text(expr)


def test_sharing_does_not_change_the_name():
    shared = Column("MET_pt")
    one = Binary("*", shared, shared)
    two = Binary("*", Column("MET_pt"), Column("MET_pt"))
    assert fingerprint(plan_with(Compare(">", one, Constant(1)))) == fingerprint(
        plan_with(Compare(">", two, Constant(1)))
    )
