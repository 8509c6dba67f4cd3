"""From the tree of a formula to expressions: instances, ROOT's special names, the cut.

A formula with arrays has *instances*, as many as its shortest array has items,
and an entry passes a cut if any of its instances does. ``Sum$(...)`` and its
kin are formulas of their own, with one value per entry.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sxdask.core.errors import RequestTooLargeError
from sxdask.plan.expr import Call, Compare, Constant, Expr, children
from sxdask.plan.lexer import too_deep
from sxdask.plan.syntax import balanced
from sxdask.plan.tcut import tree
from sxdask.plan.tcut.evaluate import evaluate
from sxdask.plan.tcut.instances import Instances
from sxdask.plan.tcut.leaves import Leaves
from sxdask.plan.tcut.operators import joined
from sxdask.plan.tcut.specials import Known, filled, flat
from sxdask.plan.tcut.tokens import bounded_depth
from sxdask.plan.tcut.values import TEXT, Value, truth
from sxdask.plan.types import infer, require_predicate

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from sxdask.core.types import Schema
    from sxdask.plan.lexer import Limits
    from sxdask.plan.place import SourceText
    from sxdask.plan.tcut.tree import Formula

MAX_NODES: Final = 20_000
"""Parts of the expression of one formula; functions repeat their arguments."""

_AXIS: Final = (("axis", 1),)


class Meaning:
    """What formulas over the columns of `schema` mean; `source` is their text."""

    def __init__(self, schema: Schema, source: SourceText, limits: Limits) -> None:
        self.source = source
        self.leaves = Leaves(schema, source, self._index)
        self._limits = limits
        self._sizes: dict[int, tuple[Expr, int, int]] = {}

    def cut(self, node: Formula) -> Expr:
        """Return the condition for an entry to pass: one boolean per event.

        Raises
        ------
        SelectionTypeError, UnknownBranchError, RequestTooLargeError
            With a caret under the mistake.
        """
        with bounded_depth(self._limits):
            return self._cut(node)

    def _cut(self, node: Formula) -> Expr:
        parts = node.operands if isinstance(node, tree.Infix) and node.op == "&&" else (node,)
        scope = Instances(self.leaves, parts, strict=True)
        values = [self.numeric(item, scope) for item in parts]
        conditions = list(scope.exists)
        # What is the same for all instances is a condition of its own, as long as no
        # index can have led astray before ROOT comes to it.
        inside: list[Value] = []
        for value in values:
            if value.depth or value.missing or any(item.missing for item in inside):
                inside.append(value)
            else:
                conditions.append(truth(value))
        if inside:
            conditions.append(_passes(joined("&&", inside, (node.start, node.stop))))
        if scope.driver is not None and not any(value.depth for value in inside):
            conditions.append(Compare(">", Call("num", (scope.driver.expr,), _AXIS), Constant(0)))
        found = balanced("&", list(dict.fromkeys(conditions)))
        self._require_bounds(found)
        require_predicate(found, self.leaves.schema, self.source)
        return found

    def column(self, node: Formula) -> Expr:
        """Return what the formula is worth, per event or per instance.

        An entry without the items that literal indices name has no value.
        """
        if isinstance(node, tree.Name) and not node.indices and not self.leaves.is_no_column(node):
            return self.leaves.column(node)
        with bounded_depth(self._limits):
            return self._column(node)

    def _column(self, node: Formula) -> Expr:
        scope = Instances(self.leaves, (node,), strict=False)
        found = filled(evaluate(self, node, scope)).expr
        self._require_bounds(found)
        infer(found, self.leaves.schema, self.source)
        return found

    def known(self, nodes: Sequence[Formula]) -> Known:
        """Evaluate formulas that share their instances, such as the arguments of ``Max$``."""
        scope = Instances(self.leaves, nodes, strict=False, apart=True)
        values = tuple(self.numeric(node, scope) for node in nodes)
        return Known(values, scope.exists, scope.driver, scope.group)

    def numeric(self, node: Formula, scope: Instances) -> Value:
        """Evaluate a formula that has to be a number.

        Raises
        ------
        SelectionTypeError
            If it is text.
        """
        value = evaluate(self, node, scope)
        if value.dtype == TEXT:
            raise self.refused(node, "text is no number", 'compare it: name == "..."')
        return value

    def refused(self, node: Formula, problem: str, hint: str | None = None) -> Exception:
        """Return the error that points at `node`."""
        return self.source.type_error(Constant(0, (node.start, node.stop)), problem, hint=hint)

    def bounded(self, value: Value) -> Value:
        """Return `value` if its expression is within the limits."""
        self._require_bounds(value.expr)
        return value

    def _require_bounds(self, expr: Expr) -> None:
        size, depth = self._measured(expr)
        if size > MAX_NODES:
            raise RequestTooLargeError(
                f"the formula written out has more than {MAX_NODES} parts",
                hint="split it into several columns",
            )
        if depth > self._limits.max_nesting:
            raise too_deep(self._limits)

    def _measured(self, expr: Expr) -> tuple[int, int]:
        """Return parts and depth of an expression; what is shared is measured once."""
        known = self._sizes.get(id(expr))
        if known is None or known[0] is not expr:
            below = [self._measured(item) for item in children(expr)]
            size = 1 + sum(item[0] for item in below)
            depth = 1 + max((item[1] for item in below), default=0)
            self._sizes[id(expr)] = (expr, size, depth)
            return size, depth
        return known[1], known[2]

    def _index(self, node: Formula) -> tuple[Value, Hashable, tuple[Expr, ...]]:
        """Evaluate the formula of an index."""
        for item in tree.walk(node):
            if isinstance(item, tree.Name) and item.name in {"Iteration$", "Length$"}:
                raise self.refused(item, f"{item.name} has no meaning inside an index")
        scope = Instances(self.leaves, (node,), strict=False)
        value = self.numeric(node, scope)
        if value.depth > 1:
            raise self.refused(node, "an index has at most one dimension")
        return value, scope.group, scope.exists


def _passes(value: Value) -> Expr:
    """Return whether any instance of `value` is not zero."""
    condition = truth(value)
    if value.missing:
        # where an index leads astray ROOT's formula is not a number, and that is not zero
        condition = Call("fill_none", (condition, Constant(value=True)), (("axis", -1),))
    if value.depth == 0:
        return condition
    return Call("any", (flat(condition, value.depth),), _AXIS, value.expr.span)
