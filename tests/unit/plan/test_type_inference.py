"""The inferred type of every function and operator is the type that awkward returns."""

from __future__ import annotations

from pathlib import Path

import awkward as ak
import numpy as np
import pytest

from sxdask.core.types import (
    Field,
    FixedList,
    ListOf,
    Option,
    Primitive,
    Schema,
    String,
    Unknown,
)
from sxdask.graph.kernel import compile_program, run
from sxdask.plan.expr import Binary, Column, Constant
from sxdask.plan.functions import FUNCTIONS
from sxdask.plan.nodes import Filter, Project, Scan
from sxdask.plan.promotion import merge, promote_dtypes
from sxdask.plan.selection import parse_expression, parse_predicate
from sxdask.plan.text import expression_text
from sxdask.plan.types import infer, schema_of
from tests.unit.plan.schemas import EVENTS, LIMITS

# Every line is parsed, typed, written as text, parsed again, and evaluated by awkward.
ACCEPTED = (Path(__file__).parent / "expressions.txt").read_text().splitlines()


# text, the place of the caret, and what the message and the hint must say
@pytest.fixture(scope="module")
def rows():
    """Three events with 2, 0 and 1 muons."""
    return {field.name: _array(field.type) for field in EVENTS.fields if field.reason is None}


def _array(kind):
    match kind:
        case Primitive(dtype):
            return ak.Array(np.array([1, 0, 2]).astype(dtype))
        case String():
            return ak.Array(["a", "bb", ""])
        case ListOf(Primitive(dtype)):
            return ak.unflatten(ak.Array(np.array([1, 0, 2]).astype(dtype)), [2, 0, 1])
        case ListOf():
            return ak.values_astype(ak.Array([[[1.0, 2.0], []], [], [[3.0]]]), np.float32)
    shape = []
    while isinstance(kind, FixedList):
        shape.append(kind.size)
        kind = kind.item
    return ak.Array(np.ones((3, *shape), dtype=kind.dtype))


@pytest.mark.parametrize("text", ACCEPTED)
def test_awkward_returns_the_inferred_type(text, rows):
    expr = parse_expression(text, EVENTS, LIMITS)
    (value,) = run(compile_program([expr]), rows)
    assert str(value.type) == f"3 * {infer(expr, EVENTS)}"
    assert parse_expression(expression_text(expr), EVENTS, LIMITS) == expr


def test_every_function_is_typed_above_or_refused():
    used = {name for name in FUNCTIONS if any(f"{name}(" in text for text in ACCEPTED)}
    plain_ufuncs = {item.name for item in FUNCTIONS.values() if item.rule in {"float", "bool"}}
    others = {"broadcast_arrays", "broadcast_fields", "almost_equal", "logical_or"}
    assert set(FUNCTIONS) - used - plain_ufuncs <= others


def test_depths_that_only_the_data_tell_are_accepted():
    assert str(infer(parse_expression("Muon_pt + Jet_pt", EVENTS, LIMITS), EVENTS)) == (
        "var * float32"
    )


def test_a_union_is_unknown_and_not_a_guess():
    expr = parse_expression("where(HLT_A, Muon_pt, 0)", EVENTS, LIMITS)
    assert infer(expr, EVENTS) == Unknown()


def test_unknown_spreads_and_is_never_refused():
    schema = {"x": Field("x", Unknown("AsObjects"))}
    for expr in ("sum(x)", "x + 1", "x[:, 0]", "x.field", "where(x, 1, 2)", "num(x)", "sqrt(x)"):
        kind = infer(parse_expression(expr, Schema((schema["x"],)), LIMITS), schema)
        assert isinstance(kind, Unknown)
    both = Binary("&", Column("x"), Constant(value=True))
    assert infer(both, schema) == Unknown()


def test_a_condition_may_be_missing():
    expr = parse_predicate("max(Muon_pt) > 30", EVENTS, LIMITS)
    assert infer(expr, EVENTS) == Option(Primitive("bool"))


@pytest.mark.parametrize("first", ["bool", "int8", "uint8", "int16", "uint32", "int64", "uint64"])
@pytest.mark.parametrize("second", ["bool", "uint16", "int32", "uint64", "float16", "float32"])
def test_dtypes_promote_as_numpy_promotes(first, second):
    assert promote_dtypes(first, second) == str(np.promote_types(first, second))
    assert promote_dtypes(second, first) == str(np.promote_types(second, first))


def test_merging_keeps_what_both_can_be():
    assert merge(ListOf(Primitive("int8")), FixedList(Primitive("float32"), 2)) == ListOf(
        Primitive("float32")
    )
    assert merge(FixedList(String(), 2), FixedList(String(), 2)) == FixedList(String(), 2)
    assert merge(Option(Primitive("bool")), Primitive("bool")) == Option(Primitive("bool"))
    assert merge(String(), Primitive("bool")) == Unknown()
    assert merge(Option(String()), Primitive("bool")) == Unknown()
    assert merge(ListOf(String()), ListOf(Primitive("bool"))) == Unknown()
    assert merge(FixedList(String(), 2), FixedList(Primitive("bool"), 2)) == Unknown()


def test_the_schema_of_a_node_follows_its_projections():
    node = Project(
        Filter(Scan("Events"), Column("HLT_A")),
        (("pt", Column("Muon_pt")), ("twice", Binary("*", Column("MET_pt"), Constant(2)))),
    )
    schema = schema_of(node, EVENTS)
    assert str(schema) == "pt     var * float32\ntwice  float32"
    assert schema["pt"].typename == "float[]"
    assert list(schema_of(Scan("Events", ("MET_pt",)), EVENTS)) == ["MET_pt"]
    assert schema_of(Scan("Events"), EVENTS) is EVENTS
