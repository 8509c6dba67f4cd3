"""Items that are asked for only where they exist: if/else, ``and`` and ``or`` are lazy.

``e.pt.First() if e.pt.Count() > 0 else -1`` has a value for every event.
Everything is computed for all turns of the loops at once, so behind a
condition an item that is not there is missing at first; where the condition
then picks a missing one, that is the error it would have been without.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from sxdask.core.types import FixedList, ListOf, Option, Record, Type
from sxdask.plan.expr import Binary, Call, Compare, Constant, Slice, Subscript, Unary
from sxdask.plan.func_adl.tree import Item, Lambda, Operator, Range, Tree
from sxdask.plan.func_adl.tree import Value as Literal
from sxdask.plan.func_adl.values import Array, Picks, Struct, Value

if TYPE_CHECKING:
    from sxdask.plan.expr import Expr, Span
    from sxdask.plan.func_adl.algebra import Algebra

_ALL: Final = Slice()
_BACKWARDS: Final = Slice(None, None, -1)
_PICKING: Final = frozenset({"First", "Last", "ElementAt"})


def may_miss(tree: Tree) -> bool:
    """Whether `tree` picks an item that may not be there, outside of any lambda in it.

    Within a lambda of its own the items picked are those of its own turns, and
    a missing one is an error for the whole list.
    """
    todo: list[object] = [tree]
    while todo:
        node = todo.pop()
        match node:
            case tuple():
                todo.extend(node)
            case Operator(name=name) if name in _PICKING:
                return True
            case Item(index=Range() | Literal(value=str())):
                todo.append(node.value)
            case Item():
                return True
            case _ if hasattr(node, "__dataclass_fields__") and not isinstance(node, Lambda):
                todo.extend(getattr(node, slot) for slot in node.__dataclass_fields__)
    return False


def position_or_missing(
    algebra: Algebra, position: Array, array: Array, span: Span | None
) -> Array:
    """Return `position`, missing where the list of `array` has no such item."""
    length = algebra.call("num", array, span=span, axis=len(array.loops))
    below = algebra.elementwise(lambda x, n: Compare("<", x, n, span), position, length)
    least = algebra.elementwise(lambda n: Unary("-", n, span), length)
    above = algebra.elementwise(lambda x, n: Compare(">=", x, n, span), position, least)
    there = algebra.elementwise(lambda x, y: Binary("&", x, y, span), below, above)
    return algebra.elementwise(lambda x, y: Call("mask", (x, y), (), span), position, there)


def item_or_missing(algebra: Algebra, array: Array, number: int, span: Span | None) -> Array:
    """Return item `number` of each list, missing where the list is too short."""
    axis = len(array.loops)
    if number < 0:
        places: tuple[Slice | Expr, ...] = (*(_ALL,) * axis, _BACKWARDS)
        array = algebra.make(lambda x: Subscript(x, places, span), array)
        number = -1 - number
    if number == 0:
        return algebra.call("firsts", array, span=span, axis=axis)
    padded = algebra.call("pad_none", array, span=span, axis=axis, target=number + 1)
    chosen: tuple[Slice | Expr, ...] = (*(_ALL,) * axis, Constant(number))
    return algebra.make(lambda x: Subscript(x, chosen, span), padded)


def require_present(algebra: Algebra, found: Value, plain: Value, span: Span | None) -> Value:
    """Return `found` with the error for missing items that `plain` would have raised itself.

    `plain` is the same value computed without regard to conditions.
    """
    match found, plain:
        case Array(), Array():
            if found.expr == plain.expr:
                return plain
            if not _has_missing(found.type) or _has_missing(plain.type):
                return found
            made = algebra.make(lambda x: Call("present", (x,), (), span), found)
            return algebra.like(found, made)
        case (Struct(values=ours), Struct(values=theirs)):
            pairs = zip(ours, theirs, strict=True)
            values = tuple(require_present(algebra, one, two, span) for one, two in pairs)
            return replace(found, values=values)
        case (Picks(items=ours), Picks(items=theirs)):
            pairs = zip(ours, theirs, strict=True)
            items = tuple(require_present(algebra, one, two, span) for one, two in pairs)
            return replace(found, items=items)
        case _:
            return found


def _has_missing(kind: Type) -> bool:
    match kind:
        case Option():
            return True
        case ListOf(item) | FixedList(item, _):
            return _has_missing(item)
        case Record(fields):
            return any(_has_missing(item) for _, item in fields)
        case _:
            return False
