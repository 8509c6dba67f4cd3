"""What a part of a query stands for while it is evaluated: arrays, records of them, the event.

Every value is symbolic. An `Array` is an expression over branches together
with the loops that it varies over: the outer list dimensions of the
expression are those loops, in the order in which they enclose each other, and
what lists remain are the value's own.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

from sxdask.core.types import Primitive, Type, list_depth
from sxdask.plan.broadcast import leaf_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sxdask.plan.expr import Expr


@dataclass(frozen=True, slots=True, eq=False)
class Loop:
    """One loop: over the events, or over the items of a sequence by a lambda.

    Loops that are open at the same time enclose each other, so `level` orders
    them; 0 is the loop over events.
    """

    level: int


@dataclass(frozen=True, slots=True)
class Array:
    """An expression with one value, or one list, for each turn of its loops.

    `type` is that of one event: a list dimension for each loop but the events'.
    A constant has no loops. `depth` is that of the expression, kept here so that
    nothing has to walk it. `is_momentum` marks records that are four-vectors.
    """

    expr: Expr
    type: Type
    loops: tuple[Loop, ...] = ()
    depth: int = 1
    is_momentum: bool = False

    @property
    def lists(self) -> int:
        """Number of the value's own list dimensions."""
        return list_depth(self.type) - max(0, len(self.loops) - 1)

    @property
    def is_constant(self) -> bool:
        """Whether the value is the same for all events."""
        return not self.loops


@dataclass(frozen=True, slots=True)
class Struct:
    """A record of values, or with `lists` a list (of lists ...) of records.

    With lists all arrays in it vary over the same loops and have these list
    dimensions in common; without, each field stands for itself.
    """

    names: tuple[str, ...]
    values: tuple[Value, ...]
    is_tuple: bool = False
    lists: int = 0

    def field(self, name: str) -> Value | None:
        """Return the field `name`, if there is one."""
        return dict(zip(self.names, self.values, strict=True)).get(name)


@dataclass(frozen=True, slots=True)
class Picks:
    """Fixed lists of as many items as there are `items`: what `Choose` gives.

    With `lists` it is a list of such lists: every item is then a sequence.
    """

    items: tuple[Value, ...]
    lists: int = 0


@dataclass(frozen=True, slots=True)
class Event:
    """The event: its fields are the branches, whose names begin with `prefix`."""

    loop: Loop
    prefix: str = ""


Value: TypeAlias = Array | Struct | Picks | Event


def is_boolean(kind: Type) -> bool:
    """Whether `kind` is booleans, in whatever lists, missing or not."""
    return leaf_of(kind) == Primitive("bool")


def lists_of(value: Value) -> int:
    """Return how many list dimensions of `value` there are to go over."""
    return 0 if isinstance(value, Event) else value.lists


def leaves(value: Value) -> Iterator[Array]:
    """Yield the arrays that `value` is made of."""
    match value:
        case Array():
            yield value
        case Struct(values=values) | Picks(items=values):
            for item in values:
                yield from leaves(item)
        case Event():
            return


def map_arrays(value: Value, change: Callable[[Array], Array]) -> Value:
    """Return `value` with `change` applied to every array in it."""
    match value:
        case Array():
            return change(value)
        case Struct(values=values):
            return replace(value, values=tuple(map_arrays(item, change) for item in values))
        case Picks(items=items):
            return replace(value, items=tuple(map_arrays(item, change) for item in items))
        case Event():
            return value


def loops_of(value: Value) -> tuple[Loop, ...]:
    """Return the loops that any part of `value` varies over, from the outside in."""
    if isinstance(value, Event):
        return (value.loop,)
    return union_of(leaves(value))


def union_of(arrays: Iterator[Array] | tuple[Array, ...]) -> tuple[Loop, ...]:
    """Return the loops that any of `arrays` varies over, from the outside in."""
    found = {loop for array in arrays for loop in array.loops}
    return tuple(sorted(found, key=lambda loop: loop.level))


def with_lists(value: Value, change: int, loops: Callable[[Array], tuple[Loop, ...]]) -> Value:
    """Return `value` with `change` more list dimensions of its own, and other loops.

    The expressions stay: a dimension is a loop inside a lambda, a list outside.
    """
    match value:
        case Array():
            return replace(value, loops=loops(value))
        case Struct(values=values, lists=lists):
            inner = tuple(with_lists(item, change, loops) for item in values)
            return replace(value, values=inner, lists=lists + change)
        case Picks(items=items, lists=lists):
            inner = tuple(with_lists(item, change, loops) for item in items)
            return replace(value, items=inner, lists=lists + change)
        case Event():
            return value
