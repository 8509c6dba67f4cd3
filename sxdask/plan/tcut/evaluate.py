"""The value of each part of a formula."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, Protocol, assert_never

from sxdask.core.errors import close_names
from sxdask.plan.expr import Call, Compare, CompareOp, Constant
from sxdask.plan.tcut import specials, tree
from sxdask.plan.tcut.constants import constant_of
from sxdask.plan.tcut.functions import CONSTANTS, FUNCTIONS, SAME, SPECIALS
from sxdask.plan.tcut.leaves import COUNTERS
from sxdask.plan.tcut.operators import choice, joined, negation, negative, operated
from sxdask.plan.tcut.values import BOOL, DOUBLE, TEXT, Value, constant, spanned

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sxdask.plan.tcut.instances import Instances
    from sxdask.plan.tcut.leaves import Leaves
    from sxdask.plan.tcut.specials import Known
    from sxdask.plan.tcut.tree import Formula

_REFUSED: Final = {
    "strstr": 'compare whole texts: name == "..."',
    "rndm": "a cut gives the same events every time; use event % n for a share of them",
    "gaus": "a cut has no fitted functions",
}


class Context(Protocol):
    """What evaluation needs of the formulas around; see `meaning.Meaning`."""

    leaves: Leaves

    def numeric(self, node: Formula, scope: Instances) -> Value:
        """Evaluate a formula that has to be a number."""
        ...

    def known(self, nodes: Sequence[Formula]) -> Known:
        """Evaluate formulas that share their instances."""
        ...

    def refused(self, node: Formula, problem: str, hint: str | None = None) -> Exception:
        """Return the error that points at `node`."""
        ...

    def bounded(self, value: Value) -> Value:
        """Return `value` if its expression is within the limits."""
        ...


def evaluate(context: Context, node: Formula, scope: Instances) -> Value:
    """Return the value of `node`, whose names are those of `scope`.

    Raises
    ------
    SelectionTypeError, SelectionSyntaxError, RequestTooLargeError
        If it has none, with the place.
    """
    return context.bounded(_value(context, node, scope))


def _value(context: Context, node: Formula, scope: Instances) -> Value:
    span = (node.start, node.stop)
    match node:
        case tree.Number(value):
            if math.isinf(value):
                raise context.refused(node, "the number is beyond double precision")
            return constant(value, span)
        case tree.Text(value):
            return Value(Constant(value, span), TEXT)
        case tree.Name():
            return _name(context, node, scope)
        case tree.Size():
            return context.leaves.size(node)
        case tree.Prefix(op, operand):
            change = negation if op == "!" else negative
            return change(context.numeric(operand, scope), span)
        case tree.Infix():
            return _infix(context, node, scope)
        case tree.Choice(condition, yes, no):
            values = [context.numeric(item, scope) for item in (condition, yes, no)]
            return choice(values[0], values[1], values[2], span)
        case tree.Call():
            return spanned(_call(context, node, scope), span)
    assert_never(node)


def _name(context: Context, node: tree.Name, scope: Instances) -> Value:
    if node.name == "pi" and node.name not in context.leaves.schema:
        return constant(math.pi, (node.start, node.stop))
    if node.name not in COUNTERS:
        return scope.value(node)
    if node.indices:
        raise context.refused(node, f"{node.name} has no index")
    driver = scope.driver
    if node.name == "Length$":
        return specials.length(specials.Known((), (), driver))
    if driver is None:
        return constant(0, (node.start, node.stop))
    if driver.depth > 2:
        raise context.refused(node, "Iteration$ stands beside arrays of at most two dimensions")
    if driver.depth > 1:
        return Value(Call("iteration", (driver.expr,)), "int32", 2)
    return Value(Call("local_index", (driver.expr,), (("axis", 1),)), "int32", 1)


def _infix(context: Context, node: tree.Infix, scope: Instances) -> Value:
    span = (node.start, node.stop)
    if node.op in {"&&", "||"}:
        return joined(node.op, [context.numeric(item, scope) for item in node.operands], span)
    if node.op in {"==", "!="}:
        left, right = (evaluate(context, item, scope) for item in node.operands)
        if TEXT in {left.dtype, right.dtype}:
            return _texts(context, node, left, right)
    left, right = (context.numeric(item, scope) for item in node.operands)
    found = operated(node.op, left, right, span)
    if node.op == "^" and found.constant is not None and math.isinf(found.constant):
        raise context.refused(node, "the power is beyond double precision")
    return found


def _texts(context: Context, node: tree.Infix, left: Value, right: Value) -> Value:
    if not left.dtype == right.dtype == TEXT:
        raise context.refused(node, f"{node.op} compares text with a number")
    op: CompareOp = "==" if node.op == "==" else "!="
    if isinstance(left.expr, Constant) and isinstance(right.expr, Constant):
        same = left.expr.value == right.expr.value
        return constant(same if op == "==" else not same, (node.start, node.stop))
    return Value(Compare(op, left.expr, right.expr, (node.start, node.stop)), BOOL)


# -- functions ------------------------------------------------------------------------------


def _call(context: Context, node: tree.Call, scope: Instances) -> Value:
    if node.function.endswith("$"):
        return _special(context, node, scope)
    if node.function in CONSTANTS:
        _require_arity(context, node, 0)
        return constant(CONSTANTS[node.function])
    known = FUNCTIONS.get(node.function)
    if known is None:
        hint = _REFUSED.get(node.function) or close_names(
            node.function, [*FUNCTIONS, *CONSTANTS, *SPECIALS]
        )
        raise context.refused(node, f"{node.function} is no function of the language", hint)
    _require_arity(context, node, known.arity)
    values = [context.numeric(item, scope) for item in node.args]
    expr = known.build(*values)
    if all(item.constant is not None for item in values):
        plain = constant_of(expr)
        if plain is not None:
            return constant(plain)
    dtype = known.dtype
    if dtype == SAME:
        dtype = "float32" if values[0].dtype == "float32" else DOUBLE
    return values[0].like(expr, dtype, *values[1:])


def _require_arity(context: Context, node: tree.Call, count: int) -> None:
    if len(node.args) != count:
        plural = "" if count == 1 else "s"
        raise context.refused(
            node, f"{node.function} takes {count or 'no'} argument{plural}, not {len(node.args)}"
        )


def _special(context: Context, node: tree.Call, scope: Instances) -> Value:
    name = node.function
    if name not in SPECIALS:
        raise context.refused(
            node, f"{name} is no function of the language", f"there is {', '.join(SPECIALS)}"
        )
    _require_arity(context, node, 2 if name in {"Alt$", "MaxIf$", "MinIf$"} else 1)
    if name == "Alt$":
        return _alternative(context, node, scope)
    if name == "Length$":
        return specials.length(context.known(node.args))
    known = context.known(node.args)
    if name == "Sum$":
        return specials.total(known)
    function = "max" if name.startswith("Max") else "min"
    if name.endswith("If$"):
        return specials.extreme_if(function, known)
    return specials.extreme(function, known)


def _alternative(context: Context, node: tree.Call, scope: Instances) -> Value:
    primary, other = (context.known([item]) for item in node.args)
    if other.driver is not None or other.exists:
        raise context.refused(node.args[1], "the second argument of Alt$ is one value per entry")
    if scope.driver is not None and scope.driver.depth > 1:
        raise context.refused(
            node,
            "Alt$ stands beside arrays of one dimension, and these have more",
            "pick an item of the others, such as x[][0]",
        )
    return specials.alternative(primary, other.values[0], scope.driver)
