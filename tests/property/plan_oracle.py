"""A slow, obvious interpreter of plans over rows of plain Python values, and random plans.

The interpreter is no kinder than the engine: a scan gives a row only the
columns that it lists, to its conditions too, and no name is found elsewhere.
"""

from __future__ import annotations

import math
import operator
from itertools import product

from hypothesis import strategies as st

from sxdask.core.types import Field, ListOf, Primitive, Schema, Type
from sxdask.plan.expr import (
    Binary,
    Call,
    Column,
    Compare,
    Constant,
    Expr,
    Slice,
    Subscript,
    Unary,
)
from sxdask.plan.nodes import Filter, Node, Project, Scan

REAL, TRUTH, REALS = Primitive("float64"), Primitive("bool"), ListOf(Primitive("float64"))
SCHEMA = Schema(
    (
        Field("x", REAL),
        Field("y", REAL),
        Field("b", TRUTH),
        Field("j", REALS),
        Field("unused", REAL),
    ),
    "t",
)
SCHEMAS = {"t": SCHEMA}

_VALUES = {
    "x": (-1.0, 0.0, 1.0, math.nan),
    "y": (-1.0, 0.0, 2.0),
    "b": (False, True),
    "j": ([], [0.0], [2.0, -1.0], [math.nan]),
    "unused": (7.0,),
}
TABLE = [dict(zip(_VALUES, row, strict=True)) for row in product(*_VALUES.values())]

_OPERATORS = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "&": lambda a, b: bool(a) and bool(b),
    "|": lambda a, b: bool(a) or bool(b),
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}


def rows(node, table=TABLE):
    """Return the rows that `node` gives, as a list of dictionaries."""
    match node:
        case Scan(_, columns, predicate):
            seen = [
                {name: row[name] for name in (row if columns is None else columns)} for row in table
            ]
            return [row for row in seen if all(passes(expr, row) for expr in predicate)]
        case Filter(source, predicate):
            return [row for row in rows(source, table) if passes(predicate, row)]
        case Project(source, outputs):
            return [
                {name: value(expr, row) for name, expr in outputs} for row in rows(source, table)
            ]


def passes(expr, row):
    """Whether a row stays: a missing value does not."""
    return value(expr, row) is True


def value(expr, row):
    """Evaluate one expression on one row; lists are element by element."""
    match expr:
        case Column(name):
            return row[name]
        case Constant(constant):
            return constant
        case Unary("~", operand):
            return _spread(lambda a: not a, value(operand, row))
        case Unary("-", operand):
            return _spread(operator.neg, value(operand, row))
        case Binary(op, left, right) | Compare(op, left, right):
            return _spread(_OPERATORS[op], value(left, row), value(right, row))
        case Call(function, args):
            return _call(function, *(value(item, row) for item in args))
        case Subscript(inner, (Slice(None, None, None), Constant(place))):
            return value(inner, row)[place]
        case _:
            raise NotImplementedError(expr)


def _spread(function, *values):
    if any(item is None for item in values):
        return None
    if any(isinstance(item, list) for item in values):
        (size,) = {len(item) for item in values if isinstance(item, list)}
        spread = [item if isinstance(item, list) else [item] * size for item in values]
        return [_spread(function, *items) for items in zip(*spread, strict=True)]
    return function(*values)


def _call(function, items, *others):
    match function:
        case "num":
            return len(items)
        case "sum":
            return math.fsum(items) if items else 0.0
        case "max" | "min":
            return _extreme(items, max if function == "max" else min)
        case "any":
            return any(items)
        case "all":
            return all(items)
        case "abs":
            return _spread(abs, items)
        case "logical_and":
            return _spread(_OPERATORS["&"], items, *others)
        case "logical_or":
            return _spread(_OPERATORS["|"], items, *others)
    raise NotImplementedError(function)


def _extreme(items, choose):
    if not items:
        return None
    return math.nan if any(math.isnan(item) for item in items) else choose(items)


def reduction(function, expr):
    """Return a call that reduces the lists of each event."""
    return Call(function, (expr,), (("axis", 1),))


