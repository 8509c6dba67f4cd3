"""A slow, obvious interpreter of func_adl: one event after the other, one item after the other.

It knows neither awkward nor sxdask: it walks the syntax tree that Python and
qastle give, over rows of plain values, and so judges both engines. Its only
peculiarity is what func_adl_uproot documents by doing it everywhere: a record
of one field is zipped down to the numbers (``Select(lambda e: {"a": e.pt})``
is a list of records), other records keep their lists.
"""

from __future__ import annotations

import ast
import itertools
import operator
from typing import TYPE_CHECKING, Any

import numpy as np

from tests.differential.func_adl.values import (
    Sequence,
    WrongQueryError,
    broadcast,
    plain,
    strong,
    truth,
    type_of,
    zip_items,
)

if TYPE_CHECKING:
    from collections.abc import Callable

Scope = dict[str, Any]

_UNARY: dict[type, Callable[[Any], Any]] = {
    ast.UAdd: operator.pos,
    ast.USub: operator.neg,
    ast.Invert: np.invert,
    ast.Not: np.logical_not,
}
_BINARY: dict[type, Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
    ast.LShift: operator.lshift,
    ast.RShift: operator.rshift,
    ast.BitOr: operator.or_,
    ast.BitXor: operator.xor,
    ast.BitAnd: operator.and_,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}


def parse_query(text: str) -> Any:
    """Return the syntax tree of a query in Python or, if it begins with ``(``, in qastle."""
    import qastle

    tree = qastle.text_ast_to_python_ast(text) if text.startswith("(") else ast.parse(text)
    return qastle.insert_linq_nodes(tree).body[0].value


def interpret(text: str, events: Sequence) -> Any:
    """Return what the query `text` means over `events`, a sequence of records."""
    with np.errstate(all="ignore"):
        result = Interpreter(events).value(parse_query(text), {})
        if isinstance(result, Sequence):
            _ = result.example  # made now, while NumPy is quiet
        return result


def judge(text: str, events: Sequence) -> tuple[str, Any]:
    """Return the type of a row of the result, without options, and its rows as Python values."""
    result = interpret(text, events)
    return type_of(result.example if isinstance(result, Sequence) else result), plain(result)


