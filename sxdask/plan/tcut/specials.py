"""``Sum$``, ``Length$``, ``Max$`` and others: one value per entry from many instances."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sxdask.plan.expr import Call, Compare, Constant, Expr, GetField, Subscript
from sxdask.plan.syntax import balanced
from sxdask.plan.tcut.operators import strong
from sxdask.plan.tcut.values import BOOL, DOUBLE, Value, number, truth

if TYPE_CHECKING:
    from collections.abc import Hashable

_NAN: Final = float("nan")
_AXIS: Final = (("axis", 1),)
_UNSIGNED: Final = frozenset({"uint8", "uint16", "uint32"})
_SMALL: Final = frozenset({"int8", "int16", "int32", *_UNSIGNED})


@dataclass(frozen=True, slots=True)
class Known:
    """Formulas that share their instances, evaluated.

    Attributes
    ----------
    values
        One per formula.
    exists
        Conditions without which there is no instance at all.
    driver
        The array with the most dimensions, None if there is none; it has the
        lists that instances are counted by.
    group
        What lists have the same length as these.
    """

    values: tuple[Value, ...]
    exists: tuple[Expr, ...] = ()
    driver: Value | None = None
    group: Hashable = None


def flat(expr: Expr, depth: int) -> Expr:
    """Return all instances of an entry in one list."""
    for _ in range(depth - 1):
        expr = Call("flatten", (expr,), (("axis", 2),))
    return expr


def filled(value: Value) -> Value:
    """Return `value` with not-a-number where an index led out of its array."""
    if not value.missing:
        return value
    expr = Call("fill_none", (number(value), Constant(_NAN)), (("axis", -1),))
    return Value(expr, DOUBLE, value.depth)


def total(known: Known) -> Value:
    """Return ``Sum$``."""
    value = filled(known.values[0])
    if value.depth == 0:
        return _if_any(known, Value(strong(value), DOUBLE))
    exact = value.dtype == BOOL or value.dtype in _SMALL
    items = flat(value.expr if exact else number(value), value.depth)
    dtype = DOUBLE
    if exact:
        dtype = "uint64" if value.dtype in _UNSIGNED else "int64"
    return _if_any(known, Value(Call("sum", (items,), _AXIS), dtype))


def length(known: Known) -> Value:
    """Return ``Length$``: the number of instances."""
    if known.driver is None:
        return _if_any(known, Value(Constant(1), DOUBLE))
    items = flat(known.driver.expr, known.driver.depth)
    return _if_any(known, Value(Call("num", (items,), _AXIS), "int32"))


def extreme(function: str, known: Known) -> Value:
    """Return ``Max$`` or ``Min$``, which is zero where there is nothing."""
    value = filled(known.values[0])
    if value.depth == 0:
        return _if_any(known, Value(strong(value), DOUBLE))
    return _if_any(known, _extreme_of(function, value, flat(_own(value), value.depth)))


def extreme_if(function: str, known: Known) -> Value:
    """Return ``MaxIf$`` or ``MinIf$``: over the instances whose condition is not zero."""
    value, condition = known.values
    passes = truth(condition)
    if condition.missing:
        passes = Call("fill_none", (passes, Constant(value=True)), (("axis", -1),))
    value = filled(value)
    if condition.constant is not None:
        return extreme(function, known) if condition.constant else Value(Constant(0.0), DOUBLE)
    if max(value.depth, condition.depth) == 0:
        kept = Call("where", (passes, strong(value), Constant(0.0)))
        return _if_any(known, Value(kept, DOUBLE))
    items, depth = _own(value), max(value.depth, condition.depth)
    if value.depth != condition.depth:
        both = Call("broadcast_arrays", (items, passes))
        items, passes = GetField(both, "0"), GetField(both, "1")
    chosen = Subscript(flat(items, depth), (flat(passes, depth),))
    return _if_any(known, _extreme_of(function, value, chosen))


def _own(value: Value) -> Expr:
    """Return the values in a type in which they can be compared without loss."""
    return value.expr if value.dtype in {*_SMALL, "float32"} else number(value)


def _extreme_of(function: str, value: Value, items: Expr) -> Value:
    found: Expr = Call(function, (items,), _AXIS)
    if value.dtype in _SMALL:
        return Value(Call("fill_none", (found, Constant(0)), (("axis", -1),)), "int64")
    if value.dtype in {"float32", DOUBLE}:
        # ROOT begins with the first value, and nothing is larger than what is no number
        first = Call("firsts", (items,), _AXIS)
        found = Call("where", (Call("isnan", (first,)), first, found))
    return Value(Call("fill_none", (found, Constant(0.0)), (("axis", -1),)), DOUBLE)


def _if_any(known: Known, value: Value) -> Value:
    """Return `value`, and zero where there is no instance."""
    if not known.exists:
        return value
    plain = Value(Call("fill_none", (strong(value), Constant(0.0)), (("axis", -1),)), DOUBLE)
    there = balanced("&", known.exists)
    return Value(Call("where", (there, plain.expr, Constant(0.0))), DOUBLE)


def alternative(known: Known, other: Value, driver: Value | None) -> Value:
    """Return ``Alt$``: the value of an instance, and `other` where there is no such instance.

    `driver` has the lists of the formula around it, None if that has no lists.
    """
    value, instead = filled(known.values[0]), strong(filled(other))
    there = list(known.exists)
    if driver is None:
        found = strong(value)
        if value.depth:
            items = flat(found, value.depth)
            there.append(Compare(">", Call("num", (items,), _AXIS), Constant(0)))
            found = Call("firsts", (items,), _AXIS)
        return _chosen(there, found, instead, 0)
    place = Call("local_index", (driver.expr,), _AXIS)
    if value.depth == 0:
        there.append(Compare("==", place, Constant(0)))
        return _chosen(there, strong(value), instead, 1)
    items = flat(strong(value), value.depth)
    inside = Compare("<", place, Call("num", (items,), _AXIS))
    there.append(inside)
    masked = Call("mask", (place, inside), (("valid_when", True),))
    return _chosen(there, Call("follow", (items, masked)), instead, 1)


def _chosen(there: list[Expr], found: Expr, instead: Expr, depth: int) -> Value:
    if not there:
        return Value(found, DOUBLE, depth)
    plain = Call("fill_none", (found, Constant(0.0)), (("axis", -1),))
    return Value(Call("where", (balanced("&", there), plain, instead)), DOUBLE, depth)
