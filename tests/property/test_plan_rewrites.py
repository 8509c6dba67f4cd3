"""Rewrites keep the rows: plans and rule orders are random, rows are every combination."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sxdask.plan.codec import plan_from_json, plan_to_json
from sxdask.plan.expr import Binary, Column, Constant, walk
from sxdask.plan.fingerprint import fingerprint
from sxdask.plan.nodes import Output, Plan, Project, Scan
from sxdask.plan.optimize import RULES, optimize
from sxdask.plan.selection import parse_expression
from sxdask.plan.text import expression_text
from sxdask.plan.types import schema_of
from tests.property.plan_oracle import SCHEMA, SCHEMAS, plans, rows
from tests.unit.plan.schemas import LIMITS


def optimized(node, rules=RULES):
    (output,) = optimize(Plan((Output("", node),)), SCHEMAS, rules)[0].outputs
    return output.root


@given(node=plans(), rules=st.permutations(RULES))
def test_optimize_keeps_the_rows(node, rules):
    result = optimized(node, rules)
    assert repr(rows(result)) == repr(rows(node))


@given(node=plans(), rules=st.permutations(RULES))
def test_the_result_does_not_depend_on_the_order_of_rules(node, rules):
    assert fingerprint(optimized(node, rules)) == fingerprint(optimized(node))


@given(node=plans())
def test_optimize_is_idempotent_and_ends_in_one_form(node):
    result = optimized(node)
    assert optimized(result) == result
    match result:
        case Project(Scan("t", columns, predicate), outputs):
            used = [expr for _, expr in outputs] + list(predicate)
            assert len(set(predicate)) == len(predicate)
            assert not any(isinstance(expr, Binary) and expr.op == "&" for expr in predicate)
            assert Constant(value=True) not in predicate
            assert set(columns or ()) == {
                node.name for expr in used for node in walk(expr) if isinstance(node, Column)
            }
        case _:
            raise AssertionError(result)


@given(node=plans())
def test_types_are_kept(node):
    before, after = schema_of(node, SCHEMA), schema_of(optimized(node), SCHEMA)
    assert [(item.name, item.type) for item in before.fields] == [
        (item.name, item.type) for item in after.fields
    ]


@given(node=plans())
def test_a_plan_comes_back_from_json_as_it_was(node):
    plan = Plan((Output("out", node, allow_missing_tree=True), Output("", Scan("t"))), ("h*",))
    text = plan_to_json(plan)
    assert plan_from_json(text) == plan
    assert plan_to_json(plan_from_json(text)) == text
    assert fingerprint(plan_from_json(text)) == fingerprint(plan)


@given(node=plans())
def test_expressions_come_back_from_text_with_the_same_values(node):
    match optimized(node):
        case Project(Scan() as scan, outputs):
            again = tuple(
                (name, parse_expression(expression_text(expr), SCHEMA, LIMITS))
                for name, expr in outputs
            )
            conditions = tuple(
                parse_expression(expression_text(expr), SCHEMA, LIMITS) for expr in scan.predicate
            )
            back = Project(Scan(scan.tree, scan.columns, conditions), again)
            assert repr(rows(back)) == repr(rows(node))
