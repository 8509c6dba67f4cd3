"""`Aggregate`: folds that are a sum, a product, a minimum, a maximum, any or all."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sxdask.plan.func_adl.evaluate import Evaluator, Scope
    from sxdask.plan.func_adl.tree import Operator
    from sxdask.plan.func_adl.values import Value


def fold(evaluator: Evaluator, tree: Operator, sequence: Value, scope: Scope) -> Value:
    evaluator.refuse(tree, "Aggregate")
