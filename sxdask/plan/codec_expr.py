"""Expressions <-> a table of plain JSON values, each different one once.

A row begins with its kind and names its operands by their place in the table,
which is before it: what is shared in memory is written once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeAlias

from sxdask.plan.expr import (
    Binary,
    Call,
    Column,
    Compare,
    Constant,
    Expr,
    GetField,
    Pack,
    Slice,
    Subscript,
    Unary,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Json: TypeAlias = Any
"""Lists, mappings, text, numbers, booleans and None."""


class ExpressionTable:
    """Expressions in the order in which they are first needed, operands before users."""

    def __init__(self) -> None:
        self.rows: list[Json] = []
        self._places: dict[Expr, int] = {}

    def place(self, expr: Expr) -> int:
        """Return the place of `expr` in the table, put there if it is new."""
        found = self._places.get(expr)
        if found is None:
            row = self._row(expr)
            found = self._places[expr] = len(self.rows)
            self.rows.append(row)
        return found

    def _row(self, expr: Expr) -> Json:
        match expr:
            case Column(name):
                return ["column", name]
            case Constant(value):
                return ["constant", _encode_scalar(value)]
            case Unary(op, operand):
                return ["unary", op, self.place(operand)]
            case Binary(op, left, right):
                return ["binary", op, self.place(left), self.place(right)]
            case Compare(op, left, right):
                return ["compare", op, self.place(left), self.place(right)]
            case Call(function, args, options):
                pairs = [[name, _encode_scalar(value)] for name, value in options]
                return ["call", function, [self.place(item) for item in args], pairs]
            case Subscript(value, items):
                return ["subscript", self.place(value), [self._item(item) for item in items]]
            case GetField(value, name):
                return ["field", self.place(value), name]
            case Pack(items, names):
                keys = None if names is None else list(names)
                return ["pack", [self.place(item) for item in items], keys]

    def _item(self, item: Slice | Expr) -> Json:
        if isinstance(item, Slice):
            return ["slice", item.start, item.stop, item.step]
        return self.place(item)


def _encode_scalar(value: object) -> Json:
    if isinstance(value, float):
        return {"float": repr(value)}
    if isinstance(value, tuple):
        return {"tuple": [_encode_scalar(item) for item in value]}
    return value


def _decode_scalar(value: Json) -> Any:
    match value:
        case {"float": str(text)}:
            return float(text)
        case {"tuple": list(items)}:
            return tuple(_decode_scalar(item) for item in items)
        case bool() | int() | str() | None:
            return value
        case _:
            raise ValueError(f"not a constant: {value!r}")


def decode_table(rows: Sequence[Json]) -> list[Expr]:
    """Return the expressions of a table.

    Raises
    ------
    KeyError, TypeError, ValueError, IndexError
        If a row is not an expression over earlier ones.
    """
    found: list[Expr] = []

    def at(place: Json) -> Expr:
        if type(place) is not int or not 0 <= place < len(found):
            raise ValueError(f"row {len(found)} names row {place!r}")
        return found[place]

    for kind, *parts in rows:
        found.append(_DECODERS[kind](at, *parts))
    return found


At: TypeAlias = "Callable[[Json], Expr]"


def _decode_call(at: At, function: str, args: Json, options: Json) -> Expr:
    pairs = tuple((text(name), _decode_scalar(item)) for name, item in options)
    return Call(text(function), tuple(map(at, args)), pairs)


def _decode_subscript(at: At, value: Json, items: Json) -> Expr:
    decoded = tuple(Slice(*item[1:]) if isinstance(item, list) else at(item) for item in items)
    return Subscript(at(value), decoded)


def _decode_pack(at: At, items: Json, keys: Json) -> Expr:
    names = None if keys is None else tuple(map(text, keys))
    return Pack(tuple(map(at, items)), names)


def text(value: Json) -> str:
    """Return `value`, which must be text."""
    if not isinstance(value, str):
        raise TypeError(f"not text: {value!r}")
    return value


_DECODERS: Final[dict[str, Callable[..., Expr]]] = {
    "column": lambda _, name: Column(text(name)),
    "constant": lambda _, value: Constant(_decode_scalar(value)),
    "unary": lambda at, op, operand: Unary(op, at(operand)),
    "binary": lambda at, op, left, right: Binary(op, at(left), at(right)),
    "compare": lambda at, op, left, right: Compare(op, at(left), at(right)),
    "call": _decode_call,
    "subscript": _decode_subscript,
    "field": lambda at, value, name: GetField(at(value), text(name)),
    "pack": _decode_pack,
}
