"""Scan(where a & b)  ->  Scan(where a, b)."""

from __future__ import annotations

from dataclasses import replace

from sxdask.core.types import Option, Primitive
from sxdask.plan.expr import Binary, Expr
from sxdask.plan.nodes import Node, Scan, Schemas
from sxdask.plan.types import infer


def split_conjunctions(node: Node, schemas: Schemas) -> Node | None:
    """Make each condition of a conjunction one of its own, in the same order.

    Legal where both sides are booleans: a row passes ``a & b`` just if it
    passes both, and a missing value passes neither. Whole numbers are left
    alone, since ``4 & 2`` is zero though neither side is.
    """
    if not isinstance(node, Scan) or node.tree not in schemas:
        return None
    predicate = tuple(part for expr in node.predicate for part in _parts(expr, node, schemas))
    return None if predicate == node.predicate else replace(node, predicate=predicate)


def _parts(expr: Expr, scan: Scan, schemas: Schemas) -> list[Expr]:
    found: list[Expr] = []
    seen: set[Expr] = set()
    todo = [expr]
    while todo:
        part = todo.pop()
        if part in seen:
            continue
        seen.add(part)
        match part:
            case Binary("&", left, right) if all(
                _is_boolean(side, scan, schemas) for side in (left, right)
            ):
                todo += [right, left]
            case _:
                found.append(part)
    return found


def _is_boolean(expr: Expr, scan: Scan, schemas: Schemas) -> bool:
    kind = infer(expr, schemas[scan.tree])
    return (kind.item if isinstance(kind, Option) else kind) == Primitive("bool")
