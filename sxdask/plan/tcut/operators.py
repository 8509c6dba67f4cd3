"""What operators do to values, as ROOT's formulas define them.

Division by zero is zero, ``%`` and the bit operators work on whole numbers of
64 bits, comparisons are 1 or 0, and ``^`` is the power [1]_. What has no
column in it is computed here.

References
----------
.. [1] ROOT 6.40, ``TTreeFormula::EvalInstance``.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, cast

from sxdask.plan.expr import Binary, BinaryOp, Call, Compare, CompareOp, Constant, Expr, Unary
from sxdask.plan.promotion import integer_range
from sxdask.plan.syntax import balanced
from sxdask.plan.tcut.values import (
    BOOL,
    DOUBLE,
    Value,
    compared,
    constant,
    integer,
    number,
    spanned,
    truth,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sxdask.plan.expr import Span

COMPARISONS: Final = frozenset({"<", "<=", ">", ">=", "==", "!="})
_BITS: Final = frozenset({"&", "|", "<<", ">>"})
_MASK: Final = 2**64 - 1
_SIGN: Final = 2**63


def negative(value: Value, span: Span) -> Value:
    """Return ``-value``."""
    plain = value.constant
    if plain is not None:
        return constant(-plain, span)
    return value.like(Unary("-", number(value), span), DOUBLE)


def negation(value: Value, span: Span) -> Value:
    """Return ``!value``."""
    if value.constant is not None:
        return constant(not value.constant, span)
    return value.like(Unary("~", truth(value), span), BOOL)


def joined(op: str, values: Sequence[Value], span: Span) -> Value:
    """Return ``a && b && ...`` or ``a || b || ...``.

    What stands behind a part that decides is not evaluated: an index that
    leads out of its array does no harm there.
    """
    plain = [item.constant for item in values]
    if all(item is not None for item in plain):
        return constant(all(plain) if op == "&&" else any(plain), span)
    if not any(item.missing for item in values[1:]):
        sign = "&" if op == "&&" else "|"
        expr = balanced(sign, [truth(item) for item in values])  # type: ignore[arg-type]
        return values[0].like(expr, BOOL, *values[1:])
    result = values[-1]
    for item in reversed(values[:-1]):
        pair = (result, constant(False)) if op == "&&" else (constant(True), result)  # noqa: FBT003
        result = choice(item, *pair, span)
    return spanned(Value(truth(result), BOOL, result.depth, result.missing), span)


def choice(condition: Value, yes: Value, no: Value, span: Span) -> Value:
    """Return ``condition ? yes : no``."""
    if condition.constant is not None:
        return yes if condition.constant else no
    kind = BOOL if yes.dtype == no.dtype == BOOL else DOUBLE
    pair = (truth(yes), truth(no)) if kind == BOOL else (strong(yes), strong(no))
    where = Call("where", (deep(condition, yes, no), *pair), (), span)
    return condition.like(where, kind, yes, no)


def deep(condition: Value, *others: Value) -> Expr:
    """Return the truth of `condition` for each item of the deepest of `others`."""
    deepest = max(others, key=lambda item: item.depth)
    if deepest.depth <= condition.depth:
        return truth(condition)
    # which item it is exists for all of them, missing or not
    place = Call("local_index", (deepest.expr,), (("axis", deepest.depth),))
    return Binary("&", truth(condition), Compare(">=", place, Constant(0)))


def strong(value: Value) -> Expr:
    """Return the value in double precision, constants not weaker than columns."""
    plain = value.constant
    return number(value) if plain is None else Constant(float(plain), value.expr.span)


def operated(op: str, left: Value, right: Value, span: Span) -> Value:
    """Return ``left op right`` for every operator but ``&&`` and ``||``."""
    if left.constant is not None and right.constant is not None:
        return constant(_computed(op, left.constant, right.constant), span)
    if op in COMPARISONS:
        expr = compared(cast("CompareOp", op), left, right, span)
        return left.like(expr, BOOL, right)
    if op in _BITS:
        return _bitwise(op, left, right, span)
    return left.like(_ARITHMETIC[op](left, right, span), DOUBLE, right)


# -- arithmetic -----------------------------------------------------------------------------


def _plain(op: BinaryOp) -> Callable[[Value, Value, Span], Expr]:
    return lambda left, right, span: Binary(op, number(left), number(right), span)


def _divided(left: Value, right: Value, span: Span) -> Expr:
    if right.constant == 0:
        return Binary("*", number(left), Constant(0.0), span)
    quotient = Binary("/", number(left), number(right), span)
    if right.constant is not None:
        return quotient
    divides = Value(Compare("!=", right.expr, Constant(0), span), BOOL, right.depth)
    return Call("where", (deep(divides, left), quotient, Constant(0.0)), (), span)


def _remainder(left: Value, right: Value, span: Span) -> Expr:
    rest = Call("fmod", (integer(left), integer(right)), (), span)
    return Call("float64", (rest,), (), span)


def power(left: Value, right: Value, span: Span | None = None) -> Expr:
    """Return the power as the C library gives it; a square is the product."""
    if right.constant == 2:
        return Binary("*", number(left), number(left), span)
    return Binary("**", strong(left), strong(right), span)


_ARITHMETIC: Final[dict[str, Callable[[Value, Value, Span], Expr]]] = {
    "+": _plain("+"),
    "-": _plain("-"),
    "*": _plain("*"),
    "/": _divided,
    "%": _remainder,
    "^": power,
}


# -- bits -----------------------------------------------------------------------------------


def _bitwise(op: str, left: Value, right: Value, span: Span) -> Value:
    if op == "&":
        for column, plain in ((left, right), (right, left)):
            limits = integer_range(column.dtype)
            bits = plain.constant
            exact = limits and column.dtype not in {"int64", "uint64"}
            if exact and limits and isinstance(bits, int) and 0 <= bits <= limits[1]:
                operands = (
                    (column.expr, plain.expr) if column is left else (plain.expr, column.expr)
                )
                return left.like(Binary("&", *operands, span), column.dtype, right)
    first, second = (_unsigned(item) for item in (left, right))
    if op in {"<<", ">>"}:
        # the processor looks at the low six bits of a shift alone
        second = Binary("&", second, Constant(63), span)
    expr = Binary(cast("BinaryOp", op), first, second, span)
    return left.like(Call("float64", (expr,), (), span), DOUBLE, right)


def _unsigned(value: Value) -> Expr:
    if value.constant is not None:
        return Call("uint64", (Constant(int(value.constant) & _MASK),), (), value.expr.span)
    whole = number(value) if value.dtype == "uint64" else integer(value)
    return Call("uint64", (whole,), (), value.expr.span)


# -- constants ------------------------------------------------------------------------------


def _computed(op: str, left: float, right: float) -> float:
    """Compute with two constants as the formula would with columns."""
    if op in COMPARISONS:
        return _COMPARE[op](left, right)
    if op in _BITS:
        first, second = int(left) & _MASK, int(right) & _MASK
        return float(_INTEGER[op](first, second) & _MASK)
    try:
        return _CONSTANT[op](left, right)
    except OverflowError:
        return math.inf
    except (ValueError, ZeroDivisionError):
        return math.inf if op == "^" and left == 0 else math.nan


_COMPARE: Final[dict[str, Callable[[float, float], bool]]] = {
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
}
_INTEGER: Final[dict[str, Callable[[int, int], int]]] = {
    "&": lambda a, b: a & b,
    "|": lambda a, b: a | b,
    "<<": lambda a, b: a << (b & 63),
    ">>": lambda a, b: a >> (b & 63),
}
_CONSTANT: Final[dict[str, Callable[[float, float], float]]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: 0.0 if b == 0 else _whole(a / b, a, b),
    "%": lambda a, b: 0.0 if int(b) == 0 else math.fmod(int(a), int(b)),
    "^": math.pow,
}


def _whole(result: float, *operands: float) -> float:
    exact = result.is_integer() and all(isinstance(item, int) for item in operands)
    return int(result) if exact else result
