"""`Aggregate`: folds that are a sum, a product, a minimum, a maximum, any or all.

A fold goes from item to item, and nothing here does. What can be said of all
items of a list at once is recognised by the form of the lambda and becomes
one reduction; any other form is refused with the place where it departs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from sxdask.plan.expr import Call, Constant, Pack, Slice, Subscript
from sxdask.plan.func_adl import arithmetic, sequences
from sxdask.plan.func_adl.tree import (
    Attribute,
    Binary,
    Choice,
    Compare,
    Lambda,
    Logical,
    Name,
    Operator,
    Tree,
    Unary,
)
from sxdask.plan.func_adl.tree import Call as CallTree
from sxdask.plan.func_adl.tree import Sequence as Items
from sxdask.plan.func_adl.values import Array, Value, is_boolean, leaves

if TYPE_CHECKING:
    from sxdask.plan.expr import BinaryOp, Expr
    from sxdask.plan.func_adl.evaluate import Evaluator, Scope

Joint: TypeAlias = Literal["+", "*", "min", "max", "and", "or"]

_REDUCERS: Final[dict[Joint, str]] = {
    "+": "sum",
    "*": "prod",
    "min": "min",
    "max": "max",
    "and": "all",
    "or": "any",
}
_PAIRWISE: Final[dict[str, Joint]] = {
    "min": "min",
    "max": "max",
    "minimum": "min",
    "maximum": "max",
    "fmin": "min",
    "fmax": "max",
    "logical_and": "and",
    "logical_or": "or",
}
_SIGNS: Final[dict[str, Joint]] = {"&": "and", "|": "or"}

_HINT: Final = (
    "acc + f(v), acc * f(v), max(acc, f(v)), min(acc, f(v)), 'acc and f(v)' and 'acc or f(v)'"
    " are possible, with or without an if, where f does not use acc"
)


@dataclass(frozen=True, slots=True)
class Fold:
    """The accumulator joined with `items`, and by the inverse operation with `inverse`.

    Only items for which all of `tests` hold take part, or do not where the
    flag beside the test is False.
    """

    joint: Joint | None = None
    items: tuple[Tree, ...] = ()
    inverse: tuple[Tree, ...] = ()
    tests: tuple[tuple[Tree, bool], ...] = ()


def fold(evaluator: Evaluator, tree: Operator, sequence: Value, scope: Scope) -> Value:
    """Return the value of ``sequence.Aggregate(seed, lambda acc, v: ...)``.

    Raises
    ------
    SelectionTypeError
        If the lambda is not of a form that a reduction can answer.
    """
    seed = evaluator.array(tree.arguments[0], scope, "the first argument of Aggregate")
    function = tree.arguments[1]
    assert isinstance(function, Lambda)  # noqa: S101  the parsers have seen to it
    accumulator, variable = function.parameters
    form = _form(evaluator, function.body, accumulator)
    for test, kept in form.tests:
        condition = test if kept else Unary("not", test, test.span)
        keep = Operator("Where", tree, (Lambda((variable,), condition, test.span),), test.span)
        sequence = evaluator.follow(keep, sequence, scope)
    result = seed
    for number, item in enumerate((*form.items, *form.inverse)):
        assert form.joint is not None  # noqa: S101  items come with what joins them
        select = Operator("Select", tree, (Lambda((variable,), item, item.span),), item.span)
        values = evaluator.follow(select, sequence, scope)
        array = evaluator.as_array(values, item, "Aggregate")
        inverted = number >= len(form.items)
        result = _joined(evaluator, form.joint, result, array, tree, inverted=inverted)
    return result


# -- the form of the lambda ----------------------------------------------------------------


def _form(evaluator: Evaluator, body: Tree, name: str) -> Fold:
    match body:
        case Name(id=found) if found == name:
            return Fold()
        case Binary(op="+" | "-"):
            return _chain(evaluator, body, name, "+", "-")
        case Binary(op="*" | "/"):
            return _chain(evaluator, body, name, "*", "/")
        case Binary(op="&" | "|" as op, left=left, right=right):
            return _pair(evaluator, _SIGNS[op], (left, right), name, body)
        case Logical(op=op, operands=operands):
            return _pair(evaluator, op, operands, name, body)
        case CallTree(function=Name(id=called) | Attribute(name=called), arguments=arguments) if (
            called in _PAIRWISE and not body.keywords
        ):
            if len(arguments) == 1 and isinstance(arguments[0], Items):
                arguments = arguments[0].items
            return _pair(evaluator, _PAIRWISE[called], arguments, name, body)
        case Choice():
            return _choice(evaluator, body, name)
        case _:
            return evaluator.refuse(
                body, "this fold cannot be computed for all items at once", _HINT
            )


def _pair(
    evaluator: Evaluator, joint: Joint, operands: tuple[Tree, ...], name: str, body: Tree
) -> Fold:
    rest = tuple(item for item in operands if not _is_name(item, name))
    if len(rest) != len(operands) - 1 or any(_uses(item, name) for item in rest):
        evaluator.refuse(body, "this fold cannot be computed for all items at once", _HINT)
    return Fold(joint, rest)


def _chain(evaluator: Evaluator, body: Binary, name: str, plus: BinaryOp, minus: BinaryOp) -> Fold:
    """Return the form of ``acc + f - g``: the accumulator stands first or is added."""
    items: list[Tree] = []
    inverse: list[Tree] = []
    node: Tree = body
    while isinstance(node, Binary) and node.op in (plus, minus):
        left, right = node.left, node.right
        if not _uses(right, name):
            (items if node.op == plus else inverse).append(right)
            node = left
        elif node.op == plus and not _uses(left, name):
            items.append(left)
            node = right
        else:
            break
    if not _is_name(node, name):
        evaluator.refuse(node, "this fold cannot be computed for all items at once", _HINT)
    joint: Joint = "+" if plus == "+" else "*"
    return Fold(joint, tuple(items[::-1]), tuple(inverse[::-1]))


def _choice(evaluator: Evaluator, body: Choice, name: str) -> Fold:
    test, one, two = body.test, body.body, body.orelse
    if not _uses(test, name):
        if _is_name(two, name):
            found = _form(evaluator, one, name)
            return Fold(found.joint, found.items, found.inverse, ((test, True), *found.tests))
        if _is_name(one, name):
            found = _form(evaluator, two, name)
            return Fold(found.joint, found.items, found.inverse, ((test, False), *found.tests))
        evaluator.refuse(body, "this fold cannot be computed for all items at once", _HINT)
    match test:
        case Compare(operands=(left, right), ops=(("<" | "<=" | ">" | ">=") as op,)):
            # the branch taken is one of the two that are compared
            takes_left, less = one == left, op in {"<", "<="}
            if (one, two) in {(left, right), (right, left)}:
                joint: Joint = "min" if takes_left == less else "max"
                return _pair(evaluator, joint, (one, two), name, body)
    return evaluator.refuse(test, "this fold cannot be computed for all items at once", _HINT)


def _is_name(tree: Tree, name: str) -> bool:
    return isinstance(tree, Name) and tree.id == name


def _uses(tree: object, name: str) -> bool:
    """Say whether `name` occurs in `tree`; a lambda of its own may hide it."""
    todo: list[object] = [tree]
    while todo:
        node = todo.pop()
        if isinstance(node, tuple):
            todo.extend(node)
        elif isinstance(node, Name):
            if node.id == name:
                return True
        elif isinstance(node, Lambda):
            if name not in node.parameters:
                todo.append(node.body)
        elif hasattr(node, "__dataclass_fields__"):
            todo.extend(getattr(node, slot) for slot in node.__dataclass_fields__)
    return False


# -- its value -----------------------------------------------------------------------------


def _joined(
    evaluator: Evaluator, joint: Joint, seed: Array, items: Array, tree: Tree, *, inverted: bool
) -> Array:
    span = tree.span
    if joint in {"min", "max"}:
        return _extreme(evaluator, _REDUCERS[joint], seed, items, tree)
    if joint in {"and", "or"} and not is_boolean(items.type):
        evaluator.refuse(tree, f"the items joined by {joint!r} are {items.type}, not booleans")
    whole = sequences.reduced(evaluator, items, _REDUCERS[joint], tree)
    if joint in {"and", "or"}:
        return arithmetic.logical(evaluator, joint, [seed, whole], span)
    op: BinaryOp = ("-" if joint == "+" else "/") if inverted else ("+" if joint == "+" else "*")
    return arithmetic.arithmetic(evaluator, op, seed, whole, span)


def _extreme(evaluator: Evaluator, function: str, seed: Array, items: Array, tree: Tree) -> Array:
    """Return the extreme of a list with one item more, the seed: it is never empty."""
    algebra, span = evaluator.algebra, tree.span
    spread = algebra.unify(items, algebra.count_turns(seed)) if seed.loops else items
    array = next(leaves(spread))
    first = algebra.spread(seed, algebra.count_turns(array))
    axis = len(array.loops)
    places: tuple[Slice | Expr, ...] = (*(Slice(),) * axis, Constant(None))
    single = algebra.make(lambda x: Subscript(x, places, span), first)
    both = algebra.make(
        lambda *parts: Call("concatenate", (Pack(parts),), (("axis", axis),), span), single, array
    )
    return algebra.call(function, both, span=span, axis=axis, mask_identity=False)
