"""How the arrays of one formula line up.

Arrays are gone through side by side up to the shortest one. Several columns of
one length, such as those that a single array gives, need nothing for that; all
others are cut to a common length by the function ``instances``.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import chain, groupby
from typing import TYPE_CHECKING

from sxdask.plan.expr import Call, Expr
from sxdask.plan.tcut import tree

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from sxdask.plan.tcut.leaves import Leaf, Leaves
    from sxdask.plan.tcut.tree import Formula, Name
    from sxdask.plan.tcut.values import Value


class Instances:
    """The names of formulas that share their instances, lined up.

    The nodes are parts of one formula, or formulas of their own if `apart`.
    `exists` are conditions without which an entry has no instance; `driver` is
    the array with the most dimensions, None without arrays.
    """

    def __init__(
        self, leaves: Leaves, nodes: Sequence[Formula], *, strict: bool, apart: bool = False
    ) -> None:
        self._leaves: dict[Name, Leaf] = {}
        walks = [list(tree.walk(root)) for root in nodes]
        for items in walks if apart else [list(chain.from_iterable(walks))]:
            astray = leaves.astray(items)
            for item in items:
                if isinstance(item, tree.Name) and not leaves.is_no_column(item):
                    self._leaves[item] = leaves.leaf(item, strict=strict, astray=astray)
        found = self._leaves.values()
        self.exists = leaves.strongest([expr for leaf in found for expr in leaf.exists])
        lists = [leaf for leaf in found if leaf.value.depth]
        if any(leaf.sizes[0] is not None for leaf in lists):
            for node, leaf in self._leaves.items():
                if leaf.place is not None and leaf.value.depth:
                    # ROOT may then go on beyond the end of the fixed array
                    raise leaves.refused(
                        node,
                        f"{node.name} stands beside an array of a fixed size,"
                        " where its index is one value per entry",
                    )
        self.group: Hashable = lists[0].group if lists else None
        self._line_up(lists)
        deepest = max((leaf.value.depth for leaf in lists), default=0)
        lined_up = [leaf.value for leaf in self._leaves.values() if leaf.value.depth == deepest]
        self.driver: Value | None = lined_up[0] if deepest else None
        if self.driver is not None:
            for node, leaf in self._leaves.items():
                if leaf.value.missing and leaf.value.depth < deepest:
                    self._leaves[node] = replace(leaf, value=leaf.spread(self.driver))

    def value(self, node: Name) -> Value:
        """Return the value of a name, one per instance if it is an array."""
        return self._leaves[node].value

    def _line_up(self, lists: list[Leaf]) -> None:
        if len({leaf.group for leaf in lists}) < 2:
            for node, leaf in self._leaves.items():
                self._leaves[node] = replace(leaf, value=_irregular(leaf))
            return
        # ROOT knows the lengths of fixed arrays before it reads an entry
        ordered = sorted(lists, key=lambda leaf: leaf.sizes[0] is None)
        # a name that comes again counts again
        arrays = tuple(expr for expr, _ in groupby(leaf.value.expr for leaf in ordered))
        for node, leaf in self._leaves.items():
            if leaf.value.depth:
                expr: Expr = Call("instances", (leaf.value.expr, *arrays), (), leaf.value.expr.span)
                value = replace(leaf.value, expr=expr, missing=True)
                self._leaves[node] = replace(leaf, value=value, items=leaf.items or leaf.value.expr)


def _irregular(leaf: Leaf) -> Value:
    """Return the value of a leaf with lists in place of arrays of a fixed size."""
    expr = leaf.value.expr
    for axis, size in enumerate(leaf.sizes, start=1):
        if size is not None:
            expr = Call("from_regular", (expr,), (("axis", axis),), expr.span)
    return replace(leaf.value, expr=expr)
