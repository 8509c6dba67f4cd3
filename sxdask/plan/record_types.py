"""Result types of functions that make records: zip, cartesian, combinations, broadcast_arrays."""

from __future__ import annotations

from math import comb
from typing import TYPE_CHECKING, Final

from sxdask.core.types import FixedList, ListOf, Option, Primitive, Record, Type, Unknown
from sxdask.plan.broadcast import (
    MismatchError,
    Options,
    at_dimension,
    broadcast,
    item_of,
    listed,
    optional,
    within_event,
)
from sxdask.plan.promotion import settle

if TYPE_CHECKING:
    from collections.abc import Sequence

_INT: Final = Primitive("int64")
_MOST_COMBINED: Final = 100


def broadcast_type(_: str, args: Sequence[Type], __: Options) -> Type:
    """Return the type of the tuple of arrays that ``broadcast_arrays`` gives."""

    def one(position: int) -> Type:
        return settle(broadcast(args, lambda kinds: kinds[position]))

    fields = tuple((str(position), one(position)) for position in range(len(args)))
    return Record(fields, is_tuple=True)


def cartesian_type(name: str, args: Sequence[Type], options: Options) -> Type:
    """Return the type of all tuples of items of several lists."""
    (pack,) = args
    if not isinstance(pack, Record):
        return Unknown()
    for _, kind in pack.fields:
        place = within_event(name, kind, options)
        if place != 1 or isinstance(kind, Option):
            return Unknown()
    items = tuple(
        (field, _INT if name == "argcartesian" else item_of(kind)) for field, kind in pack.fields
    )
    result: Type = ListOf(Record(items, is_tuple=pack.is_tuple))
    for _ in range(len(items) - 1 if options.get("nested") else 0):
        result = ListOf(result)
    return result


def zip_type(_: str, args: Sequence[Type], options: Options) -> Type:
    """Return the type of records of several arrays, within ``depth_limit`` dimensions."""
    (pack,) = args
    limit = options.get("depth_limit")
    if not isinstance(pack, Record) or not isinstance(limit, int):
        return Unknown()
    if limit < 1:
        raise MismatchError("the depth_limit of zip is at least 1", "1 is the event")
    names = tuple(name for name, _ in pack.fields)

    def level(kinds: Sequence[Type], lists: int) -> Type:
        if any(isinstance(kind, Option) for kind in kinds) and lists:
            plain = [kind.item if isinstance(kind, Option) else kind for kind in kinds]
            if any(isinstance(kind, ListOf | FixedList) for kind in plain):
                return optional(level(plain, lists))
        here = [kind for kind in kinds if isinstance(kind, ListOf | FixedList)]
        if not lists or not here:
            return Record(tuple(zip(names, kinds, strict=True)), is_tuple=pack.is_tuple)
        items = [item_of(kind) if kind in here else kind for kind in kinds]
        sizes = {kind.size if isinstance(kind, FixedList) else None for kind in here}
        return listed(level(items, lists - 1), sizes.pop() if len(sizes) == 1 else None)

    if any(isinstance(kind, Unknown) for _, kind in pack.fields):
        return Unknown()
    return level([kind for _, kind in pack.fields], limit - 1)


def combinations_type(name: str, args: Sequence[Type], options: Options) -> Type:
    """Return the type of all tuples of different items of one list."""
    place = within_event(name, args[0], options)
    count, fields = options.get("n"), options.get("fields")
    if not isinstance(count, int) or not 1 <= count <= _MOST_COMBINED:
        raise MismatchError(f"{name} needs n of at least 1 and at most {_MOST_COMBINED}")
    if isinstance(fields, tuple) and len(fields) != count:
        raise MismatchError(f"{name} of {count} needs {count} fields, not {len(fields)}")
    if place is None:
        return Unknown()
    names = fields if isinstance(fields, tuple) else tuple(map(str, range(count)))

    def change(level: Type) -> Type:
        item = _INT if name == "argcombinations" else item_of(level)
        record = Record(tuple((key, item) for key in names), is_tuple=fields is None)
        if not isinstance(level, FixedList):
            return ListOf(record)
        extra = count - 1 if options.get("replacement") else 0
        return FixedList(record, comb(level.size + extra, count))

    return at_dimension(args[0], place, change)
