"""Result types of subscripts and fields: which items pick, which keep, which would drop events."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sxdask.core.types import (
    FixedList,
    ListOf,
    Option,
    Primitive,
    Record,
    Type,
    Unknown,
    list_depth,
)
from sxdask.plan.broadcast import MismatchError, leaf_of, listed, optional
from sxdask.plan.expr import Constant, Expr, Slice
from sxdask.plan.promotion import is_bool, is_integer

if TYPE_CHECKING:
    from collections.abc import Callable

_EVENTS = "the first place of a subscript is the event"


def subscript_type(
    value: Type, items: tuple[Slice | Expr, ...], infer: Callable[[Expr], Type]
) -> Type:
    """Return the type of ``value[items]``.

    Raises
    ------
    MismatchError
        If it would pick or drop events, or goes deeper than the lists.
    """
    first, rest = items[0], items[1:]
    if isinstance(first, Slice):
        if first != Slice():
            raise MismatchError(
                "a slice in the first place would drop events",
                f"{_EVENTS}: write x[:, ...] to slice within it",
            )
        return _inner(value, rest)
    if isinstance(first, Constant):
        raise MismatchError(
            "a number in the first place would pick one event of the file",
            f"{_EVENTS}: write x[:, {first.value}] to pick within it",
        )
    if rest:
        raise MismatchError(
            "a mask or index array and further places cannot go together",
            "use two steps: x[mask][:, 0]",
        )
    return _picked(value, infer(first))


def _picked(value: Type, index: Type) -> Type:
    leaf = leaf_of(index)
    if isinstance(leaf, Unknown) or isinstance(value, Unknown):
        return Unknown()
    if not is_bool(leaf) and not is_integer(leaf):
        raise MismatchError(f"a subscript needs booleans or integers, not {index}")
    if list_depth(index) == 0:
        what = "drop events" if is_bool(leaf) else "pick events of the file"
        raise MismatchError(
            f"a subscript with one value per event would {what}",
            "use it as a condition on events, or mask(x, condition) to keep the rows",
        )
    if list_depth(value) == 0 and not isinstance(leaf_of(value), Record | Unknown):
        raise MismatchError(
            "a value per event cannot take a subscript with a list per event",
            "broadcast it first: broadcast_arrays(value, list)[0]",
        )
    if is_bool(leaf) and _is_regular(value) and _is_regular(index):
        # awkward hands this to NumPy, whose mask of two dimensions flattens the result
        raise MismatchError(
            "a mask of fixed-size lists on fixed-size lists would lose the events",
            "keep the places and hide values: mask(x, condition)",
        )
    return _picked_below(value, index)


def _is_regular(kind: Type) -> bool:
    return isinstance(kind, FixedList) and list_depth(kind) == _fixed_depth(kind)


def _fixed_depth(kind: Type) -> int:
    return 1 + _fixed_depth(kind.item) if isinstance(kind, FixedList) else 0


def _picked_below(value: Type, index: Type) -> Type:
    match value, index:
        case (Option(item), _):
            return optional(_picked_below(item, index))
        case (_, Option(item)) if list_depth(item) > 0:
            return optional(_picked_below(value, item))
        case (ListOf() | FixedList()) as lists, (ListOf(inner) | FixedList(inner, _)):
            if list_depth(inner) > 0:
                return listed(_picked_below(lists.item, inner))
            return listed(optional(lists.item) if isinstance(inner, Option) else lists.item)
        case _:
            return Unknown()


def _inner(value: Type, items: tuple[Slice | Expr, ...]) -> Type:
    if not items or isinstance(value, Unknown):
        return value
    first, rest = items[0], items[1:]
    if isinstance(first, Constant) and first.value is None:
        return listed(_inner(value, rest), 1)
    if isinstance(value, Option):
        return optional(_inner(value.item, items))
    if isinstance(value, Record):
        return Unknown()
    if not isinstance(value, ListOf | FixedList):
        raise MismatchError("more places in the subscript than list dimensions")
    if isinstance(first, Slice):
        size = _sliced_size(first, value.size) if isinstance(value, FixedList) else None
        return listed(_inner(value.item, rest), size)
    if isinstance(first, Constant) and type(first.value) is int:
        if isinstance(value, FixedList) and not -value.size <= first.value < value.size:
            raise MismatchError(f"there is no item {first.value} in lists of {value.size}")
        return _inner(value.item, rest)
    raise MismatchError(
        "within the event a subscript takes numbers and slices", "masks come alone: x[mask]"
    )


def _sliced_size(part: Slice, size: int) -> int:
    return len(range(*slice(part.start, part.stop, part.step).indices(size)))


def field_type(value: Type, name: str) -> Type:
    """Return the type of field `name` of records, lists of records, and so on.

    Raises
    ------
    MismatchError
        If there are no records, or they have no such field.
    """
    match value:
        case Unknown():
            return value
        case ListOf(item):
            return listed(field_type(item, name))
        case FixedList(item, size):
            return listed(field_type(item, name), size)
        case Option(item):
            return optional(field_type(item, name))
        case Record(fields):
            found = dict(fields).get(name)
            if found is None:
                names = ", ".join(repr(key) for key, _ in fields[:8])
                raise MismatchError(f"there is no field {name!r}", f"there is {names}")
            return found
        case Primitive() | _:
            raise MismatchError(f"{value} has no fields, so no {name!r}")
