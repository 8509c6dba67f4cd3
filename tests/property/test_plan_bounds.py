"""Zone tests are necessary: a zone with a row that passes the condition passes its test."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from sxdask.core.bounds import ZoneAll, ZoneAny, ZoneCompare
from sxdask.plan.bounds import is_fallible, zone_test
from sxdask.plan.expr import Binary, Call, Column, Compare, Constant, Slice, Subscript
from tests.property.plan_oracle import SCHEMA, TABLE, passes, reals, reduction, truths

KINDS = {field.name: field.type for field in SCHEMA.fields}
NUMBERS = st.sampled_from([-2.0, -1.0, -0.0, 0.0, 0.5, 1.0, 2.0, math.nan, math.inf, -math.inf])
ROWS = st.fixed_dictionaries(
    {
        "x": NUMBERS,
        "y": NUMBERS,
        "b": st.booleans(),
        "j": st.lists(NUMBERS, max_size=3),
        "unused": NUMBERS,
    }
)


def zone_holds(test, zone):
    """Hold a test against what statistics keep of a zone: extremes without NaN, list lengths."""
    match test:
        case ZoneAll(tests):
            return all(zone_holds(item, zone) for item in tests)
        case ZoneAny(tests):
            return any(zone_holds(item, zone) for item in tests)
        case ZoneCompare(column, op, constant, stat):
            values: list[float] = []
            for row in zone:
                value = row[column]
                if stat == "count":
                    values.append(len(value))
                else:
                    values.extend(value if isinstance(value, list) else [value])
            values = [float(value) for value in values if not math.isnan(value)]
            if not values:
                return False
            low, high = min(values), max(values)
            return {
                "<": low < constant,
                "<=": low <= constant,
                ">": high > constant,
                ">=": high >= constant,
                "==": low <= constant <= high,
            }[op]


SIGNS = st.sampled_from(["<", "<=", ">", ">=", "==", "!="])
CONSTANTS = NUMBERS.map(Constant)


@st.composite
def prunable(draw, depth=2):
    """Return conditions of the shapes that have a test, on both sides and nested."""
    if depth and draw(st.booleans()):
        left, right = draw(prunable(depth - 1)), draw(prunable(depth - 1))
        shape = draw(st.sampled_from(["&", "|", "logical_and", "logical_or"]))
        return Binary(shape, left, right) if len(shape) == 1 else Call(shape, (left, right))
    column = draw(
        st.sampled_from(
            [
                Column("x"),
                Call("abs", (Column("x"),)),
                reduction("max", Column("j")),
                reduction("min", Column("j")),
                reduction("num", Column("j")),
                reduction("sum", Column("j")),
            ]
        )
    )
    sides = [column, draw(CONSTANTS)]
    if draw(st.booleans()):
        sides.reverse()
    if draw(st.booleans()):
        inner = Compare(draw(SIGNS), Column("j"), draw(CONSTANTS))
        absolute = Compare(draw(SIGNS), Call("abs", (Column("j"),)), draw(CONSTANTS))
        return reduction(
            draw(st.sampled_from(["any", "all"])), draw(st.sampled_from([inner, absolute]))
        )
    return Compare(draw(SIGNS), *sides)


@given(
    zone=st.lists(ROWS, max_size=4),
    condition=st.one_of(
        prunable(), truths(KINDS), reals(KINDS).map(lambda e: Compare(">", e, Constant(0)))
    ),
)
def test_a_zone_with_a_passing_row_passes(zone, condition):
    test = zone_test(condition, SCHEMA)
    if test is not None and not zone_holds(test, zone):
        assert not any(passes(condition, row) for row in zone)


@given(conditions=st.lists(st.one_of(prunable(), truths(KINDS)), min_size=10, max_size=10))
def test_a_row_that_passes_is_a_zone_that_passes(conditions):
    """A zone of one row is the strictest; rows are every combination of values."""
    for expr in conditions:
        test = zone_test(expr, SCHEMA)
        for row in TABLE if test is not None else ():
            assert zone_holds(test, [row]) or not passes(expr, row)


def test_picking_an_item_is_bounded_by_all_items():
    condition = Compare(">", Subscript(Column("j"), (Slice(), Constant(0))), Constant(3))
    assert zone_test(condition) == ZoneCompare("j", ">", 3)
    assert is_fallible(condition)
