"""Each rewrite on the smallest plan that shows it, and the loop that applies them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sxdask.core.errors import RequestError, RequestTooLargeError, SxdaskError
from sxdask.core.types import Field, Schema, Unknown
from sxdask.plan.codec import plan_to_json
from sxdask.plan.expr import Binary, Column, Compare, Constant
from sxdask.plan.nodes import Filter, Output, Plan, Project, Scan
from sxdask.plan.optimize import RULES, optimize
from sxdask.plan.rewrites.drop_duplicate_conjuncts import drop_duplicate_conjuncts
from sxdask.plan.rewrites.fold_constants import fold_constants
from sxdask.plan.rewrites.merge_projects import merge_projects
from sxdask.plan.rewrites.prune_columns import prune_columns
from sxdask.plan.rewrites.push_filter_below_project import push_filter_below_project
from sxdask.plan.rewrites.push_filter_into_scan import push_filter_into_scan
from sxdask.plan.rewrites.split_conjunctions import split_conjunctions
from sxdask.plan.selection import parse_expression
from tests.unit.plan.schemas import EVENTS, LIMITS

SCHEMAS = {"Events": EVENTS}
A, B = Column("HLT_A"), Column("HLT_B")
SCAN = Scan("Events")


def expr(text):
    return parse_expression(text, EVENTS, LIMITS)


def test_split_conjunctions_keeps_the_order():
    whole = replace(SCAN, predicate=(expr("HLT_A & (nMuon > 1) & HLT_B"), expr("run > 1")))
    split = split_conjunctions(whole, SCHEMAS)
    assert split == replace(SCAN, predicate=(A, expr("nMuon > 1"), B, expr("run > 1")))
    assert split_conjunctions(split, SCHEMAS) is None


def test_split_conjunctions_leaves_whole_numbers_alone():
    schema = Schema((Field("i", Unknown()), Field("k", Unknown())), "t")
    scan = Scan("t", None, (Binary("&", Column("i"), Column("k")),))
    assert split_conjunctions(scan, {"t": schema}) is None
    assert split_conjunctions(replace(SCAN, predicate=(expr("nMuon & run"),)), SCHEMAS) is None
    assert split_conjunctions(replace(SCAN, predicate=(Binary("&", A, B),)), {}) is None


def test_push_filter_into_scan_keeps_what_was_there_first():
    node = Filter(replace(SCAN, predicate=(A,)), B)
    assert push_filter_into_scan(node, SCHEMAS) == replace(SCAN, predicate=(A, B))
    assert push_filter_into_scan(Filter(Filter(SCAN, A), B), SCHEMAS) is None


def test_push_filter_below_project_substitutes_names():
    outputs = (("HLT_B", A), ("x", expr("MET_pt * 2")))
    node = Filter(Project(SCAN, outputs), Binary("&", B, Compare(">", Column("x"), Constant(1))))
    assert push_filter_below_project(node, SCHEMAS) == Project(
        Filter(SCAN, expr("HLT_A & (MET_pt * 2 > 1)")), outputs
    )


def test_merge_projects_substitutes_names():
    node = Project(Project(SCAN, (("x", expr("MET_pt * 2")),)), (("y", Column("x")),))
    assert merge_projects(node, SCHEMAS) == Project(SCAN, (("y", expr("MET_pt * 2")),))


def test_prune_columns_reads_conditions_first():
    node = Project(replace(SCAN, predicate=(expr("nMuon > 1"),)), (("x", expr("MET_pt * run")),))
    pruned = prune_columns(node, SCHEMAS)
    assert pruned == Project(
        replace(SCAN, columns=("nMuon", "MET_pt", "run"), predicate=(expr("nMuon > 1"),)),
        (("x", expr("MET_pt * run")),),
    )
    assert prune_columns(pruned, SCHEMAS) is None


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("MET_pt > 1 + 1", "MET_pt > 2"),
        ("MET_pt > 7 // 2 - 0.5", "MET_pt > 2.5"),
        ("nMuon * (2 ** 10)", "nMuon * 1024"),
        ("(1 < 2) | HLT_A", "True | HLT_A"),
        ("MET_pt * 2 * 3", "MET_pt * 2 * 3"),
        ("2 * 3 * MET_pt", "6 * MET_pt"),
        ("-(1 + 1) * MET_pt", "-2 * MET_pt"),
    ],
)
def test_fold_constants_computes_only_constants(text, folded):
    node = Project(SCAN, (("x", expr(text)),))
    found = fold_constants(node, SCHEMAS) or node
    assert found == Project(SCAN, (("x", expr(folded)),))
    assert fold_constants(found, SCHEMAS) is None


def test_fold_constants_leaves_what_cannot_be_computed():
    endless = Binary("**", Constant(9), Constant(387420489))
    for part in (
        endless,
        Binary("/", Constant(1), Constant(0)),
        Binary("%", Constant(1), Constant(0)),
    ):
        assert fold_constants(Filter(SCAN, Compare(">", part, Column("MET_pt"))), SCHEMAS) is None


def test_a_condition_that_decides_nothing_goes():
    true, false = Constant(value=True), Constant(value=False)
    assert fold_constants(replace(SCAN, predicate=(A, true, B)), SCHEMAS) == replace(
        SCAN, predicate=(A, B)
    )
    assert fold_constants(replace(SCAN, predicate=(A, false, B)), SCHEMAS) == replace(
        SCAN, predicate=(false,)
    )


def test_drop_duplicate_conjuncts_keeps_the_first():
    assert drop_duplicate_conjuncts(replace(SCAN, predicate=(A, B, A)), SCHEMAS) == replace(
        SCAN, predicate=(A, B)
    )
    assert drop_duplicate_conjuncts(replace(SCAN, predicate=(A, B)), SCHEMAS) is None


def test_a_plan_without_columns_asks_for_all_that_can_be_read():
    plan, _ = optimize(Plan((Output("", Filter(SCAN, A)),)), SCHEMAS)
    root = plan.outputs[0].root
    assert isinstance(root, Project)
    names = [name for name, _ in root.outputs]
    assert "broken" not in names
    assert len(names) == len(EVENTS) - 1
    with pytest.raises(RequestError, match="'Events' are not known"):
        optimize(Plan((Output("", SCAN),)))


def test_a_named_column_list_is_a_projection():
    plan, _ = optimize(Plan((Output("", Scan("Events", ("MET_pt",))),)))
    assert plan.outputs[0].root == Project(
        Scan("Events", ("MET_pt",)), (("MET_pt", Column("MET_pt")),)
    )


def test_steps_say_which_table_they_belong_to():
    plan = Plan((Output("x", Filter(Project(SCAN, (("a", A),)), Column("a"))), Output("x", SCAN)))
    optimized, steps = optimize(plan, SCHEMAS)
    assert {step.table for step in steps} == {0, 1}
    last = {step.table: step.after for step in steps}
    assert [last[0], last[1]] == [output.root for output in optimized.outputs]


def test_every_rule_is_reported_by_name():
    assert [rule.__name__ for rule in RULES] == [
        rule.__module__.rpartition(".")[2] for rule in RULES
    ]


def test_rules_that_undo_each_other_are_an_error():
    def swap(node, _):
        match node:
            case Project(source, outputs):
                return Project(source, outputs[::-1])
        return None

    root = Project(SCAN, (("a", A), ("b", B)))
    with pytest.raises(SxdaskError, match="undo each other: swap -> swap"):
        optimize(Plan((Output("", root),)), SCHEMAS, (swap,))


def test_columns_of_columns_cannot_grow_without_end():
    node = Project(SCAN, (("x", expr("MET_pt")),))
    for _ in range(60):
        node = Project(node, (("x", Binary("+", Column("x"), Column("x"))),))
    plan, _ = optimize(Plan((Output("", node),)), SCHEMAS)
    assert len(plan_to_json(plan)) < 5_000  # what is used twice is one part with two users
    deep = Project(SCAN, (("x", expr("MET_pt")),))
    for _ in range(400):
        deep = Project(deep, (("x", Binary("+", Column("x"), Constant(1))),))
    with pytest.raises(RequestTooLargeError, match="deeper"):
        optimize(Plan((Output("", deep),)), SCHEMAS)
