"""Arithmetic, comparisons, boolean logic and if/else, turn by turn of the loops around."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from sxdask.core.types import String, Unknown
from sxdask.plan import expr as plan
from sxdask.plan.constants import constant_value
from sxdask.plan.expr import Call, Expr
from sxdask.plan.func_adl import sequences, vectors
from sxdask.plan.func_adl.guards import may_miss, require_present
from sxdask.plan.func_adl.tree import Binary, Choice, Compare, Logical, Name, Tree, Unary
from sxdask.plan.func_adl.tree import Call as CallTree
from sxdask.plan.func_adl.tree import Value as Truth
from sxdask.plan.func_adl.values import Array, Picks, Struct, Value, is_boolean
from sxdask.plan.syntax import balanced

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sxdask.plan.expr import CompareOp, Span
    from sxdask.plan.func_adl.evaluate import Evaluator, Scope

Joint: TypeAlias = Literal["&", "|"]

_AND_OR: Final[dict[str, tuple[Joint, str]]] = {
    "and": ("&", "logical_and"),
    "or": ("|", "logical_or"),
}


def apply(
    evaluator: Evaluator, tree: Unary | Binary | Compare | Logical | Choice, scope: Scope
) -> Value:
    """Return the value of an operator of Python."""
    match tree:
        case Unary():
            return _unary(evaluator, tree, scope)
        case Binary():
            return _binary(evaluator, tree, scope)
        case Compare():
            return _compare(evaluator, tree, scope)
        case Logical():
            return _logical(evaluator, tree, scope)
        case Choice():
            return _choice(evaluator, tree, scope)


def _unary(evaluator: Evaluator, tree: Unary, scope: Scope) -> Value:
    op, span = tree.op, tree.span
    value = evaluator.value(tree.operand, scope)
    if op != "not" and vectors.is_momentum(value):
        return vectors.unary(evaluator, op, value, tree)
    operand = evaluator.as_array(value, tree.operand, f"'{op}'")
    if op == "not":
        if not is_boolean(operand.type):
            return evaluator.algebra.call("logical_not", operand, span=span)
        op = "~"
    sign = op
    made = evaluator.algebra.make(lambda item: plan.Unary(sign, item, span), operand)
    return _folded(evaluator, made)


def _binary(evaluator: Evaluator, tree: Binary, scope: Scope) -> Value:
    op, span = tree.op, tree.span
    left, right = evaluator.value(tree.left, scope), evaluator.value(tree.right, scope)
    if vectors.is_momentum(left) or vectors.is_momentum(right):
        return vectors.binary(evaluator, tree, left, right)
    one = evaluator.as_array(left, tree.left, op)
    two = evaluator.as_array(right, tree.right, op)
    return arithmetic(evaluator, op, one, two, span)


def arithmetic(
    evaluator: Evaluator, op: plan.BinaryOp, left: Array, right: Array, span: Span | None
) -> Array:
    """Return ``left op right``."""

    def node(one: Expr, two: Expr) -> Expr:
        if op in {"&", "|"}:
            return balanced(op, [*_chain(one, op), *_chain(two, op)])
        return plan.Binary(op, one, two, span)

    return _folded(evaluator, evaluator.algebra.elementwise(node, left, right))


def _chain(expr: Expr, op: str) -> list[Expr]:
    """Return the operands of a chain of one operator, as the native language sees it."""
    found: list[Expr] = []
    todo = [expr]
    while todo:
        item = todo.pop()
        if isinstance(item, plan.Binary) and item.op == op:
            todo.extend((item.right, item.left))
        else:
            found.append(item)
    return found


def _folded(evaluator: Evaluator, made: Array) -> Array:
    """Return a constant for an expression of constants alone."""
    if not made.is_constant:
        return made
    return evaluator.algebra.constant(constant_value(made.expr), made.expr.span)


# -- comparisons and logic -----------------------------------------------------------------


def _compare(evaluator: Evaluator, tree: Compare, scope: Scope) -> Value:
    parts: list[Array] = []
    for op, left, right in zip(tree.ops, tree.operands, tree.operands[1:], strict=False):
        match op:
            case "in":
                parts.append(evaluator.contains(right, left, scope, tree.span))
            case "not in":
                found = evaluator.contains(right, left, scope, tree.span)
                parts.append(evaluator.algebra.make(lambda x: plan.Unary("~", x, tree.span), found))
            case _:
                one, two = (evaluator.array(side, scope, op) for side in (left, right))
                parts.append(compare(evaluator, op, one, two, tree.span))
    return logical(evaluator, "and", parts, tree.span)


def compare(
    evaluator: Evaluator, op: CompareOp, left: Array, right: Array, span: Span | None
) -> Array:
    """Return ``left op right``."""
    made = evaluator.algebra.elementwise(
        lambda one, two: plan.Compare(op, one, two, span), left, right
    )
    return _folded(evaluator, made)


def _logical(evaluator: Evaluator, tree: Logical, scope: Scope) -> Value:
    op, operands, span = tree.op, tree.operands, tree.span
    for number, item in enumerate(operands[1:], start=1):
        if may_miss(item):  # what follows counts only where what stands before leaves it open
            before = operands[0] if number == 1 else Logical(op, operands[:number], span)
            after = item if number == len(operands) - 1 else Logical(op, operands[number:], span)
            rest, known = _truth(after), Truth(op == "or", span)
            one, two = (rest, known) if op == "and" else (known, rest)
            return _choice(evaluator, Choice(_truth(before), one, two, span), scope)
    arrays = [evaluator.array(item, scope, f"'{op}'") for item in operands]
    return logical(evaluator, op, arrays, span)


def _truth(tree: Tree) -> Tree:
    """Return whether `tree` is true as a boolean, where it may be a number."""
    return CallTree(Name("bool", tree.span), (tree,), (), tree.span)


def logical(evaluator: Evaluator, op: str, operands: Sequence[Array], span: Span | None) -> Array:
    """Return all operands joined by ``and`` or ``or``; numbers are true where not zero."""
    sign, function = _AND_OR[op]
    if len(operands) == 1:
        return operands[0]
    algebra = evaluator.algebra
    if all(is_boolean(item.type) for item in operands):
        aligned = algebra.align(operands)
        return _folded(evaluator, algebra.make(lambda *parts: _joined(sign, parts), *aligned))
    joined = operands[0]
    for item in operands[1:]:
        joined = algebra.elementwise(lambda *parts: Call(function, parts, (), span), joined, item)
    return joined


def _joined(sign: Joint, parts: Sequence[Expr]) -> Expr:
    return balanced(sign, [item for part in parts for item in _chain(part, sign)])


# -- if / else -----------------------------------------------------------------------------


def _choice(evaluator: Evaluator, tree: Choice, scope: Scope) -> Value:
    test = evaluator.array(tree.test, scope, "a condition")
    plain = [evaluator.value(side, scope) for side in (tree.body, tree.orelse)]
    found = choose(evaluator, test, plain[0], plain[1], tree)
    if scope.guarded or not (may_miss(tree.body) or may_miss(tree.orelse)):
        return found
    inner = scope.behind_condition()
    sides = [evaluator.value(side, inner) for side in (tree.body, tree.orelse)]
    lazy = choose(evaluator, test, sides[0], sides[1], tree)
    return require_present(evaluator.algebra, lazy, found, tree.span)


def choose(evaluator: Evaluator, test: Array, body: Value, orelse: Value, tree: Tree) -> Value:
    """Return `body` where `test` holds, and `orelse` elsewhere."""
    match body, orelse:
        case Array(), Array() if body.is_momentum == orelse.is_momentum:
            return replace(
                _where(evaluator, test, body, orelse, tree), is_momentum=body.is_momentum
            )
        case Struct(), Struct() if (body.names, body.lists) == (orelse.names, orelse.lists):
            pairs = zip(body.values, orelse.values, strict=True)
            values = (choose(evaluator, test, one, two, tree) for one, two in pairs)
            made = replace(body, values=tuple(values))
            return evaluator.algebra.unify(made) if body.lists else made
        case (Picks(), _) | (_, Picks()):
            sides = [
                sequences.listed(evaluator, item) if isinstance(item, Picks) else item
                for item in (body, orelse)
            ]
            return choose(evaluator, test, sides[0], sides[1], tree)
        case _:
            return evaluator.refuse(
                tree,
                "the two values of if/else are not of one kind",
                "give both the same fields, or choose field by field",
            )


def _where(evaluator: Evaluator, test: Array, body: Array, orelse: Array, tree: Tree) -> Array:
    algebra = evaluator.algebra
    if test.is_constant and body.is_constant and orelse.is_constant:
        return body if constant_value(test.expr) else orelse
    if test.lists == 0 and len({max(item.lists, 0) for item in (body, orelse)}) > 1:
        evaluator.refuse(
            tree,
            f"the two values of if/else nest differently: {body.type} and {orelse.type}",
            "choose within the lambda over the list",
        )
    for side in (body, orelse):
        if not set(side.loops) <= set(test.loops):
            test = algebra.spread(test, algebra.count_turns(side))
    # awkward takes a text for a list of letters, unless there is one for each turn
    body, orelse = (
        algebra.spread(side, test) if side.is_constant and isinstance(side.type, String) else side
        for side in (body, orelse)
    )
    made = algebra.elementwise(lambda *args: Call("where", args, (), tree.span), test, body, orelse)
    if isinstance(made.type, Unknown):
        evaluator.refuse(
            tree, f"the two values of if/else are of different kinds: {body.type}, {orelse.type}"
        )
    return made
