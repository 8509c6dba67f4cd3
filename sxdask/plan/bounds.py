"""Conjunct -> zone test: what a block of entries must hold for any row of it to pass.

Every test is a *necessary* condition, so a block that fails it can be skipped
unread. Where nothing is known to be necessary there is no test. NaN passes no
comparison, and basket statistics leave it out, so a block is never kept alive
or dropped by it: only ``!=`` and ``~`` hold for NaN, and they give no test.
"""

from __future__ import annotations

import math
from typing import Final

from sxdask.core.bounds import ZoneAll, ZoneAny, ZoneCompare, ZoneOp, ZoneTest
from sxdask.plan.expr import (
    Binary,
    Call,
    Column,
    Compare,
    CompareOp,
    Constant,
    Expr,
    GetField,
    Slice,
    Subscript,
    children,
    walk,
)

_MIRROR: Final[dict[CompareOp, CompareOp]] = {
    "<": ">",
    "<=": ">=",
    ">": "<",
    ">=": "<=",
    "==": "==",
    "!=": "!=",
}
_ZONE_OPS: Final[dict[CompareOp, ZoneOp]] = {
    "<": "<",
    "<=": "<=",
    ">": ">",
    ">=": ">=",
    "==": "==",
}


def zone_test(expr: Expr) -> ZoneTest | None:
    """Return a condition on a zone that must hold for any of its rows to pass `expr`.

    Examples
    --------
    >>> zone_test(Compare("<", Constant(50), Column("MET_pt")))
    ZoneCompare(column='MET_pt', op='>', constant=50, stat='value')
    """
    match expr:
        case Compare(op, Constant() as left, right):
            return _comparison(_MIRROR[op], right, left.value)
        case Compare(op, left, Constant() as right):
            return _comparison(op, left, right.value)
        case Binary("&", left, right):
            return _all(zone_test(left), zone_test(right))
        case Binary("|", left, right):
            return _any(zone_test(left), zone_test(right))
        case Call("any", (inner,)) if _per_event(expr):
            # some item of some entry passes: the same statistics, taken over items
            return zone_test(inner)
        case Call("logical_and", (left, right)):
            return _all(zone_test(left), zone_test(right))
        case Call("logical_or", (left, right)):
            return _any(zone_test(left), zone_test(right))
        case _:
            return None


def _all(left: ZoneTest | None, right: ZoneTest | None) -> ZoneTest | None:
    if left is None or right is None:
        return left or right
    tests = [
        part
        for side in (left, right)
        for part in (side.tests if isinstance(side, ZoneAll) else (side,))
    ]
    return ZoneAll(tuple(tests))


def _any(left: ZoneTest | None, right: ZoneTest | None) -> ZoneTest | None:
    if left is None or right is None:
        return None
    tests = [
        part
        for side in (left, right)
        for part in (side.tests if isinstance(side, ZoneAny) else (side,))
    ]
    return ZoneAny(tuple(tests))


def _comparison(op: CompareOp, side: Expr, value: object) -> ZoneTest | None:
    if op not in _ZONE_OPS or isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if math.isnan(value):
        return None
    match side:
        case Column(name):
            return ZoneCompare(name, _ZONE_OPS[op], value)
        case Call("abs", (Column(name),)):
            return _absolute(op, name, value)
        case Call("num", (Column(name),)) if _per_event(side):
            return ZoneCompare(name, _ZONE_OPS[op], value, stat="count")
        case Call("max" | "min", (Column(name),)) if _per_event(side):
            # the extreme is one of the items; without items it is missing and passes nothing
            return ZoneCompare(name, _ZONE_OPS[op], value)
        case Subscript(Column(name), items) if _picks_items(items):
            return ZoneCompare(name, _ZONE_OPS[op], value)
        case _:
            return None


def _per_event(call: Call) -> bool:
    """Whether a reduction is that of a plain list, with no option that changes empty ones."""
    return call.options == (("axis", 1),)


def _absolute(op: CompareOp, name: str, value: float) -> ZoneTest | None:
    if op in {"<", "<="}:
        return ZoneAll(
            (
                ZoneCompare(name, _ZONE_OPS[_MIRROR[op]], -value),
                ZoneCompare(name, _ZONE_OPS[op], value),
            )
        )
    return ZoneAny(
        (
            ZoneCompare(name, _ZONE_OPS[op], value),
            ZoneCompare(name, _ZONE_OPS[_MIRROR[op]], -value),
        )
    )


def _picks_items(items: tuple[Slice | Expr, ...]) -> bool:
    return items[0] == Slice() and all(
        isinstance(item, Slice) or (isinstance(item, Constant) and item.value is not None)
        for item in items
    )


def is_fallible(expr: Expr) -> bool:
    """Whether `expr` can fail on rows that another condition would have removed.

    Picking an item that an event may not have fails (``Muon_pt[:, 0]``), and
    so does what needs lists of equal length; such conditions are evaluated
    after the others.

    Examples
    --------
    >>> is_fallible(Compare(">", Subscript(Column("pt"), (Slice(), Constant(0))), Constant(3)))
    True
    """
    return any(_can_fail(node) for node in walk(expr))


def _can_fail(node: Expr) -> bool:
    match node:
        case Subscript(items=items):
            return any(not isinstance(item, Slice) for item in items)
        case Binary() | Compare() | Call():
            # two lists side by side must have equal lengths, which only the data tell
            lists = [item for item in children(node) if not isinstance(item, Constant)]
            return len(lists) > 1 and not isinstance(node, Compare | Binary)
        case GetField():
            return False
        case _:
            return False
