"""The query operators over a sequence within the event: Select, Where, Sum, First, Choose, ..."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final, TypeAlias

from sxdask.core.types import Unknown
from sxdask.plan.expr import Call, Constant
from sxdask.plan.func_adl import aggregate, arithmetic, sequences, vectors
from sxdask.plan.func_adl.tree import Lambda, Operator, Tree
from sxdask.plan.func_adl.tree import Sequence as Items
from sxdask.plan.func_adl.values import (
    Array,
    Event,
    Picks,
    Struct,
    Value,
    is_boolean,
    leaves,
    lists_of,
    loops_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from sxdask.plan.expr import Span
    from sxdask.plan.func_adl.evaluate import Evaluator, Scope

Rule: TypeAlias = "Callable[[Evaluator, Operator, Value, Scope], Value]"

_MOST_CHOSEN: Final = 8
"""Combinations of more items of one event do not fit into memory."""


def apply(evaluator: Evaluator, tree: Operator, scope: Scope) -> Value:
    """Return the value of a query operator over a sequence within the event."""
    if tree.name == "Contains":
        return contains(evaluator, tree.source, tree.arguments[0], scope, tree.span)
    source = evaluator.value(tree.source, scope)
    if tree.name == "Zip":
        return _zip(evaluator, tree, source, scope)
    if isinstance(source, Picks) and source.lists == 0 and tree.name in _ONE_BY_ONE:
        return _ONE_BY_ONE[tree.name](evaluator, tree, source, scope)
    sequence = sequences.require(evaluator, source, tree, tree.name)
    return RULES[tree.name](evaluator, tree, sequence, scope)


def _select(evaluator: Evaluator, tree: Operator, sequence: Value, scope: Scope) -> Value:
    body, function, loop = sequences.body_of(evaluator, tree, sequence, scope)
    if isinstance(body, Event):
        evaluator.refuse(
            function, "the lambda gives the whole event for each item", "name a branch"
        )
    return sequences.leave(evaluator, sequences.zipped(evaluator, body), loop, sequence)


def _select_many(evaluator: Evaluator, tree: Operator, sequence: Value, scope: Scope) -> Value:
    body, function, loop = sequences.body_of(evaluator, tree, sequence, scope)
    many = sequences.require(
        evaluator, sequences.zipped(evaluator, body), function.body, "the lambda of SelectMany"
    )
    return sequences.joined(evaluator, sequences.leave(evaluator, many, loop, sequence), tree.span)


def _zip(evaluator: Evaluator, tree: Operator, value: Value, scope: Scope) -> Value:
    if isinstance(value, Struct) and value.lists == 0:
        lists = [item for item in value.values if lists_of(item)]
        if lists:
            loop = scope.loop()
            values = tuple(
                sequences.enter(item, loop) if lists_of(item) else item for item in value.values
            )
            return sequences.leave(evaluator, replace(value, values=values), loop, lists[0])
    if isinstance(value, Struct):
        return value
    return evaluator.refuse(
        tree,
        "Zip needs a record of lists",
        'such as Zip({"pt": e.Muon_pt, "eta": e.Muon_eta})',
    )


def _where(evaluator: Evaluator, tree: Operator, sequence: Value, scope: Scope) -> Value:
    body, function, loop = sequences.body_of(evaluator, tree, sequence, scope)
    test = evaluator.as_array(body, function.body, "a condition")
    if test.lists > 0 or not is_boolean(test.type):
        _refuse_condition(evaluator, test, function)
    return sequences.keep(evaluator, sequence, test, loop, tree.span)


def _refuse_condition(evaluator: Evaluator, test: Array, function: Lambda) -> None:
    if test.lists > 0:
        evaluator.refuse(
            function.body,
            "the condition has a list for each item, and one boolean is needed",
            "use .Any(lambda x: ...) or .Count() > 0; to filter lists side by side, Zip them",
        )
    if not isinstance(test.type, Unknown):
        evaluator.refuse(
            function.body,
            f"the condition is {sequences.shown(test)} and not boolean",
            "compare it: ... > 0",
        )


def _order(evaluator: Evaluator, tree: Operator, sequence: Value, scope: Scope) -> Value:
    body, function, loop = sequences.body_of(evaluator, tree, sequence, scope)
    key = evaluator.as_array(body, function.body, "an order")
    if key.lists > 0:
        evaluator.refuse(function.body, f"{tree.name} needs one number for each item")
    algebra = evaluator.algebra
    key = algebra.spread(key, algebra.turns(sequence, loop))
    key = replace(key, loops=key.loops[:-1])
    options = (("ascending", False),) if tree.name == "OrderByDescending" else ()
    pairs = (*options, ("axis", len(key.loops)))
    index = algebra.make(lambda x: Call("argsort", (x,), tuple(sorted(pairs)), tree.span), key)
    return sequences.pick(evaluator, sequence, index, tree.span)


def _element_at(evaluator: Evaluator, tree: Operator, source: Value, scope: Scope) -> Value:
    number = {"First": 0, "Last": -1}.get(tree.name)
    if number is None:
        number = _whole_number(evaluator, tree, scope)
    return sequences.element(evaluator, source, number, (tree, tree.name), scope)


def _whole_number(evaluator: Evaluator, tree: Operator, scope: Scope) -> int:
    given = evaluator.value(tree.arguments[0], scope)
    if isinstance(given, Array) and isinstance(given.expr, Constant):
        value = given.expr.value
        if type(value) is int:
            return value
    return evaluator.refuse(
        tree.arguments[0], f"{tree.name} takes a whole number", f"such as .{tree.name}(1)"
    )


def _reduce(evaluator: Evaluator, tree: Operator, sequence: Value, _: Scope) -> Value:
    if vectors.is_momentum(sequence) and tree.name == "Sum":
        return vectors.total(evaluator, sequence, tree)
    return sequences.reduced(evaluator, sequence, tree.name.lower(), tree)


def _count(evaluator: Evaluator, tree: Operator, sequence: Value, _: Scope) -> Value:
    return sequences.count(evaluator, sequence, tree)


def _quantify(evaluator: Evaluator, tree: Operator, sequence: Value, scope: Scope) -> Value:
    body, function, loop = sequences.body_of(evaluator, tree, sequence, scope)
    test = evaluator.as_array(body, function.body, "a condition")
    held = sequences.leave(evaluator, test, loop, sequence)
    return sequences.reduced(evaluator, held, tree.name.lower(), tree)


def _concat(evaluator: Evaluator, tree: Operator, sequence: Value, scope: Scope) -> Value:
    second = sequences.require(
        evaluator, evaluator.value(tree.arguments[0], scope), tree.arguments[0], "Concat"
    )
    for one, two in ((0, 1), (1, 0)):
        pair = [sequence, second]
        turns = evaluator.algebra.count_turns(next(leaves(pair[two])))
        pair[one] = evaluator.algebra.unify(pair[one], turns)
        sequence, second = pair
    return sequences.together(evaluator, (sequence, second), len(loops_of(sequence)), tree)


def _choose(evaluator: Evaluator, tree: Operator, sequence: Value, scope: Scope) -> Value:
    count = _whole_number(evaluator, tree, scope)
    if not 1 <= count <= _MOST_CHOSEN:
        evaluator.refuse(
            tree.arguments[0], f"Choose takes a number of items from 1 to {_MOST_CHOSEN}"
        )
    algebra = evaluator.algebra
    sequence = algebra.loosen(sequence)
    first = sequences.counted(sequence)
    options = (("axis", len(first.loops)), ("n", count))
    index = algebra.make(lambda x: Call("argcombinations", (x,), options, tree.span), first)
    items = tuple(
        sequences.pick(evaluator, sequence, algebra.field(index, str(number), tree.span), tree.span)
        for number in range(count)
    )
    return Picks(items, lists=1)


def contains(
    evaluator: Evaluator, source: Tree, wanted: Tree, scope: Scope, span: Span | None
) -> Array:
    """Return whether `wanted` is an item of `source`, or either is a list literal of values."""
    if isinstance(source, Items):
        return _among(evaluator, wanted, source, scope, span)
    if isinstance(wanted, Items):
        return _among(evaluator, source, wanted, scope, span)
    found = sequences.require(evaluator, evaluator.value(source, scope), source, "Contains")
    items = evaluator.as_array(found, source, "Contains")
    value = evaluator.array(wanted, scope, "Contains")
    return _is_item(evaluator, items, value, scope, source)


def _is_item(evaluator: Evaluator, items: Array, value: Array, scope: Scope, source: Tree) -> Array:
    loop = scope.loop()
    if value.lists > 0:  # for each item of the one list, whether it is in the other
        one = replace(value, loops=(*value.loops, loop))
        inner = _is_item(evaluator, items, one, scope.inside(), source)
        held = sequences.leave(evaluator, inner, loop, value)
        return evaluator.as_array(held, source, "Contains")
    item = replace(items, loops=(*items.loops, loop))
    equal = arithmetic.compare(evaluator, "==", item, value, source.span)
    held = sequences.leave(evaluator, equal, loop, items)
    return sequences.reduced(evaluator, held, "any", source)


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


# -- fixed lists, item by item ---------------------------------------------------------------


def _select_each(evaluator: Evaluator, tree: Operator, picks: Value, scope: Scope) -> Value:
    """Return the lambda's value for each of the few items that `Choose` picked."""
    assert isinstance(picks, Picks)  # noqa: S101  the caller has seen to it
    function = tree.arguments[0]
    assert isinstance(function, Lambda)  # noqa: S101  the parsers have seen to it
    inner = [scope.also(**{function.parameters[0]: item}) for item in picks.items]
    values = [evaluator.value(function.body, each) for each in inner]
    return Picks(tuple(sequences.zipped(evaluator, value) for value in values))


_ONE_BY_ONE: Final[dict[str, Rule]] = {
    "Select": _select_each,
    "First": _element_at,
    "Last": _element_at,
    "ElementAt": _element_at,
}
"""What needs no list of the items that `Choose` picked."""

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