class Interpreter:
    """Evaluate syntax trees over `events`; a method for each kind of node."""

    def __init__(self, events: Sequence) -> None:
        self.events = events
        self._only_type = 0

    def value(self, node: Any, scope: Scope) -> Any:
        """Return the value of `node` where the names in `scope` are known."""
        return getattr(self, f"_{type(node).__name__.lower()}")(node, scope)

    def _function(self, node: ast.Lambda, scope: Scope) -> Callable[[Any], Any]:
        (parameter,) = node.args.args
        return lambda item: self.value(node.body, {**scope, parameter.arg: item})

    def _source(self, node: Any, scope: Scope) -> Sequence:
        source = self.value(node.source, scope)
        if not isinstance(source, Sequence):
            raise WrongQueryError(f"{type(node).__name__} needs a list")
        return source

    # Python

    def _constant(self, node: Any, scope: Scope) -> Any:  # noqa: ARG002 (as all of them)
        return node.value

    def _name(self, node: Any, scope: Scope) -> Any:
        return scope[node.id]

    def _tuple(self, node: Any, scope: Scope) -> Any:
        return tuple(self.value(item, scope) for item in node.elts)

    _list = _tuple

    def _dict(self, node: Any, scope: Scope) -> Any:
        return {
            key.value: self.value(item, scope)
            for key, item in zip(node.keys, node.values, strict=True)
        }

    def _attribute(self, node: Any, scope: Scope) -> Any:
        if isinstance(node.value, ast.Name) and node.value.id == "np":
            return getattr(np, node.attr)
        return field(self.value(node.value, scope), node.attr)

    def _subscript(self, node: Any, scope: Scope) -> Any:
        value, index = self.value(node.value, scope), self.value(node.slice, scope)
        if isinstance(index, Sequence):
            return value.like(
                item for item, keep in zip(value.items, index.items, strict=True) if truth(keep)
            )
        return field(value, index)

    def _unaryop(self, node: Any, scope: Scope) -> Any:
        return broadcast(_UNARY[type(node.op)], self.value(node.operand, scope))

    def _binop(self, node: Any, scope: Scope) -> Any:
        left, right = self.value(node.left, scope), self.value(node.right, scope)
        return broadcast(_BINARY[type(node.op)], left, right)

    def _boolop(self, node: Any, scope: Scope) -> Any:
        joined = np.logical_and if isinstance(node.op, ast.And) else np.logical_or
        result = self.value(node.values[0], scope)
        for item in node.values[1:]:
            result = broadcast(joined, result, self.value(item, scope))
        return result

    def _compare(self, node: Any, scope: Scope) -> Any:
        values = [self.value(item, scope) for item in (node.left, *node.comparators)]
        parts = [
            self._pair(op, left, right)
            for op, (left, right) in zip(node.ops, itertools.pairwise(values), strict=True)
        ]
        result = parts[0]
        for part in parts[1:]:
            result = broadcast(np.logical_and, result, part)
        return result

    def _pair(self, op: Any, left: Any, right: Any) -> Any:
        if isinstance(op, ast.In):
            return contains(right, left)
        if isinstance(op, ast.NotIn):
            return broadcast(np.logical_not, contains(right, left))
        return broadcast(lambda a, b: np.bool_(_BINARY[type(op)](a, b)), left, right)

    def _ifexp(self, node: Any, scope: Scope) -> Any:
        test = self.value(node.test, scope)
        if test is None:
            return None
        if isinstance(test, Sequence):
            body, orelse = self.value(node.body, scope), self.value(node.orelse, scope)
            return broadcast(choose, test, body, orelse)
        return choose(test, *self._branches(node, scope, test))

    def _branches(self, node: Any, scope: Scope, test: Any) -> tuple[Any, Any]:
        """Return both branches; of the one not taken only the type matters, and it may fail."""
        taken, other = (node.body, node.orelse) if truth(test) else (node.orelse, node.body)
        value = self.value(taken, scope)
        unused = self._for_type(lambda node: self.value(node, scope), other)
        return (value, unused) if truth(test) else (unused, value)

    def _for_type(self, function: Callable[[Any], Any], item: Any) -> Any:
        """Call `function` where only the type of its result matters: nothing is missing there."""
        self._only_type += 1
        try:
            return function(item)
        finally:
            self._only_type -= 1

    def _call(self, node: Any, scope: Scope) -> Any:
        name = node.func.attr if isinstance(node.func, ast.Attribute) else node.func.id
        if name == "EventDataset":
            return self.events
        if name.startswith("Result"):
            return rename(*(self.value(item, scope) for item in node.args[:2]))
        arguments = [self.value(item, scope) for item in node.args]
        if name == "abs":
            return broadcast(abs, *arguments)
        if isinstance(node.func.value, ast.Name) and node.func.value.id == "np":
            if name == "sum":
                return total(*arguments)
            return broadcast(getattr(np, name), *arguments)
        owner = self.value(node.func.value, scope)
        if name.startswith("ToFourMoment"):
            owner = zip_items(owner, None) if isinstance(owner, dict) else owner
            return broadcast(momentum, owner)
        return broadcast(lambda item, *rest: getattr(item, name)(*rest), owner, *arguments)

    # query operators

    def _select(self, node: Any, scope: Scope) -> Any:
        function = self._function(node.selector, scope)

        def record(item: Any) -> Any:
            return as_records(function(item))

        return self._source(node, scope).map(record, lambda item: self._for_type(record, item))

    def _selectmany(self, node: Any, scope: Scope) -> Any:
        return flatten(self._select(node, scope))

    def _where(self, node: Any, scope: Scope) -> Any:
        function = self._function(node.predicate, scope)
        source = self._source(node, scope)
        return source.like(item for item in source.items if truth(function(item)))

    def _any(self, node: Any, scope: Scope) -> Any:
        results = self._source(node, scope).map(self._function(node.predicate, scope))
        return np.bool_(any(present(results)))

    def _all(self, node: Any, scope: Scope) -> Any:
        results = self._source(node, scope).map(self._function(node.predicate, scope))
        return np.bool_(all(present(results)))

    def _count(self, node: Any, scope: Scope) -> Any:
        return np.int64(len(self._source(node, scope)))

    def _sum(self, node: Any, scope: Scope) -> Any:
        return total(self._source(node, scope))

    def _max(self, node: Any, scope: Scope) -> Any:
        return self._extreme(max, self._source(node, scope))

    def _min(self, node: Any, scope: Scope) -> Any:
        return self._extreme(min, self._source(node, scope))

    def _extreme(self, function: Any, source: Sequence) -> Any:
        return function(
            present(source), default=strong(source.example) if self._only_type else None
        )

    def _first(self, node: Any, scope: Scope) -> Any:
        return self._at(self._source(node, scope), 0)

    def _last(self, node: Any, scope: Scope) -> Any:
        return self._at(self._source(node, scope), -1)

    def _elementat(self, node: Any, scope: Scope) -> Any:
        return self._at(self._source(node, scope), self.value(node.index, scope))

    def _at(self, source: Sequence, place: int) -> Any:
        there = -len(source) <= place < len(source)
        return source.at(place) if there or not self._only_type else source.example

    def _orderby(self, node: Any, scope: Scope, *, reverse: bool = False) -> Any:
        source = self._source(node, scope)
        key = self._function(node.key_selector, scope)
        keyed = [(key(item), item) for item in source.items]
        there = [pair for pair in keyed if pair[0] is not None]
        missing = [item for place, item in keyed if place is None]
        ordered = sorted(there, key=lambda pair: pair[0], reverse=reverse)
        return source.like([*(item for _, item in ordered), *missing])

    def _orderbydescending(self, node: Any, scope: Scope) -> Any:
        return self._orderby(node, scope, reverse=True)

    def _choose(self, node: Any, scope: Scope) -> Any:
        source, size = self._source(node, scope), self.value(node.n, scope)
        if source.is_example:
            return Sequence.of_example(source)
        return Sequence(
            map(source.like, itertools.combinations(source.items, size)),
            lambda: Sequence.of_example(source.example),
        )

    def _concat(self, node: Any, scope: Scope) -> Any:
        first, second = self.value(node.first, scope), self.value(node.second, scope)
        if first.is_example:
            return Sequence.of_example(common(first.example, second.example))
        return Sequence(
            [
                *(common(item, second.example) for item in first.items),
                *(common(item, first.example) for item in second.items),
            ],
            lambda: common(first.example, second.example),
        )

    def _zip(self, node: Any, scope: Scope) -> Any:
        return zip_items(self.value(node.source, scope), 1)

    def _contains(self, node: Any, scope: Scope) -> Any:
        return contains(self.value(node.source, scope), self.value(node.value, scope))


