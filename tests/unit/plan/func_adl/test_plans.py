"""Which plan a func_adl query becomes: rows, columns, what is read, how the result looks."""

from __future__ import annotations

import re
from typing import Any

import pytest

from sxdask.core.errors import RequestError
from sxdask.core.results import Shape, Total
from sxdask.plan.fingerprint import fingerprint
from sxdask.plan.frontends.native import NativeFrontend
from sxdask.plan.frontends.qastle import QastleFrontend
from sxdask.plan.func_adl.algebra import MAX_DEPTH
from sxdask.plan.nodes import Filter, Output, Plan, Project, Scan
from sxdask.plan.optimize import optimize
from sxdask.plan.text import expression_text
from tests.unit.plan.func_adl.rows import (
    NAMESPACES,
    SCHEMA,
    Source,
    ask,
    columns_read,
    optimized,
    plan_of,
)
from tests.unit.plan.schemas import LIMITS

# the same query in func_adl and in native expressions
SAME = {
    "EventDataset()": {},
    "EventDataset().Where(lambda e: e.met > 50)": {"where": "met > 50"},
    "EventDataset().Where(lambda e: e.met > 50).Select(lambda e: {'m': e.met, 'n': e.nmu})": {
        "where": "met > 50",
        "define": {"m": "met", "n": "nmu"},
    },
    "EventDataset().Where(lambda e: e.good and e.met > 50 and not e.nmu == 2)"
    ".Select(lambda e: {'x': e.met / 2, 'y': np.sqrt(e.met) ** 3})": {
        "where": "good & (met > 50) & ~(nmu == 2)",
        "define": {"x": "met / 2", "y": "sqrt(met) ** 3"},
    },
    "EventDataset().Select(lambda e: {'m': e.met, 'n': e.nmu}).Where(lambda r: 10 < r.m <= 60)": {
        "where": "10 < met <= 60",
        "define": {"m": "met", "n": "nmu"},
    },
    "EventDataset().Where(lambda e: e.mu_pt.Any(lambda p: p > 30))"
    ".Select(lambda e: {'ht': e.mu_pt.Sum(), 'best': e.mu_pt.Max(), 'n': e.mu_pt.Count()})": {
        "where": "any(mu_pt > 30)",
        "define": {"ht": "sum(mu_pt)", "best": "max(mu_pt)", "n": "num(mu_pt)"},
    },
    "EventDataset().Select(lambda e: {'tight': e.mu_pt.Where(lambda p: p > 20), 'm': e.met})": {
        "define": {"tight": "mu_pt[mu_pt > 20]", "m": "met"},
    },
    "EventDataset().Where(lambda e: e.mu_pt.Count() >= 2)"
    ".Select(lambda e: {'a': e.mu_pt.First(), 'b': e.mu_pt.ElementAt(1), 'c': e.mu_pt[-1]})": {
        "where": "num(mu_pt) >= 2",
        "define": {"a": "mu_pt[:, 0]", "b": "mu_pt[:, 1]", "c": "mu_pt[:, -1]"},
    },
    "EventDataset().Select(lambda e: {'x': e.nmu in [1, 2], 'y': max(e.met, 20), 'z': 1})": {
        "define": {"x": "(nmu == 1) | (nmu == 2)", "y": "maximum(met, 20)", "z": "1"},
    },
    "EventDataset().Select(lambda e: {'w': e.met if e.good else 0.0, 'a': np.absolute(e.met)})": {
        "define": {"w": "where(good, met, 0.0)", "a": "abs(met)"},
    },
    "EventDataset().Select(lambda e: {'h': e.jet_hits.SelectMany(lambda h: h), 'm': e.met})": {
        "define": {"h": "flatten(jet_hits)", "m": "met"},
    },
    "EventDataset().Select(lambda e: {'all': e.mu_pt.Concat(e.jet_pt), 'm': e.met})": {
        "define": {"all": "concatenate([mu_pt, jet_pt])", "m": "met"},
    },
    "EventDataset().Select(lambda e: {'z': Zip({'p': e.mu_pt, 'q': e.mu_q}), 'm': e.met})": {
        "define": {"z": "zip({'p': mu_pt, 'q': mu_q}, depth_limit=2)", "m": "met"},
    },
}


def only(plan: Plan) -> Output:
    (output,) = plan.outputs
    return output


def best(plan: Plan) -> Plan:
    return optimize(plan, {"t": SCHEMA})[0]


