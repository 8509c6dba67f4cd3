"""The query operators over a sequence within the event: Select, Where, Sum, First, Choose, ...

Operators that only rearrange (`Where`, `OrderBy`, `First`) act on every array
of a sequence of records with one shared mask or index, so that fields that
nobody asks for cost nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Final, TypeAlias

from sxdask.core.errors import SxdaskError
from sxdask.core.types import FixedList, ListOf, Option, Primitive, Record, Unknown
from sxdask.plan.expr import Call, Constant, GetField, Pack, Slice, Subscript
from sxdask.plan.func_adl import aggregate, arithmetic, vectors
from sxdask.plan.func_adl.tree import Lambda, Operator, Range, Tree
from sxdask.plan.func_adl.tree import Sequence as Items
from sxdask.plan.func_adl.values import (
    Array,
    Event,
    Loop,
    Picks,
    Struct,
    Value,
    leaves,
    lists_of,
    loops_of,
    map_arrays,
    with_lists,
)

if TYPE_CHECKING:
    from sxdask.plan.expr import Expr, Span
    from sxdask.plan.func_adl.evaluate import Evaluator, Scope

Rule: TypeAlias = "Callable[[Evaluator, Operator, Value, Scope], Value]"

_ALL: Final = Slice()


def apply(evaluator: Evaluator, tree: Operator, scope: Scope) -> Value:
    """Return the value of a query operator over a sequence within the event."""
    if tree.name == "Contains":
        return contains(evaluator, tree.source, tree.arguments[0], scope, tree.span)
    source = evaluator.value(tree.source, scope)
    if tree.name == "Zip":
        return _zip(evaluator, tree, source, scope)
    sequence = require(evaluator, source, tree, tree.name)
    return RULES[tree.name](evaluator, tree, sequence, scope)


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
                hint = f"zip its lists first: .Zip().{name}(...)"
        case _:
            problem, hint = f"one value ({_shown(value)})", None
    evaluator.refuse(tree, f"{name} needs a list, and this is {problem}", hint)


def _shown(value: Value) -> str:
    found = next(leaves(value), None)
    kind = found.type if found is not None else Unknown()
    loops = () if found is None else found.loops[1:]
    for _ in loops:
        while isinstance(kind, Option):
            kind = kind.item
        kind = kind.item if isinstance(kind, ListOf | FixedList) else kind
    return str(kind)


# -- into a lambda and out again -----------------------------------------------------------


def enter(sequence: Value, loop: Loop) -> Value:
    """Return the item that the variable of a lambda over `sequence` stands for."""
    return with_lists(sequence, -1, lambda item: (*item.loops, loop))


def leave(evaluator: Evaluator, body: Value, loop: Loop, sequence: Value) -> Value:
    """Return the sequence of what `body` is for each item of `sequence`.

    What does not depend on the item is repeated.
    """
    turns = evaluator.algebra.turns(sequence, loop)
    if isinstance(body, Array):
        done: Value = evaluator.algebra.spread(body, _only(turns, loop, body))
    else:
        done = evaluator.algebra.unify(body, turns)
    return with_lists(done, 1, lambda item: tuple(x for x in item.loops if x is not loop))


def _only(turns: Array, loop: Loop, body: Array) -> Array:
    # an array that varies over the loop already has all it needs
    return body if loop in body.loops else turns


def body_of(
    evaluator: Evaluator, function: Tree, sequence: Value, scope: Scope
) -> tuple[Value, Loop]:
    """Return the value of a lambda for the items of `sequence`, and the loop over them."""
    assert isinstance(function, Lambda)  # noqa: S101  the parsers have seen to it
    loop = scope.loop()
    inner = scope.inside(**{function.parameters[0]: enter(sequence, loop)})
    return evaluator.value(function.body, inner), loop


def zipped(value: Value) -> Value:
    """Return a record as func_adl_uproot makes it: with one field, the records are its items."""
    if not isinstance(value, Struct) or value.lists:
        return value
    inner = tuple(zipped(item) for item in value.values)
    lists = lists_of(inner[0]) if len(inner) == 1 else 0
    return replace(value, values=inner, lists=lists)


def _select(evaluator: Evaluator, tree: Operator, sequence: Value, scope: Scope) -> Value:
    body, loop = body_of(evaluator, tree.arguments[0], sequence, scope)
    if isinstance(body, Event):
        evaluator.refuse(
            tree.arguments[0], "the lambda gives the whole event for each item", "name a branch"
        )
    return leave(evaluator, zipped(body), loop, sequence)


def _select_many(evaluator: Evaluator, tree: Operator, sequence: Value, scope: Scope) -> Value:
    body, loop = body_of(evaluator, tree.arguments[0], sequence, scope)
    many = zipped(body)
    require(evaluator, many, tree.arguments[0], "the lambda of SelectMany")
    if isinstance(many, Picks) and many.lists == 0:
        many = listed(evaluator, many)
    return joined(evaluator, leave(evaluator, many, loop, sequence), tree.span)


def joined(evaluator: Evaluator, nested: Value, span: Span | None) -> Value:
    """Return the lists in the lists of `nested` joined to one."""

    def change(item: Array) -> Array:
        axis = len(item.loops) + 1
        return evaluator.algebra.like(
            item, evaluator.algebra.call("flatten", item, span=span, axis=axis)
        )

    return _fewer(map_arrays(nested, change))


def _fewer(value: Value) -> Value:
    """Return records with a list dimension less, where their arrays have lost it already."""
    return with_lists(value, -1, lambda item: item.loops)


def _zip(evaluator: Evaluator, tree: Operator, value: Value, scope: Scope) -> Value:
    if isinstance(value, Struct) and value.lists == 0:
        lists = [item for item in value.values if lists_of(item)]
        if lists:
            loop = scope.loop()
            values = tuple(enter(item, loop) if lists_of(item) else item for item in value.values)
            return leave(evaluator, replace(value, values=values), loop, lists[0])
    if isinstance(value, Struct) and value.lists:
        return value
    evaluator.refuse(
        tree,
        "Zip needs a record of lists",
        'such as Zip({"pt": e.Muon_pt, "eta": e.Muon_eta})',
    )


# -- which items, in which order -----------------------------------------------------------


def _where(evaluator: Evaluator, tree: Operator, sequence: Value, scope: Scope) -> Value:
    body, loop = body_of(evaluator, tree.arguments[0], sequence, scope)
    function = tree.arguments[0]
    assert isinstance(function, Lambda)  # noqa: S101  the parsers have seen to it
    test = evaluator.as_array(body, function.body, "a condition")
    if test.lists > 0 or not arithmetic.is_boolean(test.type):
        _refuse_condition(evaluator, test, function)
    return keep(evaluator, sequence, test, loop, tree.span)


def _refuse_condition(evaluator: Evaluator, test: Array, function: Lambda) -> None:
    if test.lists > 0:
        evaluator.refuse(
            function.body,
            "the condition has a list for each item, and one boolean is needed",
            "use .Any(lambda x: ...) or .Count() > 0; to filter lists side by side, Zip them",
        )
    if not isinstance(test.type, Unknown):
        evaluator.refuse(
            function.body, f"the condition is {_shown(test)} and not boolean", "compare it: ... > 0"
        )


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
    sequence = algebra.loosen(sequence)
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


def _order(evaluator: Evaluator, tree: Operator, sequence: Value, scope: Scope) -> Value:
    body, loop = body_of(evaluator, tree.arguments[0], sequence, scope)
    function = tree.arguments[0]
    assert isinstance(function, Lambda)  # noqa: S101  the parsers have seen to it
    key = evaluator.as_array(body, function.body, "an order")
    if key.lists > 0:
        evaluator.refuse(function.body, f"{tree.name} needs one number for each item")
    algebra = evaluator.algebra
    key = algebra.spread(key, algebra.turns(sequence, loop))
    key = replace(key, loops=key.loops[:-1])
    options = (("ascending", False),) if tree.name == "OrderByDescending" else ()
    pairs = (*options, ("axis", len(key.loops)))
    index = algebra.make(lambda x: Call("argsort", (x,), tuple(sorted(pairs)), tree.span), key)
    return pick(evaluator, sequence, index, tree.span)


# -- one item, or one number ---------------------------------------------------------------


def element(evaluator: Evaluator, value: Value, number: int, tree: Tree, name: str) -> Value:
    """Return item `number` of a list; an event without it is an error of its own."""
    if isinstance(value, Picks) and value.lists == 0:
        if not -len(value.items) <= number < len(value.items):
            evaluator.refuse(tree, f"there is no item {number} of {len(value.items)}")
        return value.items[number]
    sequence = require(evaluator, value, tree, name)

    def change(item: Array) -> Array:
        places = (*(_ALL,) * len(item.loops), Constant(number))
        made = evaluator.algebra.make(lambda x: Subscript(x, places, tree.span), item)
        return evaluator.algebra.like(item, made)

    return _fewer(map_arrays(sequence, change))


def _element_at(evaluator: Evaluator, tree: Operator, source: Value, scope: Scope) -> Value:
    number = {"First": 0, "Last": -1}.get(tree.name)
    if number is None:
        number = _whole_number(evaluator, tree, scope)
    return element(evaluator, source, number, tree, tree.name)


def _whole_number(evaluator: Evaluator, tree: Operator, scope: Scope) -> int:
    given = evaluator.value(tree.arguments[0], scope)
    if isinstance(given, Array) and isinstance(given.expr, Constant):
        value = given.expr.value
        if type(value) is int:
            return value
    evaluator.refuse(
        tree.arguments[0], f"{tree.name} takes a whole number", f"such as .{tree.name}(1)"
    )


def _reduce(evaluator: Evaluator, tree: Operator, sequence: Value, scope: Scope) -> Value:
    if vectors.is_momentum(sequence) and tree.name == "Sum":
        return vectors.total(evaluator, sequence, tree)
    return reduced(evaluator, sequence, tree.name.lower(), tree)


def reduced(evaluator: Evaluator, sequence: Value, function: str, tree: Tree) -> Array:
    """Return a number for each list: its sum, its minimum, or whether any or all are true."""
    array = evaluator.as_array(sequence, tree, function)
    return evaluator.algebra.call(function, array, span=tree.span, axis=len(array.loops))


def _count(evaluator: Evaluator, tree: Operator, sequence: Value, _: Scope) -> Value:
    return count(evaluator, sequence, tree)


def count(evaluator: Evaluator, sequence: Value, tree: Tree) -> Array:
    """Return the number of items of each list."""
    first = next(leaves(sequence))
    return evaluator.algebra.call("num", first, span=tree.span, axis=len(first.loops))


def _quantify(evaluator: Evaluator, tree: Operator, sequence: Value, scope: Scope) -> Value:
    body, loop = body_of(evaluator, tree.arguments[0], sequence, scope)
    function = tree.arguments[0]
    assert isinstance(function, Lambda)  # noqa: S101  the parsers have seen to it
    test = evaluator.as_array(body, function.body, "a condition")
    held = leave(evaluator, test, loop, sequence)
    return reduced(evaluator, held, tree.name.lower(), tree)


# -- new items -----------------------------------------------------------------------------


def _concat(evaluator: Evaluator, tree: Operator, sequence: Value, scope: Scope) -> Value:
    second = require(
        evaluator, evaluator.value(tree.arguments[0], scope), tree.arguments[0], "Concat"
    )
    for one, two in ((0, 1), (1, 0)):
        pair = [sequence, second]
        turns = evaluator.algebra.count_turns(next(leaves(pair[two])))
        pair[one] = evaluator.algebra.unify(pair[one], turns)
        sequence, second = pair
    return _together(evaluator, (sequence, second), len(loops_of(sequence)), tree)


def _together(evaluator: Evaluator, parts: tuple[Value, ...], axis: int, tree: Tree) -> Value:
    """Return sequences of one kind one after another, item lists at dimension `axis`."""
    algebra = evaluator.algebra
    first = parts[0]
    if isinstance(first, Struct) and all(
        isinstance(item, Struct) and item.names == first.names for item in parts
    ):
        columns = zip(*(item.values for item in parts if isinstance(item, Struct)), strict=True)
        values = tuple(_together(evaluator, items, axis, tree) for items in columns)
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


def _choose(evaluator: Evaluator, tree: Operator, sequence: Value, scope: Scope) -> Value:
    count = _whole_number(evaluator, tree, scope)
    if not 1 <= count <= _MOST_CHOSEN:
        evaluator.refuse(
            tree.arguments[0], f"Choose takes a number of items from 1 to {_MOST_CHOSEN}"
        )
    algebra = evaluator.algebra
    sequence = algebra.loosen(sequence)
    first = next(leaves(sequence))
    options = (("axis", len(first.loops)), ("n", count))
    index = algebra.make(lambda x: Call("argcombinations", (x,), options, tree.span), first)
    items = tuple(
        pick(evaluator, sequence, algebra.field(index, str(number), tree.span), tree.span)
        for number in range(count)
    )
    return Picks(items, lists=1)


_MOST_CHOSEN: Final = 8
"""Combinations of more items of one event do not fit into memory."""


def listed(evaluator: Evaluator, value: Picks) -> Value:
    """Return fixed lists of items as lists of any length, one dimension further in."""
    place: Tree = Items((), next(leaves(value)).expr.span)
    axis = len(loops_of(value)) + value.lists
    algebra = evaluator.algebra

    def single(item: Array) -> Array:
        places = (*(_ALL,) * axis, Constant(None))
        made = algebra.make(lambda x: Subscript(x, places, item.expr.span), item)
        return algebra.like(item, made)

    def more(item: Value) -> Value:
        return with_lists(map_arrays(item, single), 1, lambda array: array.loops)

    both = _together(evaluator, tuple(more(item) for item in value.items), axis, place)

    def loose(item: Array) -> Array:
        made = algebra.call("from_regular", item, span=item.expr.span, axis=axis)
        return algebra.like(item, made)

    return map_arrays(both, loose)


# -- is it there? --------------------------------------------------------------------------


def contains(
    evaluator: Evaluator, source: Tree, wanted: Tree, scope: Scope, span: Span | None
) -> Array:
    """Return whether `wanted` is an item of `source`, or either is a list literal of values."""
    if isinstance(source, Items):
        return _among(evaluator, wanted, source, scope, span)
    if isinstance(wanted, Items):
        return _among(evaluator, source, wanted, scope, span)
    found = evaluator.value(source, scope)
    sequence = require(evaluator, found, source, "Contains")
    items = evaluator.as_array(sequence, source, "Contains")
    value = evaluator.array(wanted, scope, "Contains")
    loop = scope.loop()
    item = replace(items, loops=(*items.loops, loop))
    if value.lists > 0:
        evaluator.refuse(wanted, "Contains looks for one value and this is a list")
    equal = arithmetic.compare(evaluator, "==", item, value, span)
    held = leave(evaluator, equal, loop, items)
    return reduced(evaluator, held, "any", Range(span=span))


def _among(
    evaluator: Evaluator, wanted: Tree, choices: Items, scope: Scope, span: Span | None
) -> Array:
    value = evaluator.array(wanted, scope, "in")
    if not choices.items:
        evaluator.refuse(choices, "the list to choose from is empty")
    parts = [
        arithmetic.compare(evaluator, "==", value, evaluator.array(item, scope, "in"), span)
        for item in choices.items
    ]
    return arithmetic.logical(evaluator, "or", parts, span)


RULES: Final[dict[str, Rule]] = {
    "Select": _select,
    "SelectMany": _select_many,
    "Where": _where,
    "OrderBy": _order,
    "OrderByDescending": _order,
    "First": _element_at,
    "Last": _element_at,
    "ElementAt": _element_at,
    "Count": _count,
    "Sum": _reduce,
    "Min": _reduce,
    "Max": _reduce,
    "Any": _quantify,
    "All": _quantify,
    "Concat": _concat,
    "Choose": _choose,
    "Aggregate": aggregate.fold,
}