_SIGNS = st.sampled_from(["<", "<=", ">", ">=", "==", "!="])
_CONSTANTS = st.sampled_from([-1, 0, 1, 2, -1.0, 0.0, 0.5, 2.0, math.nan, math.inf]).map(Constant)


def names_of(kinds, wanted):
    """Return the names of one type, sorted."""
    return sorted(name for name, kind in kinds.items() if kind == wanted)


@st.composite
def reals(draw, kinds, depth=2):
    """Return an expression with one real number per event."""
    leaves = [_CONSTANTS, *(st.just(Column(name)) for name in names_of(kinds, REAL))]
    lists = names_of(kinds, REALS)
    choice = draw(st.integers(0, 4)) if depth else 0
    if choice == 1:
        sign = draw(st.sampled_from(["+", "-", "*"]))
        return Binary(sign, draw(reals(kinds, depth - 1)), draw(reals(kinds, depth - 1)))
    if choice == 2:
        return Call("abs", (draw(reals(kinds, depth - 1)),))
    if choice == 3 and lists:
        column = Column(draw(st.sampled_from(lists)))
        return reduction(draw(st.sampled_from(["num", "sum"])), column)
    return draw(st.one_of(leaves))


@st.composite
def truths(draw, kinds, depth=3):
    """Return a condition: one boolean per event, or missing where an extreme is."""
    lists = names_of(kinds, REALS)
    flags = names_of(kinds, TRUTH)
    choice = draw(st.integers(0, 8)) if depth else draw(st.integers(0, 2))
    if choice == 0 and flags:
        return Column(draw(st.sampled_from(flags)))
    if choice == 1:
        return Constant(draw(st.booleans()))
    if choice in {3, 4, 5}:
        sides = (draw(truths(kinds, depth - 1)), draw(truths(kinds, depth - 1)))
        return Binary(draw(st.sampled_from("&&|")), *sides)
    if choice == 6:
        return Unary("~", draw(truths(kinds, depth - 1)))
    if choice == 7 and lists:
        column = Column(draw(st.sampled_from(lists)))
        inner = Compare(draw(_SIGNS), column, draw(_CONSTANTS))
        return reduction(draw(st.sampled_from(["any", "all"])), inner)
    if choice == 8 and lists:
        column = Column(draw(st.sampled_from(lists)))
        side = reduction(draw(st.sampled_from(["max", "min", "num"])), column)
        return Compare(draw(_SIGNS), side, draw(_CONSTANTS))
    return Compare(draw(_SIGNS), draw(reals(kinds, 1)), draw(reals(kinds, 1)))


@st.composite
def plans(draw):
    """Return a plan of filters and projections that ends with a narrow projection."""
    kinds: dict[str, Type] = {field.name: field.type for field in SCHEMA.fields}
    node: Node = Scan("t")
    for _ in range(draw(st.integers(0, 4))):
        if draw(st.booleans()):
            node = Filter(node, draw(truths(kinds)))
        else:
            node, kinds = draw(projections(node, kinds, most=4))
    if draw(st.booleans()):
        node = Filter(node, Binary("&", draw(truths(kinds, 2)), draw(truths(kinds, 2))))
    # without a narrow end, nothing would show that a column was read too little
    node, _ = draw(projections(node, kinds, most=2))
    return node


@st.composite
def projections(draw, source, kinds, *, most):
    """Return a projection of `source` and the types of its columns."""
    outputs: list[tuple[str, Expr]] = []
    types: dict[str, Type] = {}
    for name in draw(st.permutations(["x", "y", "b", "j", "z"]))[: draw(st.integers(1, most))]:
        lists, flags = names_of(kinds, REALS), names_of(kinds, TRUTH)
        if name == "j" and lists:
            outputs.append((name, Column(draw(st.sampled_from(lists)))))
            types[name] = REALS
        elif name == "b" and flags:
            # never missing, since a column of that name is a plain boolean
            outputs.append((name, Column(draw(st.sampled_from(flags)))))
            types[name] = TRUTH
        else:
            outputs.append((name, draw(reals(kinds))))
            types[name] = REAL
    return Project(source, tuple(outputs)), types
