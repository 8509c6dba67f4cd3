"""Substitute outputs into expressions over them, within the limits that recursion needs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sxdask.core.errors import RequestTooLargeError
from sxdask.plan.expr import Column, Expr, depth, substitute, walk

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_NODES: Final = 100_000
"""Parts of one composed expression; columns of columns can double it at each step."""

MAX_DEPTH: Final = 300
"""Python's own limit of 1000 frames allows three a level."""


def compose(expr: Expr, outputs: Mapping[str, Expr]) -> Expr:
    """Return `expr` over the source of `outputs`, each name replaced by its definition.

    Raises
    ------
    RequestTooLargeError
        If the result would be larger or deeper than the limits.
    """
    used = [node.name for node in walk(expr) if isinstance(node, Column)]
    sizes = {name: sum(1 for _ in walk(outputs[name])) for name in set(used) & outputs.keys()}
    if sum(sizes.get(name, 1) for name in used) > MAX_NODES:
        raise RequestTooLargeError(
            f"a column written out has more than {MAX_NODES} parts",
            hint="compute it in fewer steps",
        )
    deepest = max((depth(outputs[name]) for name in sizes), default=0)
    if depth(expr) + deepest > MAX_DEPTH:
        raise RequestTooLargeError(
            f"a column written out nests deeper than {MAX_DEPTH} levels",
            hint="compute it in fewer steps",
        )
    return substitute(expr, outputs)
