"""Arithmetic of constants alone: exact, bounded, and the same as Python's own.

A constant has no dtype until it meets an array, so ``1 + 1`` is Python's and
not NumPy's sum. What is not bounded (``9**9**9``) is refused before anybody
computes it.
"""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Final, TypeAlias

from sxdask.plan.expr import Binary, Compare, Constant, Expr, Unary

if TYPE_CHECKING:
    from collections.abc import Callable

Value: TypeAlias = "bool | int | float"

_BINARY: Final[dict[str, Callable[..., object]]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "//": operator.floordiv,
    "%": operator.mod,
    "&": operator.and_,
    "|": operator.or_,
    "^": operator.xor,
    ">>": operator.rshift,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}


class UnboundedError(Exception):
    """A constant that is no finite number of 64 bits."""


def constant_value(expr: Expr) -> Value | None:
    """Return the value of an expression of numbers alone, None if it has anything else.

    Raises
    ------
    UnboundedError
        If the value is undefined or does not fit 64 bits.

    Examples
    --------
    >>> constant_value(Binary("*", Constant(3), Constant(0.5)))
    1.5
    """
    known: dict[int, Value | None] = {}

    def visit(node: Expr) -> Value | None:
        if id(node) not in known:
            known[id(node)] = value_of(node)
        return known[id(node)]

    def value_of(node: Expr) -> Value | None:
        match node:
            case Constant(bool() | int() | float() as value):
                return value
            case Unary(op, operand):
                inner = visit(operand)
                return None if inner is None else _unary(op, inner)
            case Binary(op, left, right) | Compare(op, left, right):
                first = visit(left)
                second = None if first is None else visit(right)
                return None if first is None or second is None else _binary(op, first, second)
            case _:
                return None

    return visit(expr)


def _unary(op: str, value: Value) -> Value:
    if op == "~":
        if isinstance(value, float):
            raise UnboundedError("~ needs a boolean or a whole number")
        return not value if isinstance(value, bool) else ~value
    return _bounded(-value if op == "-" else +value)


def _binary(op: str, first: Value, second: Value) -> Value:
    try:
        if op == "**":
            return _bounded(_power(first, second))
        if op == "<<":
            return _bounded(_shift(first, second))
        return _bounded(_BINARY[op](first, second))
    except (ArithmeticError, TypeError, ValueError) as error:
        raise UnboundedError(str(error)) from None


def _power(base: Value, exponent: Value) -> object:
    if isinstance(base, int) and isinstance(exponent, int) and exponent > 64 and abs(base) > 1:
        raise UnboundedError("a whole number of more than 64 bits")
    result: object = base**exponent
    return result


def _shift(value: Value, by: Value) -> object:
    if not isinstance(value, int) or not isinstance(by, int):
        raise UnboundedError("<< needs whole numbers")
    if by > 64:
        raise UnboundedError("a whole number of more than 64 bits")
    return value << by


def _bounded(value: object) -> Value:
    if isinstance(value, int) and not -(2**63) <= value < 2**64:
        raise UnboundedError("a whole number of more than 64 bits")
    if not isinstance(value, bool | int | float):
        raise UnboundedError("no real number")
    return value
