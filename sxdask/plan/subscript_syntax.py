"""Read a subscript: fields, slices, numbers and masks, as awkward takes them."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from sxdask.core.types import Unknown, list_depth
from sxdask.plan.broadcast import leaf_of
from sxdask.plan.expr import Call, Constant, Expr, GetField, Slice, Subscript
from sxdask.plan.types import infer

if TYPE_CHECKING:
    from sxdask.plan.reader import Reader


def read_subscript(reader: Reader, node: ast.Subscript) -> Expr:
    """Return the field or the subscript that `node` is.

    ``...`` is written out as full slices; a number after `broadcast_arrays`
    picks one of its results.

    Raises
    ------
    SelectionSyntaxError
        If a place holds something that is no part of the language.
    """
    value = reader.visit(node.value)
    span = reader.span(node)
    places = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
    if not places:
        reader.refuse(node.slice, "an empty subscript", "write x[:, 0] to pick within the event")
    field = _text(reader, places[-1])
    if field is not None:
        if len(places) == 1:
            return GetField(value, field, span)
        reader.refuse(places[-1], "a field among other places", f'use two steps: x[...]["{field}"]')
    items = _items(reader, places, value)
    match value, items:
        case Call("broadcast_arrays", args), (Constant(int() as number),) if (
            0 <= number < len(args)
        ):
            return GetField(value, str(number), span)
    return Subscript(value, items, span)


def _items(reader: Reader, places: list[ast.expr], value: Expr) -> tuple[Slice | Expr, ...]:
    items: list[Slice | Expr] = []
    dots = [place for place in places if _is(place, ...)]
    if len(dots) > 1:
        reader.refuse(dots[1], "... stands once in a subscript")
    for place in places:
        if _is(place, ...):
            items.extend(_written_out(reader, place, value, len(places) - 1))
        else:
            items.append(_item(reader, place))
    return tuple(items)


def _is(node: ast.expr, value: object) -> bool:
    return isinstance(node, ast.Constant) and node.value is value


def _written_out(reader: Reader, place: ast.expr, value: Expr, others: int) -> list[Slice]:
    kind = infer(value, reader.scope.schema, reader.source)
    if isinstance(leaf_of(kind), Unknown):
        reader.refuse(place, "the number of dimensions is not known here", "write x[:, 0]")
    return [Slice()] * max(0, list_depth(kind) + 1 - others)


def _text(reader: Reader, node: ast.expr) -> str | None:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        start, stop = reader.span(node)
        return reader.source.text[start + 1 : stop - 1]
    return None


def _item(reader: Reader, node: ast.expr) -> Slice | Expr:
    if isinstance(node, ast.Slice):
        step = _bound(reader, node.step)
        if node.step is not None and step == 0:  # awkward would never come back
            reader.refuse(node.step, "the step of a slice cannot be zero", "leave it out")
        return Slice(_bound(reader, node.lower), _bound(reader, node.upper), step)
    newaxis = isinstance(node, ast.Attribute) and node.attr == "newaxis"
    if newaxis or _is(node, None):
        return Constant(None, reader.span(node))
    expr = reader.visit(node)
    if isinstance(expr, Constant) and type(expr.value) is not int:
        reader.refuse(node, f"{expr.value!r} is not a place in a list")
    return expr


def _bound(reader: Reader, node: ast.expr | None) -> int | None:
    if node is None or _is(node, None):
        return None
    expr = reader.visit(node)
    if isinstance(expr, Constant) and type(expr.value) is int:
        return expr.value
    return reader.refuse(node, "the bounds of a slice are whole numbers")
