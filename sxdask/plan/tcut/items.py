"""Items of the arrays of a formula: by a number, or by a position that is computed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sxdask.plan.expr import Binary, Call, Compare, Constant, Expr, Slice, Subscript

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sxdask.plan.expr import Span

ALL: Final = Slice()


def followed(items: Expr, place: Expr, span: Span | None) -> Expr:
    """Return the items at positions, missing where there is no such position."""
    count = Call("num", (items,), (("axis", 1),))
    inside = Binary("&", Compare(">=", place, Constant(0)), Compare("<", place, count))
    where = Call("mask", (place, inside), (("valid_when", True),))
    return Call("follow", (items, where), (), span)


def longer(expr: Expr, axis: int, index: int) -> Expr:
    """Return whether lists have item `index`."""
    return Compare(">", Call("num", (expr,), (("axis", axis),)), Constant(index))


def first_of(expr: Expr, indices: Sequence[int | None]) -> Expr:
    """Return the item at literal indices, missing where there is none."""
    first = indices[0] or 0
    cut: Expr = Subscript(expr, (ALL, Slice(first, first + 1)), expr.span)
    if len(indices) > 1 and all(index is not None for index in indices):
        for axis, index in enumerate(indices[1:], start=2):
            stop = Slice(index, (index or 0) + 1)
            cut = Subscript(cut, (*(ALL,) * axis, stop), expr.span)
            cut = Call("flatten", (cut,), (("axis", 2),))
        return Call("firsts", (cut,), (("axis", 1),))
    cut = Call("firsts", (cut,), (("axis", 1),))
    items = [ALL if index is None else Constant(index) for index in indices[1:]]
    while items and items[-1] == ALL:
        items.pop()
    return Subscript(cut, (ALL, *items), expr.span) if items else cut
