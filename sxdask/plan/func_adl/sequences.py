"""Sequences within the event: into a lambda and out again, which items, in which order.

What only rearranges acts on every array of a sequence of records with one
shared mask or index, so that fields that nobody asks for cost nothing.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from sxdask.core.types import FixedList, ListOf, Option, Unknown
from sxdask.plan.expr import Call, Constant, Pack, Slice, Subscript
from sxdask.plan.func_adl.guards import item_or_missing
from sxdask.plan.func_adl.tree import Lambda, Operator, Tree
from sxdask.plan.func_adl.tree import Sequence as Items
from sxdask.plan.func_adl.values import (
    Array,
    Event,
    Loop,
    Picks,
    Struct,
    Value,
    is_boolean,
    leaves,
    lists_of,
    loops_of,
    map_arrays,
    with_lists,
)
from sxdask.plan.func_adl.xaod_objects import Objects, shape

if TYPE_CHECKING:
    from sxdask.plan.expr import Expr, Span
    from sxdask.plan.func_adl.evaluate import Evaluator, Scope

_ALL: Final = Slice()


def require(evaluator: Evaluator, value: Value, tree: Tree, name: str) -> Value:
    """Return `value` as a sequence.

    Raises
    ------
    SelectionTypeError
        If it is one value and no list.
    """
    if isinstance(value, Picks) and value.lists == 0:
        return listed(evaluator, value)
    if lists_of(value) >= 1:
        return value
    match value:
        case Event():
            problem, hint = "the event", "such as e.Muon_pt"
        case Struct(names=names):
            problem, hint = "a record", f"zip its lists, or take one: {', '.join(names[:4])}"
            if any(lists_of(item) for item in value.values):
                method = f".{name}(...)" if name.isidentifier() else ""
                hint = f"zip its lists first: .Zip(){method}"
        case _:
            problem, hint = f"one value ({shown(value)})", "a list is such as e.Muon_pt"
    return evaluator.refuse(tree, f"{name} needs a list, and this is {problem}", hint)


def shown(value: Value) -> str:
    """Return the type of `value` for one turn of the loops around."""
    found = next(leaves(value), None)
    kind = found.type if found is not None else Unknown()
    loops = () if found is None else found.loops[1:]
    for _ in loops:
        while isinstance(kind, Option):
            kind = kind.item
        kind = kind.item if isinstance(kind, ListOf | FixedList) else kind
    return str(kind)


def enter(sequence: Value, loop: Loop) -> Value:
    """Return the item that the variable of a lambda over `sequence` stands for."""
    return with_lists(sequence, -1, lambda item: (*item.loops, loop))


def leave(evaluator: Evaluator, body: Value, loop: Loop, sequence: Value) -> Value:
    """Return the sequence of what `body` is for each item of `sequence`.

    What does not depend on the item is repeated.
    """
    algebra = evaluator.algebra
    turns = algebra.turns(sequence, loop)
    done: Value
    if isinstance(body, Array):
        # an array that varies over the loop has all that it needs
        done = body if loop in body.loops else algebra.spread(body, turns)
    else:
        done = algebra.unify(body, turns)
    return with_lists(done, 1, lambda item: tuple(x for x in item.loops if x is not loop))


def body_of(
    evaluator: Evaluator, tree: Operator, sequence: Value, scope: Scope
) -> tuple[Value, Lambda, Loop]:
    """Return the value of the lambda of `tree` for the items of `sequence`, and its loop."""
    function = tree.arguments[0]
    assert isinstance(function, Lambda)  # noqa: S101  the parsers have seen to it
    loop = scope.loop()
    inner = scope.inside(**{function.parameters[0]: enter(sequence, loop)})
    return evaluator.value(function.body, inner), function, loop


def zipped(evaluator: Evaluator, value: Value) -> Value:
    """Return a record as func_adl_uproot makes it: with one field, the records are its items."""
    if type(value) is not Struct or value.lists:
        return value  # objects of an xAOD file are no records
    inner = tuple(zipped(evaluator, item) for item in value.values)
    if len(inner) != 1:
        return replace(value, values=inner)
    (only,) = inner
    if isinstance(only, Picks):
        only = listed(evaluator, only)
    return replace(value, values=(only,), lists=lists_of(only))


def joined(evaluator: Evaluator, nested: Value, span: Span | None) -> Value:
    """Return the lists in the lists of `nested` joined to one."""

    def change(item: Array) -> Array:
        axis = len(item.loops) + 1
        return evaluator.algebra.like(
            item, evaluator.algebra.call("flatten", item, span=span, axis=axis)
        )

    return fewer(map_arrays(nested, change))


def fewer(value: Value) -> Value:
    """Return `value` as having a list dimension less, as its arrays have already."""
    return with_lists(value, -1, lambda item: item.loops)


def keep(
    evaluator: Evaluator, sequence: Value, test: Array, loop: Loop, span: Span | None
) -> Value:
    """Return the items of `sequence` for which `test` holds."""
    algebra = evaluator.algebra
    if _has_missing(test):
        # a condition on the maximum of nothing does not hold
        test = algebra.make(
            lambda x: Call("fill_none", (x, Constant(value=False)), (("axis", -1),), span), test
        )
    test = algebra.spread(test, algebra.turns(sequence, loop))
    return pick(evaluator, sequence, replace(test, loops=test.loops[:-1]), span)


def _has_missing(test: Array) -> bool:
    kind = test.type
    while isinstance(kind, ListOf | FixedList):
        kind = kind.item
    return isinstance(kind, Option)


def pick(evaluator: Evaluator, sequence: Value, index: Array, span: Span | None) -> Value:
    """Return the items of `sequence` that a list of booleans or positions picks."""
    algebra = evaluator.algebra
    if is_boolean(index.type):
        # awkward hands masks of fixed-size lists to NumPy, which loses the events
        sequence = algebra.loosen(sequence)
        index = next(leaves(algebra.loosen(index)))
    missing = set(index.loops) - set(loops_of(sequence))
    if missing:
        sequence = algebra.unify(sequence, algebra.count_turns(index))
    if set(loops_of(sequence)) - set(index.loops):
        turns = algebra.count_turns(next(leaves(sequence)))
        index = algebra.spread(index, turns)

    def change(item: Array) -> Array:
        made = algebra.make(lambda x, i: Subscript(x, (i,), span), item, index, loops=item.loops)
        return algebra.like(item, made)

    return map_arrays(sequence, change)


def element(
    evaluator: Evaluator, value: Value, number: int, place: tuple[Tree, str], scope: Scope
) -> Value:
    """Return item `number` of a list; an event without it is an error of its own.

    `place` is where it is asked for, and by what.
    """
    tree, name = place
    if isinstance(value, Picks) and value.lists == 0:
        if not -len(value.items) <= number < len(value.items):
            evaluator.refuse(tree, f"there is no item {number} of {len(value.items)}")
        return value.items[number]
    algebra = evaluator.algebra

    def change(item: Array) -> Array:
        if scope.guarded:
            return algebra.like(item, item_or_missing(algebra, item, number, tree.span))
        places: tuple[Slice | Expr, ...] = (*(_ALL,) * len(item.loops), Constant(number))
        made = algebra.make(lambda x: Subscript(x, places, tree.span), item)
        return algebra.like(item, made)

    return fewer(map_arrays(require(evaluator, value, tree, name), change))


def reduced(evaluator: Evaluator, sequence: Value, function: str, tree: Tree) -> Array:
    """Return a number for each list: its sum, its minimum, or whether any or all are true."""
    array = evaluator.as_array(sequence, tree, function)
    return evaluator.algebra.call(function, array, span=tree.span, axis=len(array.loops))


def counted(sequence: Value) -> Array:
    """Return an array that has as many items as `sequence`, for counting and choosing."""
    return shape(sequence) if isinstance(sequence, Objects) else next(leaves(sequence))


def count(evaluator: Evaluator, sequence: Value, tree: Tree) -> Array:
    """Return the number of items of each list."""
    first = counted(sequence)
    return evaluator.algebra.call("num", first, span=tree.span, axis=len(first.loops))


def listed(evaluator: Evaluator, value: Picks) -> Value:
    """Return fixed lists of items as lists of any length, one dimension further in."""
    place: Tree = Items((), next(leaves(value)).expr.span)
    axis = len(loops_of(value)) + value.lists
    algebra = evaluator.algebra

    def single(item: Array) -> Array:
        places: tuple[Slice | Expr, ...] = (*(_ALL,) * axis, Constant(None))
        made = algebra.make(lambda x: Subscript(x, places, item.expr.span), item)
        return algebra.like(item, made)

    def more(item: Value) -> Value:
        return with_lists(map_arrays(item, single), 1, lambda array: array.loops)

    both = together(evaluator, tuple(more(item) for item in value.items), axis, place)

    def loose(item: Array) -> Array:
        made = algebra.call("from_regular", item, span=item.expr.span, axis=axis)
        return algebra.like(item, made)

    return map_arrays(both, loose)


def together(evaluator: Evaluator, parts: tuple[Value, ...], axis: int, tree: Tree) -> Value:
    """Return sequences of one kind one after another, item lists at dimension `axis`."""
    algebra = evaluator.algebra
    first = parts[0]
    if isinstance(first, Struct) and all(
        isinstance(item, Struct) and item.names == first.names for item in parts
    ):
        columns = zip(*(item.values for item in parts if isinstance(item, Struct)), strict=True)
        values = tuple(together(evaluator, items, axis, tree) for items in columns)
        return replace(first, values=values)
    arrays = [item for item in parts if isinstance(item, Array)]
    if len(arrays) != len(parts):
        evaluator.refuse(
            tree, "the two sequences are not of one kind", "give both the same fields in one order"
        )
    made = algebra.make(
        lambda *items: Call("concatenate", (Pack(items),), (("axis", axis),), tree.span), *arrays
    )
    if isinstance(made.type, Unknown):
        kinds = " and ".join(str(item.type) for item in arrays)
        evaluator.refuse(tree, f"the two sequences cannot be one: they are {kinds}")
    return algebra.like(arrays[0], made)
