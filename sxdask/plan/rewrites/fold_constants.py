"""1 + 1  ->  2; a condition that is True goes, one that is False stays alone."""

from __future__ import annotations

from dataclasses import replace

from sxdask.plan.constants import UnboundedError, constant_value
from sxdask.plan.expr import Binary, Compare, Constant, Expr, Unary, children, transform
from sxdask.plan.nodes import Filter, Node, Project, Scan, Schemas

_FALSE = Constant(value=False)
_TRUE = Constant(value=True)


def fold_constants(node: Node, _: Schemas) -> Node | None:
    """Compute what has no column in it, and drop conditions that decide nothing.

    Legal because only constants among themselves are computed, with Python's
    own arithmetic, and a constant next to an array is left as it is: its dtype
    is the array's to decide. Beside a condition that never holds, no other
    condition can matter.
    """
    match node:
        case Scan(predicate=predicate):
            folded = _conditions(tuple(_folded(expr) for expr in predicate))
            return None if folded == predicate else replace(node, predicate=folded)
        case Filter(source, predicate):
            condition = _folded(predicate)
            return None if condition == predicate else Filter(source, condition)
        case Project(source, outputs):
            pairs = tuple((name, _folded(expr)) for name, expr in outputs)
            return None if pairs == outputs else Project(source, pairs)


def _conditions(predicate: tuple[Expr, ...]) -> tuple[Expr, ...]:
    if _FALSE in predicate:
        return (_FALSE,)
    return tuple(expr for expr in predicate if expr != _TRUE)


def _folded(expr: Expr) -> Expr:
    return transform(expr, _fold)


def _fold(expr: Expr) -> Expr:
    if not isinstance(expr, Unary | Binary | Compare):
        return expr
    if not all(isinstance(operand, Constant) for operand in children(expr)):
        return expr  # operands are folded already
    try:
        value = constant_value(expr)
    except UnboundedError:
        return expr
    return expr if value is None else Constant(value, expr.span)