def field(value: Any, name: str | int) -> Any:
    """Return a field by name, or by its place; of every item of a sequence."""
    if isinstance(value, Sequence):
        return value.map(lambda item: field(item, name))
    if isinstance(value, dict):
        return value[name] if isinstance(name, str) else list(value.values())[name]
    return value[int(name)] if isinstance(value, tuple) else getattr(value, str(name))


def as_records(selected: Any) -> Any:
    """Return what a Select makes of its lambda's result: records of one field are zipped."""
    if isinstance(selected, dict):
        selected = {
            key: zip_items(item, None) if isinstance(item, dict) and len(item) == 1 else item
            for key, item in selected.items()
        }
    if isinstance(selected, dict | tuple) and len(selected) == 1:
        return zip_items(selected, None)
    return selected


def flatten(source: Sequence) -> Sequence:
    """Return the items of the items."""
    if not isinstance(source.example, Sequence):
        raise WrongQueryError("SelectMany needs a list")
    if source.is_example:
        return source.example
    return Sequence(
        (item for inner in source.items for item in inner.items), lambda: source.example.example
    )


def contains(source: Any, value: Any) -> Any:
    """Return whether `value`, or each item of it, is among the items of `source`."""
    if isinstance(value, Sequence):
        return value.map(lambda item: contains(source, item))
    items = source.items if isinstance(source, Sequence) else source
    if any(isinstance(item, Sequence) for item in items):
        raise WrongQueryError("a number cannot be among lists")
    return None if value is None else np.bool_(any(item == value for item in items))


def rename(result: Sequence, names: tuple[str, ...]) -> Sequence:
    """Return rows whose columns are called `names`."""

    def row(item: Any) -> dict[str, Any]:
        parts = item.values() if isinstance(item, dict) else item
        return dict(zip(names, parts if isinstance(item, dict | tuple) else (item,), strict=True))

    return result.map(row)


def total(source: Sequence) -> Any:
    """Return the sum; whole numbers are added in 64 bits."""
    kind = np.asarray(source.example).dtype
    wide = {"b": np.dtype("int64"), "i": np.dtype("int64"), "u": np.dtype("uint64")}
    return wide.get(kind.kind, kind).type(sum(item.item() for item in present(source)))


def present(source: Sequence) -> list[Any]:
    """Return the items of a list of numbers but those that are missing, as Max of nothing is."""
    if any(isinstance(item, Sequence | dict | tuple) for item in source.items):
        raise WrongQueryError("only numbers can be added or compared")
    return [strong(item) for item in source.items if item is not None]


def choose(test: Any, body: Any, orelse: Any) -> Any:
    """Return `body` or `orelse`, in the type that both have in common."""
    return common(body, orelse) if truth(test) else common(orelse, body)


def common(value: Any, other: Any) -> Any:
    """Return `value` in the type that it has in common with `other`."""
    value, other = strong(value), strong(other)
    if isinstance(value, Sequence):
        example = other.example if isinstance(other, Sequence) else other
        return value.map(lambda item: common(item, example))
    if isinstance(value, dict):
        return {key: common(item, other[key]) for key, item in value.items()}
    if isinstance(value, np.generic) and isinstance(other, np.generic):
        return np.result_type(value, other).type(value)
    return value


def momentum(record: dict[str, Any]) -> Any:
    """Return a Lorentz vector of Python numbers."""
    import vector

    return vector.obj(**{key: float(item) for key, item in record.items()})