@pytest.mark.parametrize(("query", "native"), SAME.items())
def test_the_same_query_in_two_languages_is_one_plan(query, native):
    if "define" in native:
        native = {**native, "select": list(native["define"])}
    other = NativeFrontend(LIMITS).parse({"tree": "t", **native}, Source())
    assert fingerprint(best(plan_of(query))) == fingerprint(best(other))


def test_qastle_and_python_are_one_plan():
    python = plan_of("EventDataset().Where(lambda e: e.met > 5).Select(lambda x: {'m': x.met})")
    qastle = QastleFrontend(LIMITS).parse(
        "(Select (Where (call EventDataset) (lambda (list e) (> (attr e 'met') 5)))"
        " (lambda (list e) (dict (list 'm') (list (attr e 'met')))))",
        Source(),
    )
    assert fingerprint(python) == fingerprint(qastle)


# -- rows and columns ----------------------------------------------------------------------


def test_every_where_over_events_is_a_filter_of_the_scan():
    root: Any = only(
        plan_of(
            "EventDataset().Where(lambda e: e.good).Select(lambda e: {'m': e.met, 'p': e.mu_pt})"
            ".Where(lambda r: r.m > 1 and r.p.Count() > 0).Select(lambda r: r.p)"
        )
    ).root
    assert isinstance(root, Project)
    node: Any = root.source
    for _ in range(3):  # both sides of 'and' are conditions of their own
        assert isinstance(node, Filter)
        node = node.source
    assert node == Scan("t")
    texts = [expression_text(item) for item in optimized_predicate(root)]
    assert texts == ["good", "met > 1", "num(mu_pt) > 0"]


def optimized_predicate(root):
    found: Any = only(best(Plan((Output("", root),)))).root
    return found.source.predicate


def test_numbers_are_true_where_they_are_not_zero():
    query = "EventDataset().Where(lambda e: e.nmu and e.good).Select(lambda e: e.nmu)"
    assert ask(query).rows == [e.nmu for e in NAMESPACES if e.nmu and e.good]


def test_only_touched_branches_are_read():
    query = (
        "EventDataset().Where(lambda e: e.good)"
        ".Select(lambda e: {'z': Zip({'pt': e.mu_pt, 'eta': e.mu_eta, 'q': e.mu_q}), 'm': e.met})"
        ".Select(lambda r: r.z.Where(lambda m: m.q > 0).Select(lambda m: m.pt))"
    )
    assert set(columns_read(query)) == {"good", "mu_pt", "mu_q"}
    assert columns_read("EventDataset().Count()") == []
    assert columns_read("EventDataset().Where(lambda e: e.good).Count()") == ["good"]
    assert columns_read("EventDataset().SelectMany(lambda e: e.mu_pt).Count()") == ["mu_pt"]
    jets = "Zip({'pt': e.jet_pt, 'hits': e.jet_hits})"
    assert columns_read(f"EventDataset().SelectMany(lambda e: {jets}).Select(lambda j: j.pt)") == [
        "jet_pt"
    ]


def test_without_a_select_all_readable_branches_are_the_result():
    readable = [field.name for field in SCHEMA.fields if field.reason is None]
    assert columns_read("EventDataset().Where(lambda e: e.met > 1)") == readable
    assert only(plan_of("EventDataset()")) == Output("", Scan("t"))
    assert columns_read("EventDataset().Select(lambda e: e)") == readable
    nested = ask("EventDataset().Select(lambda e: (e.met, e.Trk))")
    assert [row[1]["q"] for row in nested.rows] == [vars(e)["Trk.q"] for e in NAMESPACES]


# -- shapes --------------------------------------------------------------------------------

