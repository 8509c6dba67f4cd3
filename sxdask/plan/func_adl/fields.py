"""What stands behind a dot or between square brackets: branches, fields, items, masks."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from sxdask.core.errors import close_names
from sxdask.core.types import Primitive, Record
from sxdask.plan.broadcast import leaf_of
from sxdask.plan.expr import Column, Constant, Slice, Subscript
from sxdask.plan.func_adl import sequences, vectors, xaod
from sxdask.plan.func_adl.guards import position_or_missing
from sxdask.plan.func_adl.tree import OPERATORS, Attribute, Item, Name, Range, Tree
from sxdask.plan.func_adl.tree import Value as Literal
from sxdask.plan.func_adl.values import (
    Array,
    Event,
    Picks,
    Struct,
    Value,
    leaves,
    lists_of,
    loops_of,
    map_arrays,
    with_lists,
)
from sxdask.plan.func_adl.xaod_objects import Objects
from sxdask.plan.functions import CONSTANTS, MODULES
from sxdask.plan.promotion import is_integer

if TYPE_CHECKING:
    from sxdask.core.types import Type
    from sxdask.plan.expr import Expr, Span
    from sxdask.plan.func_adl.evaluate import Evaluator, Scope

_NUMBER_MODULES: Final = MODULES | {"math"}


def attribute(evaluator: Evaluator, tree: Attribute, scope: Scope) -> Value:
    """Return the branch, field or property of that name; ``np.pi`` is a number."""
    base = tree.value
    if isinstance(base, Name) and base.id in _NUMBER_MODULES and base.id not in scope.variables:
        if tree.name in CONSTANTS:
            return evaluator.algebra.constant(CONSTANTS[tree.name], tree.span)
        evaluator.refuse(
            tree,
            f"{base.id}.{tree.name} is no number",
            close_names(tree.name, CONSTANTS) or f"call it: {base.id}.{tree.name}(...)",
        )
    value = evaluator.value(base, scope)
    return named(evaluator, value, tree.name, tree.span, as_item=False)


def named(
    evaluator: Evaluator, value: Value, name: str, span: Span | None, *, as_item: bool
) -> Value:
    """Return the part `name` of `value`."""
    match value:
        case Event():
            return branch(evaluator, value, name, span, as_item=as_item)
        case Objects():
            return xaod.refuse_attribute(evaluator, value, name, span)
        case Struct():
            found = value.field(name)
            if found is None:
                names = ", ".join(map(repr, value.names))
                hint = close_names(name, value.names) or f"there is {names}"
                evaluator.refuse_at(span, f"the record has no field {name!r}", hint)
            return found
        case Picks():
            items = (named(evaluator, item, name, span, as_item=as_item) for item in value.items)
            return replace(value, items=tuple(items))
        case Array():
            if value.is_momentum:
                return vectors.named(evaluator, value, name, span)
            if _record_of(value.type) is not None:
                return evaluator.algebra.field(value, name, span)
            group = None if as_item else _group(evaluator, value)
            if group is None:
                advice = f"call it: .{name}()" if name in OPERATORS else _HINTS.get(name)
                kind = sequences.shown(value)
                evaluator.refuse_at(span, f"{kind} has no {name!r}: it is no record", advice)
            return branch(evaluator, group, name, span, as_item=False)


def _group(evaluator: Evaluator, value: Array) -> Event | None:
    """Return the branches ``Jet.PT`` and so on, where `value` is a branch ``Jet`` beside them."""
    if not isinstance(value.expr, Column) or len(value.loops) != 1:
        return None
    prefix = f"{value.expr.name}."
    if not any(name.startswith(prefix) for name in evaluator.algebra.schema):
        return None
    return Event(value.loops[0], prefix)


def _record_of(kind: Type) -> Record | None:
    leaf = leaf_of(kind)
    return leaf if isinstance(leaf, Record) else None


def branch(
    evaluator: Evaluator, event: Event, name: str, span: Span | None, *, as_item: bool = True
) -> Value:
    """Return the branch `name` of the event.

    ``e.Jet.PT`` finds a branch ``Jet.PT``, also beside a counter ``Jet``.

    Raises
    ------
    UnknownBranchError, UnreadableBranchError
        With the place, and the closest names.
    """
    schema, source = evaluator.algebra.schema, evaluator.algebra.source
    full = event.prefix + name
    place = 0 if span is None else span[0]
    if full in schema:
        found = schema[full]
        if found.reason is not None:
            raise source.unreadable(full, place, found.reason)
        return Array(Column(found.name, span), found.type, (event.loop,))
    if not as_item and any(other.startswith(f"{full}.") for other in schema):
        return Event(event.loop, f"{full}.")
    raise source.unknown_name(full, place, schema)


def all_branches(evaluator: Evaluator, event: Event) -> Struct:
    """Return the event as a record of all readable branches."""
    found = [
        item
        for item in evaluator.algebra.schema.fields
        if item.reason is None and item.name.startswith(event.prefix)
    ]
    names = tuple(item.name[len(event.prefix) :] for item in found)
    values = tuple(Array(Column(item.name), item.type, (event.loop,)) for item in found)
    return Struct(names, values)


def item(evaluator: Evaluator, tree: Item, scope: Scope) -> Value:
    """Return ``value[index]``: a field by name or position, an item, a slice or a mask."""
    value = evaluator.value(tree.value, scope)
    index = tree.index
    if isinstance(index, Range):
        return _sliced(evaluator, value, index, tree)
    place = evaluator.value(index, scope)
    match place:
        case Array(expr=Constant(value=str() as name)):
            span = tree.span if index.span is None else index.span
            return named(evaluator, value, name, span, as_item=True)
        case Array(expr=Constant(value=int() as number)) if not isinstance(number, bool):
            return at_position(evaluator, value, number, tree, scope)
        case Array():
            return _picked(evaluator, value, place, tree, scope)
        case _:
            return evaluator.refuse(
                index, "an index is a number, a name, a mask or a list of numbers"
            )


def at_position(evaluator: Evaluator, value: Value, number: int, tree: Item, scope: Scope) -> Value:
    """Return a record's field by its position, as in func_adl_uproot, or a list's item."""
    record = _record_of(value.type) if isinstance(value, Array) else None
    match value:
        case Objects():
            return sequences.element(evaluator, value, number, (tree, "an index"), scope)
        case Struct(names=names):
            _require_position(evaluator, number, len(names), tree)
            return value.values[number]
        case Array() if record is not None:
            _require_position(evaluator, number, len(record.fields), tree)
            return named(evaluator, value, record.fields[number][0], tree.span, as_item=True)
        case Picks(items=items) if all(_has_fields(item) for item in items):
            picked = tuple(at_position(evaluator, item, number, tree, scope) for item in items)
            return replace(value, items=picked)
        case _:
            return sequences.element(evaluator, value, number, (tree, "an index"), scope)


def _has_fields(value: Value) -> bool:
    if isinstance(value, Array):
        return _record_of(value.type) is not None
    return type(value) is Struct


def _require_position(evaluator: Evaluator, number: int, count: int, tree: Item) -> None:
    if not -count <= number < count:
        evaluator.refuse(tree, f"there is no field {number}: the record has {count}")


def _sliced(evaluator: Evaluator, value: Value, index: Range, tree: Item) -> Value:
    bounds = [_bound(evaluator, part) for part in (index.start, index.stop, index.step)]
    if bounds[2] == 0:
        evaluator.refuse(index, "the step of a slice cannot be 0")
    if type(value) is Struct:
        part = slice(*bounds)
        return replace(value, names=value.names[part], values=value.values[part])
    if isinstance(value, Picks) and value.lists == 0:
        return Picks(value.items[slice(*bounds)])
    sequence = sequences.require(evaluator, value, tree.value, "a slice")
    kept = Slice(*bounds)

    def change(array: Array) -> Array:
        places: tuple[Slice | Expr, ...] = (*(Slice(),) * len(array.loops), kept)
        made = evaluator.algebra.make(lambda x: Subscript(x, places, tree.span), array)
        return evaluator.algebra.like(array, made)

    return map_arrays(sequence, change)


def _bound(evaluator: Evaluator, part: Tree | None) -> int | None:
    if part is None:
        return None
    if isinstance(part, Literal) and type(part.value) is int:
        return part.value
    return evaluator.refuse(part, "the bounds of a slice are whole numbers")


def _picked(evaluator: Evaluator, value: Value, index: Array, tree: Item, scope: Scope) -> Value:
    if _is_position(value, index):
        if scope.guarded:
            first = next(leaves(value))
            index = position_or_missing(evaluator.algebra, index, first, tree.span)
        # one item for each turn of a loop: all of them at once are a list of positions
        around = index.loops[:-1]
        found = sequences.pick(evaluator, value, replace(index, loops=around), tree.span)
        return with_lists(found, -1, lambda array: (*array.loops, index.loops[-1]))
    if lists_of(value) < 1 or index.lists != 1:
        evaluator.refuse(
            tree,
            "an index that is computed picks from a list with a list",
            "such as e.pt[e.pt > 20]; for one item use Where(...).First()",
        )
    if not isinstance(leaf_of(index.type), Primitive):
        evaluator.refuse(tree.index, f"an index cannot be {index.type}")
    return sequences.pick(evaluator, value, index, tree.span)


def _is_position(value: Value, index: Array) -> bool:
    """Say whether `index` is a number for each turn of a loop inside of those of a list `value`."""
    if type(value) not in {Array, Struct} or lists_of(value) < 1 or index.lists != 0:
        return False
    last = index.loops[-1] if len(index.loops) > 1 else None
    outside = last is not None and all(loop.level < last.level for loop in loops_of(value))
    return outside and is_integer(leaf_of(index.type))


_HINTS: Final = {
    "Length": "use .Count()",
    "size": "use .Count()",
    "shape": "use .Count()",
}
