"""What a part of a formula is worth: an expression, its number type and its list depth.

ROOT computes every formula in double precision. Columns keep their own type
here as long as the result is the same (comparisons, absolute values), so that
a cut is the same plan as its native spelling and can use basket statistics;
everything else is computed with ``float64``.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from sxdask.plan.expr import Call, Compare, CompareOp, Constant, Expr
from sxdask.plan.promotion import integer_range

if TYPE_CHECKING:
    from sxdask.plan.expr import Span

BOOL: Final = "bool"
DOUBLE: Final = "float64"
TEXT: Final = "text"

_EXACT: Final = 2**53  # from here on a double cannot hold every whole number
_WIDE: Final = frozenset({"int64", "uint64"})
_NARROW: Final = frozenset({BOOL, "int8", "int16", "int32", "uint8", "uint16", "uint32"})


@dataclass(frozen=True, slots=True)
class Value:
    """One value per instance.

    Attributes
    ----------
    expr
        The expression; a `Constant` for constants.
    dtype
        NumPy's name of the number type, or ``"text"``.
    depth
        List dimensions below the event; 0 is one value per event.
    missing
        Some values may be missing: an index led out of its array. ROOT makes
        the whole formula not a number there.
    """

    expr: Expr
    dtype: str
    depth: int = 0
    missing: bool = False

    @property
    def constant(self) -> float | int | bool | None:
        """The number, if it is the same in all events."""
        if isinstance(self.expr, Constant) and isinstance(self.expr.value, int | float):
            return self.expr.value
        return None

    def like(self, expr: Expr, dtype: str, *others: Value) -> Value:
        """Return a value of `expr`, computed from this one and `others`."""
        return Value(
            expr,
            dtype,
            max(self.depth, *(item.depth for item in others), 0),
            self.missing or any(item.missing for item in others),
        )


def constant(value: float, span: Span | None = None) -> Value:
    """Return a constant; whole numbers that fit 64 bits stay whole."""
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > _EXACT:
        value = float(value)
    return Value(Constant(value, span), BOOL if isinstance(value, bool) else DOUBLE)


def spanned(value: Value, span: Span) -> Value:
    """Return `value` with the place in the user's text that it stands for."""
    return replace(value, expr=replace(value.expr, span=span))


def number(value: Value) -> Expr:
    """Return the value in double precision, as ROOT computes with it."""
    if value.constant is not None:
        plain = value.constant
        return Constant(int(plain), value.expr.span) if isinstance(plain, bool) else value.expr
    if value.dtype == DOUBLE:
        return value.expr
    return Call("float64", (value.expr,), (), value.expr.span)


def truth(value: Value) -> Expr:
    """Return whether the value is not zero; not-a-number is not zero."""
    if value.constant is not None:
        return Constant(bool(value.constant), value.expr.span)
    if value.dtype == BOOL:
        return value.expr
    return Compare("!=", value.expr, Constant(0), value.expr.span)


def integer(value: Value) -> Expr:
    """Return the value cut to a whole number, as ROOT casts it."""
    if value.constant is not None:
        return Constant(int(value.constant), value.expr.span)
    if value.dtype in _WIDE:
        # by way of a double, as ROOT reads every column
        return Call("int64", (number(value),), (), value.expr.span)
    return Call("int64", (value.expr,), (), value.expr.span)


def compared(op: CompareOp, left: Value, right: Value, span: Span) -> Expr:
    """Return the comparison of two numbers with the result that doubles give."""
    first, second = left.constant, right.constant
    if second is not None:
        return Compare(op, _beside(left, second), _strong(second, left.dtype, right), span)
    if first is not None:
        return Compare(op, _strong(first, right.dtype, left), _beside(right, first), span)
    kinds = {left.dtype, right.dtype}
    if kinds & _WIDE and kinds <= _WIDE | _NARROW:  # NumPy would compare all 64 bits
        return Compare(op, number(left), number(right), span)
    return Compare(op, left.expr, right.expr, span)


def _beside(column: Value, plain: float) -> Expr:
    """Return a column as it can be compared with the constant `plain`."""
    rounds = column.dtype in _WIDE and isinstance(plain, int) and abs(plain) >= _EXACT
    return number(column) if rounds else column.expr


def _strong(plain: float, dtype: str, value: Value) -> Expr:
    """Return the constant `plain` for a comparison with a column of `dtype`."""
    span = value.expr.span
    if isinstance(plain, bool):
        plain = int(plain)
    if dtype == "float32" and not _fits_float32(plain):
        # NumPy would round the constant to the column's precision
        return Call("float64", (Constant(plain, span),), (), span)
    limits = integer_range(dtype)
    if isinstance(plain, int) and limits and not limits[0] <= plain <= limits[1]:
        return Constant(float(plain), span)
    return Constant(plain, span)


def _fits_float32(plain: float) -> bool:
    if plain != plain:  # noqa: PLR0124  not a number
        return True
    try:
        return bool(struct.unpack("f", struct.pack("f", plain))[0] == plain)
    except OverflowError:
        return False