SHAPES = {
    "{'a': e.met, 'b': e.mu_pt}": (Shape(), "{a: float64, b: var * float64}"),
    "e.met": (Shape(bare=True), "float64"),
    "(e.met, e.mu_pt)": (Shape(is_tuple=True), "(float64, var * float64)"),
    "[e.met, 1]": (Shape(is_tuple=True), "(float64, int64)"),
    "{'a': e.met}": (Shape(), "{a: float64}"),
    "{'a': e.mu_pt}": (Shape(bare=True), "var * {a: float64}"),
    "{'a': e.jet_hits}": (Shape(bare=True), "var * var * {a: float64}"),
    "(e.mu_pt,)": (Shape(bare=True), "var * (float64)"),
    "{'a': {'b': e.met, 'c': e.mu_pt}, 'd': 1.5}": (
        Shape(),
        "{a: {b: float64, c: var * float64}, d: float64}",
    ),
    "{'a': {'b': e.mu_pt}, 'd': True}": (Shape(), "{a: var * {b: float64}, d: bool}"),
    "e.mu_pt.Select(lambda p: {'p': p, 'm': e.met})": (
        Shape(bare=True),
        "var * {p: float64, m: float64}",
    ),
    "e.mu_pt.Select(lambda p: (p, e.jet_pt))": (
        Shape(bare=True),
        "var * (float64, var * float64)",
    ),
    "e.mu_pt.Choose(2)": (Shape(bare=True), "var * var * float64"),
    "e.mu_pt.Select(lambda p: 1)": (Shape(bare=True), "var * int64"),
    "e.mu_pt.Max()": (Shape(bare=True), "?float64"),
    "e.cov": (Shape(bare=True), "3 * float64"),
    "e.mu_pt.Select(lambda p: p + e.mu_pt.Max())": (Shape(bare=True), "var * ?float64"),
}


@pytest.mark.parametrize("body", SHAPES)
def test_the_result_looks_as_the_lambda_says(body):
    shape, kind = SHAPES[body]
    query = f"EventDataset().Select(lambda e: {body})"
    assert only(plan_of(query)).shape == shape
    assert ask(query).type == kind


def test_items_of_events_are_rows_after_select_many():
    query = "EventDataset().SelectMany(lambda e: Zip({'p': e.mu_pt, 'q': e.mu_q}))"
    assert only(plan_of(query)).shape == Shape(items=True)
    assert ask(query).type == "{p: float64, q: int32}"
    assert only(plan_of(f"{query}.Select(lambda m: m.p)")).shape == Shape(bare=True, items=True)
    pairs = only(plan_of(f"{query}.Select(lambda m: (m.p, m.q))"))
    assert pairs.shape == Shape(is_tuple=True, items=True)
    total = only(plan_of(f"{query}.Select(lambda m: m.p).Sum()"))
    assert total.reduction == Total("sum")
    assert ask("EventDataset().SelectMany(lambda e: {'p': e.mu_pt})").type == "{p: float64}"


NAMES = {
    "ResultTTree(q, ['a', 'b'], 'events', 'out.root')": "{a: float64, b: int32}",
    "ResultParquet(q, ['a', 'b'], 'out.parquet')": "{a: float64, b: int32}",
    "ResultPandasDF(q, ('a', 'b'))": "{a: float64, b: int32}",
    "ResultAwkwardArray(q, [])": "(float64, int32)",
    "q.AsAwkwardArray(['a', 'b'])": "{a: float64, b: int32}",
    "q.AsROOTTTree('out.root', 'events', ['a', 'b'])": "{a: float64, b: int32}",
    "MetaData(q, {'docker': 'image'})": "(float64, int32)",
    "MetaData(q, {'metadata_type': 'add_method_type_info', 'x': 1})": "(float64, int32)",
}


@pytest.mark.parametrize("around", NAMES)
def test_what_stands_around_a_query_names_its_columns(around):
    query = re.sub(r"\bq\b", "EventDataset().Select(lambda e: (e.met, e.nmu))", around)
    assert ask(query).type == NAMES[around]


def test_one_name_names_a_column_that_had_none():
    query = "ResultAwkwardArray(EventDataset().Select(lambda e: e.mu_pt), 'pt')"
    assert ask(query).type == "{pt: var * float64}"
    query = "ResultTTree(EventDataset().SelectMany(lambda e: e.mu_pt), 'pt', 't', 'f')"
    assert ask(query).type == "{pt: float64}"


# -- size ----------------------------------------------------------------------------------


def test_a_query_that_doubles_at_every_step_is_refused_in_time():
    doubling = "".join(f".Select(lambda x: x * x + {step}.5)" for step in range(190))
    with pytest.raises(RequestError) as caught:
        plan_of(f"EventDataset().Select(lambda e: e.met){doubling}")
    assert caught.value.code == "SX104"


def test_a_sum_of_many_terms_is_refused_only_where_it_nests_too_deep():
    terms = " + ".join(["e.met"] * (MAX_DEPTH // 2))
    assert len(optimized(f"EventDataset().Select(lambda e: {terms})").outputs) == 1
