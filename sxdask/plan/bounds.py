"""Conjunct -> zone test: what a block of entries must hold for any row of it to pass.

Every test is a *necessary* condition, so a block that fails it can be skipped
unread. Where nothing is known to be necessary there is no test. NaN passes no
comparison, and basket statistics leave it out, so a block is never kept alive
or dropped by it: only ``!=`` and ``~`` hold for NaN, and they give no test.
"""

from __future__ import annotations

import math
import struct
from typing import TYPE_CHECKING, Final

from sxdask.core.bounds import ZoneAll, ZoneAny, ZoneCompare, ZoneOp, ZoneTest
from sxdask.core.types import Field, Primitive
from sxdask.plan.broadcast import leaf_of
from sxdask.plan.expr import (
    Binary,
    Call,
    Column,
    Compare,
    CompareOp,
    Constant,
    Expr,
    Slice,
    Subscript,
    Unary,
    walk,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

_MIRROR: Final[dict[CompareOp, CompareOp]] = {
    "<": ">",
    "<=": ">=",
    ">": "<",
    ">=": "<=",
    "==": "==",
    "!=": "!=",
}
_DOWN: Final[dict[ZoneOp, ZoneOp]] = {">": "<", ">=": "<="}
_UP: Final[dict[ZoneOp, ZoneOp]] = {"<": ">", "<=": ">="}
_EXACT: Final = 2.0**53  # from here on float64 cannot hold every whole number


def zone_test(expr: Expr, schema: Mapping[str, Field] | None = None) -> ZoneTest | None:
    """Return a condition on a zone that must hold for any of its rows to pass `expr`.

    With `schema` constants are rounded as the comparison rounds them: a float32
    column is compared with 0.1 as a float32. Without it the test is as wide as
    any type could need.

    Examples
    --------
    >>> zone_test(Compare("<", Constant(50), Column("MET_pt")))
    ZoneCompare(column='MET_pt', op='>', constant=50, stat='value')
    """
    return _Tests(schema or {}).test(expr)


class _Tests:
    def __init__(self, schema: Mapping[str, Field]) -> None:
        self._schema = schema
        self._known: dict[Expr, ZoneTest | None] = {}

    def test(self, expr: Expr) -> ZoneTest | None:
        if expr not in self._known:
            self._known[expr] = self._test(expr)
        return self._known[expr]

    def _test(self, expr: Expr) -> ZoneTest | None:
        match expr:
            case Compare(op, (Constant(value) | Call("float64", (Constant(value),))), right):
                return self._comparison(_MIRROR[op], right, value)
            case Compare(op, left, (Constant(value) | Call("float64", (Constant(value),)))):
                return self._comparison(op, left, value)
            case Binary("&", left, right) | Call("logical_and", (left, right)):
                return _all(self.test(left), self.test(right))
            case Binary("|", left, right) | Call("logical_or", (left, right)):
                return _any(self.test(left), self.test(right))
            case Call("any", (inner,)) if _per_event(expr):
                # some item of some entry passes: the same statistics, taken over items
                return self.test(inner)
            case _:
                return None

    def _comparison(self, op: CompareOp, side: Expr, value: object) -> ZoneTest | None:
        if op == "!=" or isinstance(value, bool) or not isinstance(value, int | float):
            return None
        if math.isnan(value):
            return None
        match side:
            case Column(name):
                return self._of_values(op, name, value)
            case Call("abs", (Column(name),)):
                return self._absolute(op, name, value)
            case Call("num", (Column(name),)) if _per_event(side):
                return ZoneCompare(name, op, value, stat="count")
            case Call("max" | "min", (Column(name),)) if _per_event(side):
                # the extreme is one of the items; without items it is missing and passes nothing
                return self._of_values(op, name, value)
            case Call("from_regular", (inner,)):
                return self._comparison(op, inner, value)
            case Subscript(Column(name), items) if _picks_items(items):
                return self._of_values(op, name, value)
            case _:
                return None

    def _of_values(self, op: ZoneOp, name: str, value: float) -> ZoneTest:
        low, high = _rounded(value, self._dtype(name))
        if op in {"<", "<="}:
            return ZoneCompare(name, op, high)
        if op in {">", ">="}:
            return ZoneCompare(name, op, low)
        if low == high:
            return ZoneCompare(name, "==", value)
        return ZoneAll((ZoneCompare(name, ">=", low), ZoneCompare(name, "<=", high)))

    def _absolute(self, op: ZoneOp, name: str, value: float) -> ZoneTest | None:
        if op in {">", ">="}:
            return _any(self._of_values(op, name, value), self._of_values(_DOWN[op], name, -value))
        if not self._dtype(name).startswith("float"):
            return None  # the absolute value of the least integer is negative
        if op == "==":
            return _any(self._of_values("==", name, value), self._of_values("==", name, -value))
        return _all(self._of_values(op, name, value), self._of_values(_UP[op], name, -value))

    def _dtype(self, name: str) -> str:
        found = self._schema.get(name)
        leaf = None if found is None else leaf_of(found.type)
        return leaf.dtype if isinstance(leaf, Primitive) else ""


def _rounded(value: float, dtype: str) -> tuple[float, float]:
    """Return an interval around `value` that holds what a column of `dtype` compares with."""
    integer = dtype.startswith(("int", "uint", "bool"))
    if integer and isinstance(value, int):
        return value, value
    near: list[float] = [value]
    if dtype in {"float32", ""}:
        near.append(_float32(value))
    if isinstance(value, int):
        near.append(float(value))
    elif dtype != "float32" and abs(value) >= _EXACT and math.isfinite(value):
        # whole numbers of 64 bits are rounded to float64 before they are compared
        near += [math.nextafter(value, -math.inf), math.nextafter(value, math.inf)]
    return min(near), max(near)


def _float32(value: float) -> float:
    try:
        rounded: float = struct.unpack("f", struct.pack("f", value))[0]
    except OverflowError:
        return math.inf if value > 0 else -math.inf
    return rounded


def _all(left: ZoneTest | None, right: ZoneTest | None) -> ZoneTest | None:
    if left is None or right is None or left == right:
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
    if left == right:
        return left
    tests = [
        part
        for side in (left, right)
        for part in (side.tests if isinstance(side, ZoneAny) else (side,))
    ]
    return ZoneAny(tuple(tests))


def _per_event(call: Call) -> bool:
    """Whether a reduction is that of a plain list, with no option that changes empty ones."""
    return call.options == (("axis", 1),)


def _picks_items(items: tuple[Slice | Expr, ...]) -> bool:
    return items[0] == Slice() and all(
        isinstance(item, Slice) or (isinstance(item, Constant) and item.value is not None)
        for item in items
    )


def is_fallible(expr: Expr) -> bool:
    """Whether `expr` can fail on rows that another condition would have removed.

    Picking an item that an event may not have fails (``Muon_pt[:, 0]``,
    ``Muon_pt[Jet_muonIdx]``), and so does a value that must be there and is not
    (``present(x)``); such conditions are evaluated after the others. Slices and
    masks do not fail.

    Examples
    --------
    >>> is_fallible(Compare(">", Subscript(Column("pt"), (Slice(), Constant(0))), Constant(3)))
    True
    """
    return any(
        (isinstance(node, Subscript) and any(_picks(item) for item in node.items))
        or (isinstance(node, Call) and node.function == "present")
        for node in walk(expr)
    )


def _picks(item: Slice | Expr) -> bool:
    match item:
        case Slice() | Compare() | Unary("~") | Binary("&" | "|" | "^"):
            return False
        case Constant(value):
            return value is not None
        case _:
            return True
